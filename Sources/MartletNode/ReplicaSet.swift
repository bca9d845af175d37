import MartletBase
import MartletRing
import MartletVersions

/// Places in a preference list, as bits: at most `Limits.placesMax`.
package struct Places: Hashable, Sendable {
    package var bits: UInt32
    @inlinable package init(bits: UInt32) { self.bits = bits }
    package static let none = Places(bits: 0)

    package static func first(_ count: Int) -> Places { Places(bits: UInt32((UInt64(1) << UInt64(count)) - 1)) }
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

/// How many of which places a level needs. Counting is apart from waiting: who waits asks `isMet` and `isPossible`.
package struct Requirement: Hashable, Sendable {
    /// So many of these places.
    struct Part: Hashable, Sendable {
        var places: Places
        var needed: Int
        /// The copies that the replication factor promises there: what a quorum is of, even when fewer nodes exist.
        var copies: Int
    }

    private var first: Part
    /// Further data centres of EACH_QUORUM. Empty for every other level, and then not allocated.
    private var more: [Part]

    init(_ first: Part, _ more: [Part] = []) {
        self.first = first
        self.more = more
    }

    /// The number that the level needs in total.
    package var required: Int { more.reduce(first.needed) { $0 + $1.needed } }

    /// How many of the places count for the level.
    package func counted(_ places: Places) -> Int {
        more.reduce(places.intersection(first.places).count) { $0 + places.intersection($1.places).count }
    }

    package func isMet(by places: Places) -> Bool {
        places.intersection(first.places).count >= first.needed
            && more.allSatisfy { places.intersection($0.places).count >= $0.needed }
    }

    /// Whether one more place brings the level nearer.
    package func isHelped(by place: Int, given places: Places) -> Bool {
        func helps(_ part: Part) -> Bool {
            part.places.contains(place) && places.intersection(part.places).count < part.needed
        }
        return helps(first) || more.contains(where: helps)
    }

    /// The places that may count at all.
    package var scope: Places { more.reduce(first.places) { $0.union($1.places) } }

    /// How many holders a read at this level must leave behind, so that every later read at it meets one: N - R + 1.
    package var complement: Requirement {
        func turn(_ part: Part) -> Part {
            Part(
                places: part.places, needed: min(part.places.count, max(1, part.copies - part.needed + 1)),
                copies: part.copies)
        }
        return Requirement(turn(first), more.map(turn))
    }
}

/// The owners of a range of slots, in the order of the preference list, as the coordinator needs them. Shared by all
/// the slots of the range and by the requests under way on it.
package final class ReplicaSet: Sendable {
    package let peers: [PeerIndex]
    /// What replica requests carry, so that nobody serves a quorum on a stale ring.
    package let digest: UInt64
    package let all: Places
    /// The place of this node, when it is an owner.
    package let own: Int?
    private let local: Requirement.Part
    private let centres: [Requirement.Part]
    private let copies: Int

    /// - Parameter centres: for each data centre its places and its replication factor, sorted by name.
    init(
        peers: [PeerIndex], digest: UInt64, own: Int?, copies: Int,
        centres: [(places: Places, copies: Int, isLocal: Bool)]
    ) {
        invariant(peers.count <= Limits.placesMax, "\(peers.count) places are over the limit")
        self.peers = peers
        self.digest = digest
        self.own = own
        self.copies = copies
        all = .first(peers.count)
        func quorum(_ centre: (places: Places, copies: Int, isLocal: Bool)) -> Requirement.Part {
            Requirement.Part(places: centre.places, needed: centre.copies / 2 + 1, copies: centre.copies)
        }
        self.centres = centres.map(quorum)
        local =
            centres.first(where: \.isLocal).map(quorum)
            ?? Requirement.Part(places: .none, needed: 1, copies: 0)
    }

    package func place(of peer: PeerIndex) -> Int? { peers.firstIndex(of: peer) }

    package func requirement(_ level: ConsistencyLevel) -> Requirement {
        func total(_ needed: Int) -> Requirement {
            Requirement(Requirement.Part(places: all, needed: needed, copies: copies))
        }
        switch level {
        case .any, .one: return total(1)
        case .two: return total(2)
        case .three: return total(3)
        case .quorum: return total(copies / 2 + 1)
        case .all: return total(copies)
        case .localOne:
            return Requirement(Requirement.Part(places: local.places, needed: 1, copies: local.copies))
        case .localQuorum: return Requirement(local)
        case .eachQuorum: return Requirement(centres[0], Array(centres.dropFirst()))
        }
    }
}
