import MartletBase

/// A change of who owns slots that is wanted: one node comes, goes, takes the place of another, or moves; or
/// one keyspace gets more copies or fewer (docs/ARCHITECTURE.md, handover).
///
/// Nothing but the ring says so: a node's own entry, the verdict `removing`, or what is said of a keyspace's
/// copies. So changes need no log and no leader; nodes that hold equal rings see the same ones, in one order:
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
        /// It takes other tokens or another zone in place of its own.
        case move = 5
        /// A keyspace gets another replication factor.
        case alter = 6

        /// As `status` and the log say it.
        package var text: StaticName {
            switch self {
            case .join: "join"
            case .leave: "leave"
            case .remove: "remove"
            case .replace: "replace"
            case .move: "move"
            case .alter: "alter"
            }
        }
    }

    /// Who or what changes.
    package enum Subject: Hashable, Comparable, Sendable {
        case node(NodeID)
        /// By its id.
        case keyspace(UInt32)
    }

    package let kind: Kind
    package let subject: Subject
    /// The hybrid time of the act, as bits.
    package let stamp: UInt64
    /// Whose place the subject takes.
    package var replaced: NodeID?

    /// The node that changes.
    package var node: NodeID? {
        if case .node(let id) = subject { id } else { nil }
    }

    /// The node that changes, where it takes part in that: it votes first, and completes the change.
    package var ownCompleter: NodeID? { kind == .remove ? nil : node }

    /// Whether slots of that keyspace may get other owners by it.
    package func concerns(_ keyspace: UInt32) -> Bool {
        if case .keyspace(let id) = subject { id == keyspace } else { true }
    }

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
        guard let node else { return entry }
        if entry.id == replaced {
            entry.verdict = Verdict(kind: .removed, stamp: stamp, by: node)
        } else if entry.id == node {
            switch kind {
            case .join, .replace, .move: entry.done = max(entry.done, stamp)
            case .leave, .remove: entry.verdict = Verdict(kind: .removed, stamp: stamp, by: node)
            case .alter: break
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
                kind: replaces == nil ? .join : .replace, subject: .node(id), stamp: joined,
                replaced: replaces)
        }
        if let verdict, verdict.kind == .removing {
            return RingChange(
                kind: verdict.by == id ? .leave : .remove, subject: .node(id), stamp: verdict.stamp)
        }
        let isCalledOff = verdict.map { $0.stamp >= moved } ?? false
        guard next != nil, moved > done, !isCalledOff else { return nil }
        return RingChange(kind: .move, subject: .node(id), stamp: moved)
    }
}

extension Ring.Alteration {
    /// What is wanted of this keyspace.
    package var change: RingChange? {
        copies.wanted == nil
            ? nil : RingChange(kind: .alter, subject: .keyspace(keyspace), stamp: copies.altered)
    }
}

extension Ring {
    /// Those that are wanted, the one in hand first. Of a node that is given up nothing is but that it goes.
    package var changes: [RingChange] {
        let givenUp = givenUp
        let ofNodes = entries.compactMap(\.change).filter { change in
            change.kind == .remove || change.node.map { !givenUp.contains($0) } ?? true
        }
        return (ofNodes + alterations.compactMap(\.change)).sorted()
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

    /// The owners of slots that nobody has told to go.
    package var staying: [RingEntry] { entries.filter { $0.isPlaced && $0.verdict?.kind != .removing } }

    /// Those on whom it depends whether the change in hand may be completed: all that own slots before it or
    /// after it, but for those that an operator has given up.
    package var voters: [NodeID] {
        let node = change?.node
        let givenUp = givenUp
        return entries.filter { entry in
            (entry.isPlaced || entry.id == node) && !givenUp.contains(entry.id)
        }.map(\.id)
    }

    /// What voters agree on: all that has been said of who comes and who goes and of how many copies there
    /// are, what waits and what is over included. Unlike `digest` it doesn't cover what else entries say.
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
            writer.string(entry.dataCenter)
            writer.u64(entry.moved)
            for position in [entry.position, entry.next ?? entry.position] {
                writer.string(position.zone)
                writer.varint(UInt64(position.tokens.count))
                for token in position.tokens { writer.u16(token.index) }
            }
            if let verdict = entry.verdict { verdict.write(to: &writer) } else { writer.u8(0) }
        }
        for alteration in alterations { alteration.write(to: &writer) }
        return XXH3.hash(writer.bytes.span.bytes)
    }
}
