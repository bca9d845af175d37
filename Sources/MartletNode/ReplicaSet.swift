import MartletBase
import MartletRing
import MartletVersions

/// Places in a preference list, as bits: at most `Limits.ownersMax`.
package struct Places: Hashable, Sendable {
    package var bits: UInt32
    @inlinable package init(bits: UInt32) { self.bits = bits }
    package static let none = Places(bits: 0)

    package static func first(_ count: Int) -> Places {
        Places(bits: UInt32((UInt64(1) << UInt64(count)) - 1))
    }
    @inlinable package static func only(_ place: Int) -> Places { Places(bits: 1 << UInt32(place)) }

    @inlinable package var count: Int { bits.nonzeroBitCount }
    @inlinable package var isEmpty: Bool { bits == 0 }
    @inlinable package func contains(_ place: Int) -> Bool { bits & (1 << UInt32(place)) != 0 }
    @inlinable package mutating func insert(_ place: Int) { bits |= 1 << UInt32(place) }
    @inlinable package mutating func remove(_ place: Int) { bits &= ~(1 << UInt32(place)) }
    @inlinable package func union(_ other: Places) -> Places { Places(bits: bits | other.bits) }
    @inlinable package func intersection(_ other: Places) -> Places { Places(bits: bits & other.bits) }
    @inlinable package func subtracting(_ other: Places) -> Places { Places(bits: bits & ~other.bits) }
    /// The lowest place, if any.
    @inlinable package var first: Int? { bits == 0 ? nil : bits.trailingZeroBitCount }

    /// Calls `body` with each place in the order of the preference list.
    @inlinable package func forEach(_ body: (Int) -> Void) {
        var rest = bits
        while rest != 0 {
            body(rest.trailingZeroBitCount)
            rest &= rest - 1
        }
    }
}

/// The counting of a level's answers (`Requirement`), in places.
extension Requirement {
    package func isMet(by places: Places) -> Bool { isMet(by: places.bits) }
    package func counted(_ places: Places) -> Int { count(of: places.bits) }
    /// The places that may count at all.
    package var scope: Places { Places(bits: eligible) }
    /// Whether one more place brings the level nearer.
    package func isHelped(by place: Int, given places: Places) -> Bool {
        count(of: places.bits | 1 << UInt32(place)) > count(of: places.bits)
    }
}

/// The owners of a range of slots, in the order of the preference list, as the coordinator needs them. Shared
/// by all the slots of the range and by the requests under way on it.
package final class ReplicaSet: Sendable {
    package let peers: [PeerIndex]
    /// What replica requests carry, so that nobody serves a quorum on a stale ring. Covers the purge floor.
    package let digest: UInt64
    /// The digests of the floor before, and of the one that this node has proved and not heard told yet:
    /// while a floor rises its coordinators and replicas needn't hear of it at the same instant.
    let formerDigest: UInt64
    let nextDigest: UInt64
    /// The slots' purge marks.
    let marks: PurgeMarks.Levels
    var floor: HybridTime { marks.floor }
    package let all: Places
    /// The place of this node, when it is an owner.
    package let own: Int?
    /// By level.
    private let requirements: [Requirement]

    /// - Parameter dataCenters: each place's data centre as a number; this node's is zero.
    init(
        peers: [PeerIndex], digest: UInt64, marks: PurgeMarks.Levels = .none, factors: DataCenterFactors,
        dataCenters: [Int]
    ) {
        invariant(peers.count <= Limits.ownersMax, "\(peers.count) places are over the limit")
        self.peers = peers
        self.marks = marks
        self.digest = Self.digest(digest, marks.floor)
        formerDigest = Self.digest(digest, marks.former)
        nextDigest = Self.digest(digest, max(marks.proved, marks.floor))
        requirements = ConsistencyLevel.allCases.map { level in
            Requirement(level, factors: factors, coordinator: 0, places: peers.count) { dataCenters[$0] }
        }
        own = peers.firstIndex(of: PeerTable.own)
        all = .first(peers.count)
    }

    /// No places.
    static let none = ReplicaSet(
        peers: [], digest: 0, factors: DataCenterFactors(.count(1), number: { _ in 0 }), dataCenters: [])

    /// A slot without a floor has the digest of its ring alone.
    private static func digest(_ placement: UInt64, _ floor: HybridTime) -> UInt64 {
        guard floor > .zero else { return placement }
        var writer = ByteWriter(reservingCapacity: 16)
        writer.u64(placement)
        writer.u64(floor.bits)
        return XXH3.hash(writer.bytes.span.bytes)
    }

    package func place(of peer: PeerIndex) -> Int? { peers.firstIndex(of: peer) }

    /// What a request at this level needs of the places.
    package func requirement(_ level: ConsistencyLevel) -> Requirement {
        requirements[Int(level.rawValue)]
    }
}
