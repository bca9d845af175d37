import MartletBase
import MartletMerkle
import MartletRing
import MartletStorage
import MartletWire

/// The trees of a node's keyspaces, by id.
struct Forest {
    struct Entry {
        let keyspace: UInt32
        var tree: MerkleTree
        /// The rescan at the storage: one at a time, so that no older sum replaces a newer one.
        var job: Int?
        /// Of the rescans that wait, the one that was served last.
        var served = -1
    }

    private(set) var all: ContiguousArray<Entry> = []
    /// Of all but the first, to which most writes go.
    private var places: [UInt32: Int] = [:]

    @inline(__always)
    func index(of keyspace: UInt32) -> Int? {
        if !all.isEmpty, all[0].keyspace == keyspace { return 0 }
        return places[keyspace]
    }

    /// Nothing is known of a keyspace whose tree is asked for the first time.
    mutating func grow(_ keyspace: UInt32) -> Int {
        if let index = index(of: keyspace) { return index }
        all.append(Entry(keyspace: keyspace, tree: MerkleTree(isDirty: true)))
        arrange()
        return all.count - 1
    }

    /// A tree that is known from the last run.
    mutating func plant(_ keyspace: UInt32, _ tree: MerkleTree) {
        let index = grow(keyspace)
        all[index].tree = tree
    }

    /// The keyspace was dropped.
    mutating func fell(_ keyspace: UInt32) {
        guard let index = index(of: keyspace) else { return }
        all.remove(at: index)
        arrange()
    }

    private mutating func arrange() {
        places.removeAll(keepingCapacity: true)
        for (index, entry) in all.enumerated().dropFirst() { places[entry.keyspace] = index }
    }

    /// The keyspace was truncated.
    mutating func mark(_ keyspace: UInt32) {
        guard let index = index(of: keyspace) else { return }
        for range in LeafRanges.all.ranges { all[index].tree.mark(range) }
    }

    /// What is held of these slots is erased.
    mutating func mark(_ keyspace: UInt32, _ span: SlotSpan) {
        guard let index = index(of: keyspace) else { return }
        let first = Token.bounds(of: Slot(index: span.first)).lowerBound.leaf
        let last = Token.bounds(of: Slot(index: span.last)).upperBound.leaf
        all[index].tree.mark(first.index...last.index)
    }

    /// The purge floor of these slots has risen.
    mutating func markPurgeable(_ keyspace: UInt32, _ span: SlotSpan) {
        guard let index = index(of: keyspace) else { return }
        let first = Token.bounds(of: Slot(index: span.first)).lowerBound.leaf
        let last = Token.bounds(of: Slot(index: span.last)).upperBound.leaf
        all[index].tree.markPurgeable(first.index...last.index)
    }

    subscript(index: Int) -> Entry {
        @inline(__always) _read { yield all[index] }
        @inline(__always) _modify { yield &all[index] }
    }

    /// A record is about to be written. What has no tree yet will begin with all leaves dirty.
    @inline(__always)
    mutating func mark(_ keyspace: UInt32, _ leaf: UInt32) {
        if let index = index(of: keyspace) { all[index].tree.mark(leaf) }
    }
}

/// Someone who waits until leaves that are dirty now have been rescanned.
struct Rescan {
    enum Owner { case exchange(RequestNumber), question(RequestNumber) }
    enum Step { case scanning, last }

    var owner: Owner
    var keyspace: UInt32
    var leaves: LeafRanges
    /// Leaves before it have been dealt with.
    var cursor: UInt32 = 0
    /// `last`: its own leaves are all taken; it waits for the rescan at the storage, which may have some.
    var step = Step.scanning
    var pausedUntil = Instant.zero

    static let vacant = Rescan(
        owner: .question(RequestNumber(bits: 0)), keyspace: 0, leaves: LeafRanges())
}

/// What exchanges have asked the storage for.
enum ExchangeJob {
    /// Leaves whose bits were cleared, what of them wasn't passed yet, and what was summed.
    case rescan(keyspace: UInt32, ranges: [ClosedRange<UInt32>], DigestQuery, sums: [DigestPage.LeafSum])
    case list(batch: RequestNumber)
    case collect(batch: RequestNumber)
    case answer(question: RequestNumber)
}

/// Merges that are acknowledged together.
struct MergeGroup {
    enum Waiter {
        case batch(RequestNumber)
        case link(LinkID, request: UInt64)
    }
    var waiter: Waiter
    var left: Int
    var refusal: ReplicaRefusal?

    static let vacant = MergeGroup(waiter: .link(LinkID(0), request: 0), left: 0)
}

/// Anti-entropy: the trees, the exchanges that this node has begun, and those of peers that it answers.
struct Exchanges {
    /// With whom, about what, and when.
    struct Pair: Hashable, Comparable {
        let keyspace: UInt32
        let peer: PeerIndex

        static func < (a: Pair, b: Pair) -> Bool { (a.keyspace, a.peer) < (b.keyspace, b.peer) }
    }

    struct Turn {
        var due: Instant
        /// In a row.
        var failures = 0
        var lastComplete: Instant?
    }

    var forest = Forest()
    var running = OperationTable(vacant: Exchange.vacant)
    var batches = OperationTable(vacant: ExchangeBatch.vacant)
    var questions = OperationTable(vacant: ExchangeQuestion.vacant)
    var rescans = OperationTable(vacant: Rescan.vacant)
    var jobs = OperationTable(vacant: ExchangeJob.list(batch: RequestNumber(bits: 0)))
    var groups = OperationTable(vacant: MergeGroup.vacant)
    var turns: [Pair: Turn] = [:]
    var transfers = Transfers()
    /// That an operator asked for and that had no room yet.
    var asked: [Pair] = []
    var askedComplete: UInt64 = 0
    var askedFailed: UInt64 = 0
    /// Rescans whose next page waits for the pace: places of jobs.
    var paused: [Int] = []
    /// Listings of peers that wait for this node's pace: the questions, the first one first.
    var heldListings: ArraySlice<RequestNumber> = []
    /// Those that are answered: the storage is looking for what the peer lacks.
    var answering = 0
    /// Bytes that were moved or passed, and that the pace hasn't been told of.
    var unpaced = 0
    var tickAt = Instant.distantFuture
    /// When a turn may be due, or a pair may be new.
    var scheduleAt = Instant.zero
    var random: Random

    init(random: Random) { self.random = random }

    mutating func schedule(by instant: Instant) {
        if instant < scheduleAt { scheduleAt = instant }
        tick(by: instant)
    }

    mutating func tick(by instant: Instant) { if instant < tickAt { tickAt = instant } }

    func checkInvariants() {
        invariant(running.count <= Limits.exchangesMax, "\(running.count) exchanges under way")
        invariant(
            transfers.underWay.count == running.indices.count { running[$0].purpose == .transfer },
            "\(transfers.underWay.count) transfers are under way by the books")
        invariant(questions.count <= Limits.exchangeQuestionsMax, "\(questions.count) questions under way")
        invariant(
            batches.count <= running.count * Limits.exchangeBatchesMax, "\(batches.count) batches under way")
        invariant(
            rescans.count <= running.count + questions.count, "\(rescans.count) rescans for nobody")
    }

    var isActive: Bool { running.count > 0 || questions.count > 0 }
}
