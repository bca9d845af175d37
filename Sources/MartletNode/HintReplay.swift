import MartletBase
import MartletRing
import MartletStorage
import MartletVersions

/// The delivery of one target's hints, page by page:
///
///     idle ──▶ reading ──▶ sending ──▶ all answered: their hints are deleted, durably ──▶ the next page, or
///     idle
///
/// A hint for one that loses the slot, or gains it, stays until the change of the ring is over: it may be all
/// that there is of a write (ANY), and only one of the two lists of owners would get it, which the other may
/// have exchanged with already.
///
/// At most a window of hints is under way. What isn't acknowledged stays on disk, and when anything goes
/// wrong the page is dropped and the target's hints are read from the first one on, later: merges may be
/// repeated, so nothing need be remembered about how far it came.
///
/// A class, because an answer may come while a page is being sent.
final class HintReplay {
    enum Step: Hashable {
        case idle
        /// A page was asked for: to deliver it, or to drop what is older than the window.
        case reading(isExpiring: Bool)
        case sending
    }

    /// A hint of the page, as it is on disk.
    struct Item {
        let stored: Blob
        let key: HintKey
        let write: HintedWrite
        let bytes: Int
    }

    var step = Step.idle
    /// Of the page: what was not sent yet, the next one last.
    var left: [Item] = []
    /// Where the page after this one begins; nil when this is the last.
    var next: Blob?
    /// Under way to the target, and their bytes.
    var sent = 0
    var sentBytes = 0
    /// Done with, to be deleted together.
    var done: [DoneHint] = []
    /// Batches of deletions that aren't durable yet.
    var deletions = 0
    /// Nothing is sent before.
    var pausedUntil = Instant.zero
    var isHeldBack = false
    /// Some were passed over because their slots change hands, and one who must have them isn't here.
    var waitsForRing = false

    /// What was delivered, for the rate that is shown.
    var delivered = 0
    var meteredAt = Instant.zero
    var bytesPerSecond = 0.0

    struct DoneHint {
        let stored: Blob
        let key: HintKey
        let bytes: Int
    }

    /// Whether the page is finished to the last deletion.
    var isPageDone: Bool {
        step == .sending && left.isEmpty && sent == 0 && done.isEmpty && deletions == 0
    }

    /// Nothing is asked for, on its way or to be deleted.
    var isAtRest: Bool { step == .idle && sent == 0 && done.isEmpty && deletions == 0 }

    /// Whether another hint fits the window. One always does, however large.
    func hasRoom(for bytes: Int) -> Bool {
        sent == 0 || sent < Limits.hintWindowMax && sentBytes + bytes <= Limits.hintWindowBytesMax
    }

    /// Drops what of the page wasn't sent; after the pause the target's hints are read from the first one on.
    func abandon(until instant: Instant) {
        left.removeAll(keepingCapacity: true)
        next = nil
        if step == .sending { step = .idle }
        pausedUntil = max(pausedUntil, instant)
    }

    /// Once a second: what was delivered since.
    func meter(_ now: Instant) {
        let elapsed = now - meteredAt
        guard elapsed >= .seconds(1) else { return }
        bytesPerSecond = meteredAt == .zero ? 0 : Double(delivered) / elapsed.seconds
        delivered = 0
        meteredAt = now
    }
}

/// What the node keeps for others, and what it does about it.
struct Hints {
    /// Who waits until a hint is durable.
    enum Waiter {
        /// A put that it counts for.
        case put(Origin)
        /// A hint for another target, which it takes the place of: one of `Hints.sending`.
        case moved(RequestNumber)
    }

    /// On its way to the disk.
    struct Storing {
        var stored: Blob
        var key: HintKey
        var bytes: Int
        var keyspace: UInt32
        var leaf: UInt32
        var waiter: Waiter?

        static let vacant = Storing(
            stored: .empty, key: HintKey(target: .none, counts: false, time: .zero, boot: 0, serial: 0),
            bytes: 0, keyspace: 0, leaf: 0, waiter: nil)
    }

    /// To be put when those of earlier runs are counted.
    struct Parked {
        var write: HintedWrite
        var target: NodeID
        var leaf: Leaf
        var time: HybridTime
        var counts: Bool
        var waiter: Waiter?
    }

    /// On its way to its target, or to become hints for the present owners.
    struct Sending {
        var item: HintReplay.Item
        var sentAt: Instant
        /// Who has yet to answer. Empty of one that is moved.
        var owed: [PeerIndex] = []
        /// Hints that it becomes and that aren't durable yet.
        var moves = 0
        var hasFailed = false

        static let vacant = Sending(
            item: HintReplay.Item(
                stored: .empty, key: Storing.vacant.key,
                write: HintedWrite(keyspace: 0, key: .empty, record: .empty), bytes: 0),
            sentAt: .zero)
    }

    struct Deletion {
        var target: NodeID
        var hints: [HintReplay.DoneHint]

        static let vacant = Deletion(target: .none, hints: [])
    }

    /// A page of hints that was asked for; nil: to count them.
    struct Scan {
        var target: NodeID?
        static let vacant = Scan(target: nil)
    }

    var ledger = HintLedger()
    /// The number of the next hint of this run.
    var serial: UInt64 = 0
    var parked: [Parked] = []
    var storing = OperationTable(vacant: Storing.vacant)
    var sending = OperationTable(vacant: Sending.vacant)
    var deletions = OperationTable(vacant: Deletion.vacant)
    var scans = OperationTable(vacant: Scan.vacant)
    /// Deletions that the storage refused: asked for again with the next tick.
    var refusedDeletions: [Deletion] = []
    /// Of targets that have hints, or had them in this run.
    var replays: [NodeID: HintReplay] = [:]
    /// Targets that aren't idle, at most: counted with each tick.
    var busyTargets = 0
    var pace = ReplayPace()
    var dirty = DirtyLeaves()
    /// When the targets are looked at next.
    var tickAt = Instant.distantFuture

    /// Puts that are answered and wait for their last replicas, and the bytes of their records.
    var answeredPuts = 0
    var answeredBytes = 0

    mutating func tick(by instant: Instant) { if instant < tickAt { tickAt = instant } }
}

extension NodeID {
    /// Of no node.
    static let none = NodeID(short: 0, middle: 0, low: 0)
}
