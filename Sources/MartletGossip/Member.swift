import MartletBase

/// What is believed of a member. The raw values are its rank: at equal incarnations the higher rank wins.
package enum Liveness: UInt8, Comparable, Sendable {
    /// It answers, or nobody has reason to doubt that it does.
    case up = 0
    /// A probe of it failed; it has until the suspicion's timeout to refute.
    case suspect = 1
    /// Nobody refuted in time.
    case down = 2
    /// It said goodbye.
    case left = 3

    @inlinable package static func < (a: Liveness, b: Liveness) -> Bool { a.rawValue < b.rawValue }

    /// Whether it takes part: is probed, gossiped to and counted in the cluster's size.
    @inlinable package var isPresent: Bool { rawValue <= Liveness.suspect.rawValue }
}

/// A node as gossip knows it.
package struct Member: Hashable, Sendable {
    package var id: NodeID
    package var address: Address
    /// Raised by the member alone: at each start, and to refute what is wrongly said of it.
    package var incarnation: UInt64
    package var liveness: Liveness

    @inlinable package init(id: NodeID, address: Address, incarnation: UInt64, liveness: Liveness) {
        self.id = id
        self.address = address
        self.incarnation = incarnation
        self.liveness = liveness
    }

    /// Whether this overrides the other: lexicographic in (incarnation, liveness).
    @inlinable func overrides(_ other: Member) -> Bool {
        (incarnation, liveness.rawValue) > (other.incarnation, other.liveness.rawValue)
    }
}

/// Names an opaque fact that the node gives to gossip: a ring entry, a keyspace's definition. Gossip only
/// compares its bytes; what they mean, and which of two is newer, the node knows.
package struct RumourKey: Hashable, Comparable, Sendable {
    package let kind: UInt8
    package let id: NodeID

    @inlinable package init(kind: UInt8, id: NodeID) {
        self.kind = kind
        self.id = id
    }

    @inlinable package static func < (a: RumourKey, b: RumourKey) -> Bool { (a.kind, a.id) < (b.kind, b.id) }
}

/// What one member says of another, as it travels in packets. The order of claims is that of
/// `Member.overrides`.
struct Claim: Hashable {
    var member: Member
    /// Of a suspicion: the short ids of those whose own probes failed, sorted.
    var accusers: [UInt64] = []
}
