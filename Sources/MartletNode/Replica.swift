import MartletBase
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// Who asked a replica for something, and where the answer goes.
enum Origin: Sendable {
    /// This node's own coordinator, for a place of a request.
    case own(RequestNumber, place: Int)
    case link(LinkID, request: UInt64)
    /// Merges that are acknowledged together: a place in `Exchanges.groups`.
    case group(RequestNumber)
}

/// A replica's merges and reads that are under way at the storage.
///
/// Merges get tickets in order, so the queue's places are tickets: the first one's number is `firstTicket`.
struct Replica {
    struct PendingWrite {
        enum Purpose {
            case merge(Origin, MergeAnswer.Outcome)
            /// A fact of the node's own; nobody waits for it, but it must not be lost.
            case meta(key: Blob, value: Blob)
            /// A hint, or a batch of deletions: a place in the tables of `Hints`.
            case hint(Int)
            case deletion(Int)
            /// All records of a dropped keyspace, or of slots that this node doesn't own.
            case erasure(Erasure)
            /// Marks of slots, and who is to hear that they are durable.
            case marks(Marks)
            /// An entry that isn't in the ring before it is durable.
            case act(Handover.Act, Handover.Asker)
            /// A promise, and who is to hear of it.
            case ballot(Ballot, Handover.Asker?)
            /// All that makes the ring of this shape is durable.
            case shape(UInt64)
            /// A page of the sweep.
            case sweep
            /// Nobody waits for it any more.
            case answered
            /// Refused by the storage, and answered so; its place waits for its turn.
            case refused
        }
        var purpose: Purpose
        var key: UInt64
        /// Of those that have seen this merge and wait until it is durable.
        var withheld: [WithheldAnswer] = []
    }

    struct Marks {
        var key: Blob
        var value: Blob
        var keyspace: UInt32
        /// What they promise of all slots.
        var promised: HybridTime
        var asker: Node.PurgeAsker
        var answer: PurgeAnswer
    }

    struct Erasure: Hashable {
        var keyspace: UInt32
        var span: SlotSpan
    }

    struct PendingRead {
        var origin: Origin
        var wantsDigest: Bool
        var keyspace: UInt32
        var slot: Slot
        /// The key's hash.
        var key: UInt64
        /// The placement under which it was asked for.
        var placement: UInt64
    }

    /// A record whose value is at or below the purge floor: it is merged if that value is held.
    struct Admission {
        var origin: Origin
        var keyspace: UInt32
        var token: Token
        var key: Blob
        var record: Blob
        var isFresh: Bool
        /// The placement under which it was asked for.
        var placement: UInt64

        static let vacant = Admission(
            origin: .own(RequestNumber(bits: 0), place: 0), keyspace: 0, token: Token(value: 0), key: .empty,
            record: .empty, isFresh: false, placement: 0)
    }

    /// An answer to a read or a scan, or the acknowledgement of definitions.
    struct WithheldAnswer {
        enum Outcome {
            case read(ReadAnswer.Outcome)
            case scan(ScanAnswer.Outcome)
            case definition([UInt32])
            case exchange(ExchangeAnswer.Outcome)
            /// No answer: this node's own exchange waits for its own merges.
            case settled
        }
        var origin: Origin
        var outcome: Outcome
    }

    struct ParkedMerge {
        var origin: Origin
        var keyspace: UInt32
        var token: Token
        var key: Blob
        var record: Blob
        var isFresh: Bool
        var ceiling: HybridTime
    }

    var pending = Queue<PendingWrite>()
    var firstTicket: UInt64 = 1
    /// For each key with merges that aren't durable yet, the last one's ticket.
    var unsynced = HashTable<UInt64>()
    var reads = OperationTable(
        vacant: PendingRead(
            origin: .own(RequestNumber(bits: 0), place: 0), wantsDigest: false, keyspace: 0, slot: Slot(0),
            key: 0, placement: 0))
    var admissions = OperationTable(vacant: Admission.vacant)
    var scans = OperationTable(vacant: PendingScan.vacant)
    var parked = Queue<ParkedMerge>()
    var stamps: StampMemory
    /// When a node whose disk has lost something takes puts again, and above which stamp; `.latest` until it
    /// does (`Rebuilding`, old puts).
    var opensAt = Instant.zero
    var opensAbove = HybridTime.zero
    /// Facts of the node's own that the storage refused, the newest under each key: written again until it
    /// takes them. Each key's once, so they are as few as the nodes and keyspaces.
    var refusedMeta: [(key: Blob, value: Blob)] = []
    /// The same of records that the storage didn't delete.
    var refusedErasures: [Erasure] = []

    init(stamps: StampMemory) { self.stamps = stamps }

    var nextTicket: WriteTicket { WriteTicket(firstTicket + UInt64(pending.count)) }

    /// A key's hash for the tables of the replica: the token is one already.
    static func hash(_ token: Token, _ keyspace: UInt32) -> UInt64 {
        token.value &+ UInt64(keyspace) &* 0x9E37_79B9_7F4A_7C15
    }
}
