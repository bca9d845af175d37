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
        progress(of: places.bits | 1 << UInt32(place)) > progress(of: places.bits)
    }
}

/// What consistency levels go by: where the places of a preference list are.
struct PlaceLayout: Hashable {
    /// Each place's data centre as a number; this node's is zero.
    let dataCenters: [Int]
    /// The places of the owners before the change in hand and after it; `new` is nil where the slots don't
    /// change hands.
    let old: Places
    var new: Places?
}

/// What each level needs of places that are laid out so. A kilobyte, and there are few layouts: a keyspace's
/// replica sets share it.
struct LevelRequirements: Sendable {
    let layout: PlaceLayout
    private let byLevel: [Requirement]

    /// - Parameter nextFactors: what the new owners are counted by; nil: as the old ones are.
    ///   - countsNewAlone: a planted bug.
    init(
        _ layout: PlaceLayout, factors: DataCenterFactors, nextFactors: DataCenterFactors? = nil,
        countsNewAlone: Bool = false
    ) {
        self.layout = layout
        byLevel = ConsistencyLevel.allCases.map { level in
            func requirement(_ factors: DataCenterFactors, among places: Places) -> Requirement {
                Requirement(level, factors: factors, coordinator: 0, among: places.bits) {
                    layout.dataCenters[$0]
                }
            }
            let before = requirement(factors, among: layout.old)
            guard let new = layout.new else { return before }
            let after = requirement(nextFactors ?? factors, among: new)
            return countsNewAlone ? after : .both(before, after)
        }
    }

    subscript(level: ConsistencyLevel) -> Requirement { byLevel[Int(level.rawValue)] }
}

/// The owners of a range of slots, in the order of the preference list, as the coordinator needs them. Shared
/// by all the slots of the range and by the requests under way on it.
///
/// While the slots change hands these are the old owners and, behind them, those of the new ones that are not
/// among the old. All take part in every request, and a level is met when it is met among the old owners and
/// among the new ones.
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
    /// The digest of the placement alone, which no floor changes.
    let placement: UInt64
    package let all: Places
    /// The places of the owners before the change in hand and after it; both all of them where the slots
    /// don't change hands.
    package let old: Places
    package let new: Places
    /// The place of this node, when it is an owner.
    package let own: Int?
    private let requirements: LevelRequirements

    init(
        peers: [PeerIndex], digest: UInt64, marks: PurgeMarks.Levels = .none, requirements: LevelRequirements
    ) {
        let layout = requirements.layout
        invariant(peers.count <= Limits.placesMax, "\(peers.count) places are over the limit")
        invariant(peers.count == layout.dataCenters.count, "requirements of other places")
        self.peers = peers
        self.marks = marks
        old = layout.old
        new = layout.new ?? layout.old
        placement = digest
        self.digest = Self.digest(digest, marks.floor)
        formerDigest = Self.digest(digest, marks.former)
        nextDigest = Self.digest(digest, max(marks.proved, marks.floor))
        self.requirements = requirements
        own = peers.firstIndex(of: PeerTable.own)
        all = .first(peers.count)
    }

    /// The same owners with other purge marks.
    init(_ other: ReplicaSet, marks: PurgeMarks.Levels) {
        (peers, old, new, own, all) = (other.peers, other.old, other.new, other.own, other.all)
        requirements = other.requirements
        placement = other.placement
        self.marks = marks
        digest = Self.digest(placement, marks.floor)
        formerDigest = Self.digest(placement, marks.former)
        nextDigest = Self.digest(placement, max(marks.proved, marks.floor))
    }

    /// No places.
    static let none = ReplicaSet(
        peers: [], digest: 0,
        requirements: LevelRequirements(
            PlaceLayout(dataCenters: [], old: .none), factors: DataCenterFactors(.count(1)) { _ in 0 }))

    /// This node alone, for a read of its own copy.
    static let itself = ReplicaSet(
        peers: [PeerTable.own], digest: 0,
        requirements: LevelRequirements(
            PlaceLayout(dataCenters: [0], old: .only(0)), factors: DataCenterFactors(.count(1)) { _ in 0 }))

    /// A slot without a floor has the digest of its ring alone.
    private static func digest(_ placement: UInt64, _ floor: HybridTime) -> UInt64 {
        guard floor > .zero else { return placement }
        var writer = ByteWriter(reservingCapacity: 16)
        writer.u64(placement)
        writer.u64(floor.bits)
        return XXH3.hash(writer.bytes.span.bytes)
    }

    package func place(of peer: PeerIndex) -> Int? { peers.firstIndex(of: peer) }

    /// Whether the slots change hands.
    package var isJoint: Bool { old != new }
    /// Whether this node is one of the old owners.
    var isOwned: Bool { own.map { old.contains($0) } ?? false }
    /// Whether it is that, and stays one.
    var isKept: Bool { own.map { old.contains($0) && new.contains($0) } ?? false }
    /// Whether it is one of the new owners alone.
    var isGained: Bool { own.map { !old.contains($0) } ?? false }

    /// What a request at this level needs of the places.
    package func requirement(_ level: ConsistencyLevel) -> Requirement { requirements[level] }
}
