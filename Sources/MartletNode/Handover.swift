import MartletBase
import MartletRing
import MartletWire

/// What a node does for the change of the ring that is in hand (`RingChange`): the vote that it has given,
/// the exchanges that bring it what it gains, and, where it is the one to complete the change, the votes of
/// the others. The argument for its safety stands in docs/ARCHITECTURE.md, handover.
///
/// Durable are the ring entries, the vote (of which one is enough, because it is for one shape of the ring)
/// and what is still to be erased. All else begins anew with the process.
struct Handover {
    /// Who is told when something is durable.
    enum Asker {
        case own
        case link(LinkID)
        case client(ClientTicket)
        /// Who is answered when every node that lives knows of it.
        case definition(ClientTicket, until: Instant)
    }

    /// What gives the ring another shape.
    enum Act: Hashable {
        case entry(RingEntry)
        /// Of a keyspace whose copies are to be others, or are.
        case definition(KeyspaceDefinition)
    }

    /// Of the ring as it is.
    var shape: UInt64 = 0
    var change: RingChange?
    var changedAt = Instant.zero
    /// The shape that is durable here: a node that starts again is in no earlier one.
    var held: UInt64?
    /// It is on its way to the disk.
    var isHolding = false
    /// What this node has promised last; durable, or on its way to the disk.
    var ballot: Ballot?
    var isCasting = false
    /// Who has this node's vote, durably.
    var given: Set<NodeID> = []
    /// Since when it is void.
    var voidSince: Instant?
    /// On their way to the disk: nobody may hear of them before.
    var acts: [Act] = []

    // The exchanges that this node needs before it may vote, under this shape.
    var done: Set<Exchanges.Pair> = []
    var underWay: Set<Exchanges.Pair> = []
    /// Nothing is left to be transferred before them.
    var isTransferred = false
    /// That those which are over have brought.
    var bytes = 0

    /// Acts that this node may not do before it has taken its vote back.
    var wishes: [Wish] = []
    /// Whether a joining node waits for that as well: it asks again.
    var isWishedFor = false
    /// Who has promised not to complete the change.
    var voids: Set<NodeID> = []

    // Of the node that completes the change.
    var votes: Set<NodeID> = []
    /// Why others haven't voted yet.
    var obstacles: [NodeID: VoteAnswer.Obstacle] = [:]
    /// It has all votes: the act is under way.
    var isCompleting = false

    /// This node's entry, while no node of the ring has taken it.
    var proposal: RingEntry?
    /// Since when it could have been shown.
    var choosesSince: Instant?
    /// Whom it was shown to last.
    var sponsor = 0
    /// Why the last one didn't take it.
    var refusal: JoinAnswer.Outcome?
    /// When it is shown again, and how long after that once more.
    var proposeAt = Instant.zero
    var proposePause = Interval.zero
    /// What else would be answered may be by another ring, or when others live or have died.
    var proposedWhen = (shape: UInt64(0), livenessChanges: UInt64(0))

    /// What this node held of slots that it doesn't own any more, and that isn't deleted durably yet.
    var erasures: [Replica.Erasure] = []
    /// The run before has not ended by itself.
    var hasBrokenOff = false
    /// Nothing is left to be erased, durably.
    var isErased = true
    /// It has left the ring, and goes when its hints are delivered.
    var hasLeft = false
    /// How many of those that may not know that it has were asked.
    var compared = 0

    /// Whether what this node says of its records stands: it has nothing left to erase, which it would show
    /// as its own, and won't come back in an earlier shape, to serve what was asked of that.
    var mayCompare: Bool { isErased && (change == nil || held == shape) }

    /// The entries among the acts that are on their way to the disk.
    var entriesComing: [RingEntry] {
        acts.compactMap { if case .entry(let entry) = $0 { entry } else { nil } }
    }

    /// As it is to be stored: what is written behind an act on the same entry must hold it as well.
    func stored(_ entry: RingEntry) -> RingEntry {
        var stored = entry
        for act in entriesComing where act.id == entry.id { stored.merge(act) }
        return stored
    }

    /// The same of a keyspace's definition.
    func stored(_ definition: KeyspaceDefinition) -> KeyspaceDefinition {
        var stored = definition
        for case .definition(let act) in acts where act.id == definition.id { stored.merge(act) }
        return stored
    }

    var tickAt = Instant.distantFuture

    mutating func tick(by instant: Instant) { if instant < tickAt { tickAt = instant } }

    // MARK: On disk

    /// `number | of each: keyspace 4, first slot 2, last slot 2`
    static func encode(_ erasures: [Replica.Erasure]) -> Blob {
        var writer = ByteWriter()
        writer.varint(UInt64(erasures.count))
        for erasure in erasures {
            writer.u32(erasure.keyspace)
            erasure.span.write(to: &writer)
        }
        return Blob(writer.bytes)
    }

    static func erasures(from reader: inout ByteReader) throws(WireError) -> [Replica.Erasure] {
        var erasures: [Replica.Erasure] = []
        for _ in 0..<(try reader.count(max: Limits.erasuresMax, "erasures")) {
            let keyspace = try reader.u32()
            erasures.append(Replica.Erasure(keyspace: keyspace, span: try SlotSpan(from: &reader)))
        }
        return erasures
    }
}

/// What a node has promised for a shape of the ring. One is enough, because a shape that is left never comes
/// again.
struct Ballot: Hashable {
    var shape: UInt64
    /// Who has its vote: the subject, and those who asked because the subject was not there. The subject's
    /// have all whom it has asked. While the shape is the ring's, a node that has given its vote does nothing
    /// that would put another change in hand, or it has taken it back from all of them.
    var givenTo: Set<NodeID> = []
    /// It completes nothing, and gives no vote any more.
    var isVoid = false

    init(shape: UInt64) { self.shape = shape }

    /// `shape 8 | void 1 | number | ids`
    func encoded() -> Blob {
        var writer = ByteWriter()
        writer.u64(shape)
        writer.u8(isVoid ? 1 : 0)
        writer.varint(UInt64(givenTo.count))
        for id in givenTo.sorted() { id.write(to: &writer) }
        return Blob(writer.bytes)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        shape = try reader.u64()
        isVoid = try reader.bool("ballot")
        for _ in 0..<(try reader.count(max: Limits.nodesMax, "votes")) {
            givenTo.insert(try NodeID(from: &reader))
        }
    }
}

/// An act of an operator that waits until this node has taken its vote back.
struct Wish {
    enum Wanted {
        case ring(RingAct)
        case keyspaces(KeyspaceChange, level: ConsistencyLevel?)
    }

    var wanted: Wanted
    var ticket: ClientTicket
    /// Then whoever asked is told that it can't be done now.
    var until: Instant
}

/// How far the change in hand is, and what it waits for: `status`.
package struct HandoverStatus: Sendable {
    package var kind: RingChange.Kind
    package var subject: RingChange.Subject
    /// Of the node or the keyspace.
    package var name: String
    package var since: Interval
    /// Exchanges that this node needs for it, and of these those that are over.
    package var parts: Int
    package var done: Int
    /// How much of them is over, from 0 to 1, and what they have brought: records as they are encoded.
    package var share: Double
    package var bytes: Int
    /// Who has not voted yet, and why, by name; known to the node that completes the change.
    package var waits: [(name: String, obstacle: VoteAnswer.Obstacle)]
    /// How many changes wait behind it.
    package var waiting: Int

    package var bytesPerSecond: Double { since > .zero ? Double(bytes) / since.seconds : 0 }

    /// Until this node's exchanges are over, as far as what is over foretells it.
    package var eta: Interval? { share > 0.01 && share < 1 ? since.scaled(by: (1 - share) / share) : nil }
}
