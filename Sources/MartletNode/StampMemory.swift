import MartletBase
import MartletVersions

/// What a replica merged lately: for each key the greatest stamp of the last `twice clock_skew_max`.
///
/// It closes the gap that clock skew leaves in last-writer-wins. A put that began after another was acknowledged may
/// carry the lower stamp, if its coordinator's clock is behind; but by no more than the skew bound, so the acknowledged
/// stamp is still remembered by a replica of every quorum, and that replica answers `dominated`.
///
/// Keys are known by 64-bit hashes: a collision costs a needless `dominated` answer, never a missing one.
///
/// After a restart the memory is empty, though earlier merges may be that recent. Until it has filled again,
/// everything at or below the durable stamp ceiling counts as remembered: a replica never merges above its ceiling.
struct StampMemory {
    private struct Remembered {
        var stamp: Stamp
        var until: Instant
    }

    private var table: [UInt64: Remembered] = [:]
    private var order: Queue<(key: UInt64, until: Instant)> = Queue()
    private let keepFor: Interval
    private let capacity: Int
    private let floor: Stamp
    private let floorUntil: Instant

    init(keepFor: Interval, capacity: Int, recovered: HybridTime, now: Instant) {
        self.keepFor = keepFor
        self.capacity = capacity
        floor = Stamp(time: recovered, writer: Writer(node: 0, boot: 0, shard: 0))
        floorUntil = now + keepFor
    }

    var count: Int { order.count }

    /// Forgets what is old enough. Amortised O(1) for each stamp remembered.
    mutating func prune(now: Instant) {
        while let oldest = order.first, oldest.until <= now {
            order.removeFirst()
            if let entry = table[oldest.key], entry.until <= now { table[oldest.key] = nil }
        }
    }

    /// Whether another stamp can be remembered.
    var hasRoom: Bool { order.count < capacity }

    /// A stamp of another writer, above the given one, that was merged lately under this key.
    func dominator(of stamp: Stamp, key: UInt64, now: Instant) -> Stamp? {
        if let entry = table[key], entry.until > now, entry.stamp > stamp, entry.stamp.writer != stamp.writer
        {
            return entry.stamp
        }
        return now < floorUntil && stamp.time <= floor.time ? floor : nil
    }

    mutating func remember(_ stamp: Stamp, key: UInt64, now: Instant) {
        let until = now + keepFor
        order.append((key, until))
        if let entry = table[key], entry.until > now, entry.stamp > stamp {
            // The greater stamp stays, for as long as this merge would.
            table[key] = Remembered(stamp: entry.stamp, until: until)
        } else {
            table[key] = Remembered(stamp: stamp, until: until)
        }
    }
}
