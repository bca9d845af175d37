import MartletBase

/// A change of who owns slots that is wanted: one node comes, goes, takes the place of another, or moves
/// (docs/ARCHITECTURE.md, handover).
///
/// Nothing but ring entries says so: a node's own entry, or the verdict `removing`. So changes need
/// no log and no leader; nodes that hold equal rings see the same ones, in one order:
///
///     the change in hand = of those wanted the least by (whether a node is given up, stamp, subject)
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
        /// The subject becomes an owner in the place of one that is given up.
        case replace = 4
        /// It takes other tokens in place of its own.
        case move = 5

        /// As `status` and the log say it.
        package var text: StaticName {
            switch self {
            case .join: "join"
            case .leave: "leave"
            case .remove: "remove"
            case .replace: "replace"
            case .move: "move"
            }
        }
    }

    package let kind: Kind
    package let subject: NodeID
    /// The hybrid time of the act, as bits.
    package let stamp: UInt64
    /// Whose place the subject takes.
    package var replaced: NodeID?

    /// Those first that make good for a node that is given up: nobody waits for what it gains, so nothing may
    /// be given to it.
    private var isUrgent: Bool { kind == .remove || kind == .replace }

    package static func < (a: RingChange, b: RingChange) -> Bool {
        if a.isUrgent != b.isUrgent { return a.isUrgent }
        return a.stamp != b.stamp ? a.stamp < b.stamp : a.subject < b.subject
    }
}

extension RingChange {
    /// The entry as it is when the change is over.
    package func completed(_ entry: RingEntry) -> RingEntry {
        var entry = entry
        if entry.id == replaced {
            entry.verdict = Verdict(kind: .removed, stamp: stamp, by: subject)
        } else if entry.id == subject {
            switch kind {
            case .join, .replace, .move: entry.done = max(entry.done, stamp)
            case .leave, .remove: entry.verdict = Verdict(kind: .removed, stamp: stamp, by: subject)
            }
        }
        return entry
    }
}

extension RingEntry {
    /// What is wanted of this node.
    package var change: RingChange? {
        guard ownsTokens else { return nil }
        if isJoining {
            return RingChange(
                kind: replaces == nil ? .join : .replace, subject: id, stamp: joined, replaced: replaces)
        }
        if let verdict, verdict.kind == .removing {
            return RingChange(kind: verdict.by == id ? .leave : .remove, subject: id, stamp: verdict.stamp)
        }
        let isCalledOff = verdict.map { $0.stamp >= moved } ?? false
        guard !nextTokens.isEmpty, moved > done, !isCalledOff else { return nil }
        return RingChange(kind: .move, subject: id, stamp: moved)
    }
}

extension Ring {
    /// Those that are wanted, the one in hand first. Of a node that is given up nothing is but that it goes.
    package var changes: [RingChange] {
        let givenUp = givenUp
        return entries.compactMap(\.change).filter { $0.kind == .remove || !givenUp.contains($0.subject) }
            .sorted()
    }

    package var change: RingChange? { changes.first }

    /// Those whom operators have given up: nobody waits for them.
    package var givenUp: Set<NodeID> {
        var ids = Set(entries.lazy.filter(\.isGivenUp).map(\.id))
        for entry in entries where entry.isJoining && entry.ownsTokens {
            if let replaced = entry.replaces { ids.insert(replaced) }
        }
        return ids
    }

    /// Those that own slots before the change in hand, and whom nobody has given up.
    package var standing: [RingEntry] {
        let givenUp = givenUp
        return entries.filter { $0.isPlaced && !givenUp.contains($0.id) }
    }

    /// Those on whom it depends whether the change in hand may be completed: all that own slots before it or
    /// after it, but for those that an operator has given up.
    package var voters: [NodeID] {
        let subject = change?.subject
        let givenUp = givenUp
        return entries.filter { entry in
            (entry.isPlaced || entry.id == subject) && !givenUp.contains(entry.id)
        }.map(\.id)
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
            writer.u8(entry.isJoining ? 1 : 0)
            writer.u64(entry.joined)
            writer.varint(entry.turn)
            writer.u8(entry.replaces == nil ? 0 : 1)
            entry.replaces?.write(to: &writer)
            writer.string(entry.zone)
            writer.string(entry.dataCenter)
            writer.u64(entry.moved)
            for tokens in [entry.tokens, entry.nextTokens == entry.tokens ? [] : entry.nextTokens] {
                writer.varint(UInt64(tokens.count))
                for token in tokens { writer.u16(token.index) }
            }
            if let verdict = entry.verdict { verdict.write(to: &writer) } else { writer.u8(0) }
        }
        return XXH3.hash(writer.bytes.span.bytes)
    }
}
