import MartletBase
import MartletRing
import MartletVersions

/// What a data folder must become, durably, before its node starts on it again: told by a peer that knows
/// more of the node than its folder does.
package struct RebuildOrder: Hashable, Sendable {
    /// The node's id: not the folder's own, where that was made for a lost one.
    package var id: NodeID
    /// The epoch of the next start, above all that anybody remembers. What the folder held before it counts
    /// for nothing until the node has rebuilt it.
    package var epoch: UInt64
    /// The next run's boot number is above it: a writer is (node, boot, shard), so no run may have one that
    /// another run has had. The folder can't know which those were; seconds of wall time are above every
    /// count of starts.
    package var boot: UInt32
    /// The stamp ceiling of the folder is at least this.
    package var ceiling: HybridTime

    package init(id: NodeID, epoch: UInt64, boot: UInt32, ceiling: HybridTime) {
        self.id = id
        self.epoch = epoch
        self.boot = boot
        self.ceiling = ceiling
    }

    /// A boot number that nobody has counted up to: of the second in which it is asked for.
    package static func bootNumber(_ wall: WallTime) -> UInt32 {
        let epoch2020: Int64 = 1_577_836_800_000
        return UInt32(clamping: (wall.milliseconds - epoch2020) / 1_000)
    }
}

/// How a node whose disk has lost something (a new disk, an emptied folder, an older copy) becomes an owner
/// again, by itself.
///
///     rebuilding ──(exchanged every keyspace with every other owner)──▶ normal
///
/// While it rebuilds it takes writes, hints and repairs as any owner does, but for old puts (below), and what
/// it acknowledges it holds. It answers no reads and no scans, at any level, and nothing is concluded from
/// what it doesn't hold: it gives no proof and no floor. The ring says so (`NodeState.rebuilding`), and
/// coordinators leave it out of reads; one that hasn't heard yet is refused with `notServing`.
///
/// **Why every other owner.** A write acknowledged at level L was held by a set S of owners that meets L, the
/// lost disk perhaps among them. What is left of S, unless L tolerates no loss, is at some other owner, and
/// nobody knows at which. After an exchange with each of them the node holds all that any of them held when
/// its exchange began, so what is left of S. A write acknowledged later counts this node only for what it
/// truly merged. So from then on every set that a read consults meets S again: those with this node in it
/// because it holds the union, those without because they met S before. One owner left out would be enough to
/// break it.
///
/// **Why nobody waits for ever.** Owners that rebuild exchange as others do, with each other too: what they
/// bring is the union of what is left, and none waits for another to be done, only for it to be up. A node
/// that never returns is waited for until an operator removes it from the ring, because nobody else can know
/// what it holds.
///
/// **Purge floors.** Where the others have purged slots up to a floor F (`PurgeMarks`) that this disk was not
/// proved for, its versions at or below F may be older than a tombstone that is gone everywhere else. So they
/// are deleted first, all of them; then the node takes F over, which lets it exchange with owners at F, and
/// they bring what counts of that age. Nothing else may: a repair or a hint of that age is refused until the
/// node is normal. A node that finds itself behind a floor though nobody told it of its disk rebuilds from
/// then on. Where it is the only owner nothing is deleted: nobody else has what is there.
///
/// **Old puts.** With the disk went what tells an old put from a new one: the stamps that the node had merged
/// (`StampMemory`) and the marks of what its slots had closed. The stamp ceiling that it is given is no
/// substitute, being only what one peer has heard. So it takes no put for `clock_skew_max`, and then none
/// stamped below the time at which that began:
///
/// - A write that it had acknowledged was stamped at most half the bound ahead of true time, and a put that
///   it takes at most half the bound behind, a whole bound later. So the later one wins, as ever.
/// - A round to purge that counts on what it had closed has a floor of before (`tombstone_grace` is no
///   shorter than the bound): at or below that it takes nothing but what others have.
///
/// Both need a clock that others have judged good; until then it takes no puts. Hints, repairs and exchanges
/// are taken at once: they bring what was acknowledged elsewhere.
///
/// Which keyspaces there are is asked of the others first (`viewWanted`): a write that must come back is at
/// an owner that knows its keyspace's definition.
struct Rebuilding: Hashable {
    /// One exchange of those that are needed.
    struct Part: Hashable, Comparable {
        var keyspace: UInt32
        var peer: NodeID

        static func < (a: Part, b: Part) -> Bool { (a.keyspace, a.peer) < (b.keyspace, b.peer) }
    }

    /// Whose loss it makes good (`NodeConfiguration.lostEpoch`): another loss begins anew.
    let epoch: UInt64
    /// Slots whose versions at or below a floor are to be deleted before anything is exchanged. Told again
    /// after a restart, for the floor is taken over last.
    struct Discard: Hashable {
        let keyspace: UInt32
        let span: SlotSpan
        let floor: HybridTime
    }

    var isOver = false
    /// Sorted. A restart goes on with the rest: what an exchange has brought is durable.
    private(set) var done: [Part] = []

    // What a restart begins anew.
    var beganAt = Instant.zero
    var underWay: [Part] = []
    /// Nothing is left to be transferred before the exchanges.
    var isTransferred = false
    var discards: [Discard] = []
    var records = 0
    var bytes = 0
    var tickAt = Instant.distantFuture

    init(epoch: UInt64) { self.epoch = epoch }

    /// What is to be done after a start; nil when nothing is.
    static func after(lostEpoch: UInt64, remembered: Rebuilding?) -> Rebuilding? {
        if let remembered, remembered.epoch >= lostEpoch { return remembered.isOver ? nil : remembered }
        return lostEpoch == 0 ? nil : Rebuilding(epoch: lostEpoch)
    }

    mutating func finished(_ part: Part) {
        guard !done.contains(part) else { return }
        done.append(part)
        done.sort()
    }

    /// What exchanges have brought of a keyspace doesn't count any more.
    mutating func undo(_ keyspace: UInt32) { done.removeAll { $0.keyspace == keyspace } }

    func encoded() -> Blob {
        var writer = ByteWriter()
        writer.u64(epoch)
        writer.u8(isOver ? 1 : 0)
        writer.varint(UInt64(done.count))
        for part in done {
            writer.u32(part.keyspace)
            part.peer.write(to: &writer)
        }
        return Blob(writer.bytes)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        epoch = try reader.u64()
        isOver = try reader.u8() != 0
        let count = try reader.count(max: Limits.keyspacesMax * Limits.nodesMax, "rebuilt parts")
        for _ in 0..<count {
            let keyspace = try reader.u32()
            done.append(Part(keyspace: keyspace, peer: try NodeID(from: &reader)))
        }
    }
}

/// How far a node is with rebuilding, for `status`.
package struct RebuildProgress: Hashable, Sendable {
    /// Exchanges that are needed, and of these those that are over.
    package var parts: Int
    package var done: Int
    /// From 0 to 1: with those under way, as far as they are.
    package var share: Double
    /// What exchanges have brought since the start.
    package var records: Int
    package var bytes: Int
    package var running: Interval
    /// Nodes that are waited for, because they can't be reached.
    package var waits: [String]

    package init(
        parts: Int, done: Int, share: Double, records: Int, bytes: Int, running: Interval, waits: [String]
    ) {
        self.parts = parts
        self.done = done
        self.share = share
        self.records = records
        self.bytes = bytes
        self.running = running
        self.waits = waits
    }

    /// As far as what is over foretells it.
    package var eta: Interval? {
        guard share > 0.01, waits.isEmpty else { return nil }
        return running.scaled(by: (1 - share) / share)
    }
}
