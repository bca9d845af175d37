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
/// A stamp may itself be ahead of the wall clocks: a restarted writer begins above its durable ceiling. Such a one is
/// remembered until every clock within the bound has passed it.
///
/// After a restart the memory is empty, though earlier merges may be that recent. Until it has filled again, and every
/// clock has passed it, everything at or below the durable stamp ceiling counts as remembered: a replica never merges
/// above its ceiling.
struct StampMemory {
    private struct Remembered {
        var stamp: Stamp
        var until: Instant
    }

    private var table: [UInt64: Remembered] = [:]
    private var order: Queue<(key: UInt64, until: Instant)> = Queue()
    private let keepFor: Interval
    /// Stamps further ahead than this come of no clock within the bound, and must not fill the memory for hours.
    private static let keepForMax: Int64 = 16
    private let capacity: Int
    private let floor: Stamp
    private let floorUntil: Instant

    init(keepFor: Interval, capacity: Int, recovered: HybridTime, now: Now) {
        self.keepFor = keepFor
        self.capacity = capacity
        floor = Stamp(time: recovered, writer: Writer(node: 0, boot: 0, shard: 0))
        floorUntil = now.monotonic + Swift.max(keepFor, Self.untilPassed(recovered, now) + keepFor / 2)
    }

    /// How far a time is ahead of the wall clock; negative when it is behind.
    private static func untilPassed(_ time: HybridTime, _ now: Now) -> Interval {
        .milliseconds(min(time.milliseconds - now.wall.milliseconds, 1 << 40))
    }

    var count: Int { order.count }

    /// Forgets what is old enough, perhaps later than it might, when an earlier merge is remembered for longer.
    /// Amortised O(1) for each stamp remembered.
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

    mutating func remember(_ stamp: Stamp, key: UInt64, now: Now) {
        let kept = min(
            Swift.max(keepFor, Self.untilPassed(stamp.time, now) + keepFor / 2), keepFor * Self.keepForMax)
        let until = now.monotonic + kept
        order.append((key, until))
        if let entry = table[key], entry.until > now.monotonic, entry.stamp > stamp {
            // The greater stamp stays, at least for as long as this merge would.
            table[key] = Remembered(stamp: entry.stamp, until: Swift.max(entry.until, until))
        } else {
            table[key] = Remembered(stamp: stamp, until: until)
        }
    }
}
