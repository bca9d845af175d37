import MartletBase

/// How many copies a keyspace has, and how many are wanted in their place: an element of a join-semilattice,
/// as a ring entry is.
///
///     copies = wanted (the factor, and when it was asked for) × in force (the factor, and of which asking)
///     join   = of each the later, at equal times the greater bytes
///
/// Both parts are chains, so their product is a semilattice. What is in force becomes another only when a
/// handover is complete (`RingChange`): by whoever completes it, and to what was wanted at that time.
///
/// Encoding (canonical): `factor in force | done 8 | factor wanted | altered 8`
package struct Copies: Hashable, Sendable {
    /// What owners and quorums are counted by, before the change in hand.
    package private(set) var factor: ReplicationFactor
    /// What was asked for up to then is in force: a hybrid time, as bits; 0 as the keyspace was created.
    package private(set) var done: UInt64 = 0
    /// The factor in force where no other is wanted.
    package private(set) var next: ReplicationFactor
    /// When it was last asked for; 0 if never.
    package private(set) var altered: UInt64 = 0

    package init(_ factor: ReplicationFactor) {
        self.factor = factor
        next = factor
    }

    /// The factor that is wanted in place of the one in force.
    package var wanted: ReplicationFactor? { altered > done && next != factor ? next : nil }

    /// Those that nodes are needed for.
    package var all: [ReplicationFactor] { [factor] + (wanted.map { [$0] } ?? []) }

    /// The factor in force is wanted to stay: that calls off what was asked for before.
    package mutating func want(_ factor: ReplicationFactor, at stamp: UInt64) {
        invariant(stamp > max(altered, done), "a factor is asked for before another that was asked for")
        next = factor
        altered = stamp
    }

    /// All that have a say have voted.
    package mutating func complete() {
        factor = next
        done = altered
    }

    /// Joins what another node says into this. True when that changed it.
    @discardableResult
    package mutating func merge(_ other: Copies) -> Bool {
        let before = self
        if Self.isBelow((done, factor), (other.done, other.factor)) {
            (factor, done) = (other.factor, other.done)
        }
        if Self.isBelow((altered, next), (other.altered, other.next)) {
            (next, altered) = (other.next, other.altered)
        }
        return self != before
    }

    private static func isBelow(
        _ a: (at: UInt64, factor: ReplicationFactor), _ b: (at: UInt64, factor: ReplicationFactor)
    ) -> Bool {
        a.at != b.at ? a.at < b.at : a.factor.encoded() < b.factor.encoded()
    }

    init(from reader: inout ByteReader) throws(WireError) {
        factor = try ReplicationFactor(from: &reader)
        done = try KeyspaceDefinition.readTime(from: &reader)
        next = try ReplicationFactor(from: &reader)
        altered = try KeyspaceDefinition.readTime(from: &reader)
    }

    func write(to writer: inout ByteWriter) {
        factor.write(to: &writer)
        writer.u64(done)
        next.write(to: &writer)
        writer.u64(altered)
    }

    package func checkInvariants(_ keyspace: String) {
        for factor in [factor, next] {
            invariant(factor.isValid, "replication factor \(factor) of keyspace \(keyspace)")
        }
    }
}
