import MartletBase

/// A change of who owns slots that is wanted: one node comes, or one goes (docs/ARCHITECTURE.md, handover).
///
/// Nothing but ring entries says so: a `joining` node's own entry, or the verdict `removing`. So changes need
/// no log and no leader; nodes that hold equal rings see the same ones, in one order:
///
///     the change in hand = the least by (stamp, subject) of those that are wanted
///
/// The others wait; when it is over, the next one is in hand at once. *Old* owners are those by the ring
/// without any change, *new* owners those by the ring with the one in hand.
package struct RingChange: Hashable, Comparable, Sendable {
    package enum Kind: UInt8, Hashable, Sendable {
        /// The subject becomes an owner.
        case join = 1
        /// It ceases to be one, and says so itself: until then it serves, votes, and gives what it holds.
        case leave = 2
        /// The same of a node that an operator has given up: nobody waits for it.
        case remove = 3

        /// As `status` and the log say it.
        package var text: StaticName {
            switch self {
            case .join: "join"
            case .leave: "leave"
            case .remove: "remove"
            }
        }
    }

    package let kind: Kind
    package let subject: NodeID
    /// The hybrid time of the act, as bits.
    package let stamp: UInt64

    package static func < (a: RingChange, b: RingChange) -> Bool {
        a.stamp != b.stamp ? a.stamp < b.stamp : a.subject < b.subject
    }
}

extension RingEntry {
    /// What is wanted of this node.
    package var change: RingChange? {
        guard ownsTokens else { return nil }
        if state == .joining { return RingChange(kind: .join, subject: id, stamp: joined) }
        guard let verdict, verdict.kind == .removing else { return nil }
        return RingChange(kind: verdict.by == id ? .leave : .remove, subject: id, stamp: verdict.stamp)
    }
}

extension Ring {
    /// Those that are wanted, the one in hand first.
    package var changes: [RingChange] { entries.compactMap(\.change).sorted() }

    package var change: RingChange? { entries.lazy.compactMap(\.change).min() }

    /// Those on whom it depends whether the change in hand may be completed: all that own slots before it or
    /// after it, but for those that an operator has given up.
    package var voters: [NodeID] {
        let subject = change?.subject
        return entries.filter { $0.isPlaced && !$0.isGivenUp || $0.id == subject && $0.state == .joining }
            .map(\.id)
    }

    /// What voters agree on: all that has been said of who comes and who goes, what waits and what is over
    /// included. Unlike `digest` it doesn't cover what else entries say.
    ///
    /// A ring only grows, so a shape that is left never comes again: whoever is found in it twice has been in
    /// it all the time between. The change in hand, the owners and their tokens would not do: they may be the
    /// same again when another change came first and was called off, and a node that has been there and back
    /// has served what those who missed both know nothing of.
    package var shape: UInt64 {
        var writer = ByteWriter(reservingCapacity: 96 * entries.count)
        for entry in entries {
            entry.id.write(to: &writer)
            writer.u8(entry.state == .joining ? 1 : 0)
            writer.u64(entry.joined)
            writer.string(entry.zone)
            writer.string(entry.dataCenter)
            writer.varint(UInt64(entry.tokens.count))
            for token in entry.tokens { writer.u16(token.index) }
            if let verdict = entry.verdict { verdict.write(to: &writer) } else { writer.u8(0) }
        }
        return XXH3.hash(writer.bytes.span.bytes)
    }
}
