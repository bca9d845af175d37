import MartletBase
import MartletVersions

/// What a replica merged lately: for each key the greatest stamp of the last `twice clock_skew_max` and the
/// greatest one of other writers than that one's, and one floor under all that was forgotten.
///
/// It closes the gap that clocks leave in last-writer-wins. A put that began after another was acknowledged
/// may carry the lower stamp: its coordinator's clock is behind, or the other's hybrid clock was pushed
/// ahead. Some replica of every quorum has merged the acknowledged stamp; it either remembers it, or has
/// forgotten it and raised the floor to it; in both cases it answers `dominated`, and the put is stamped
/// anew.
///
/// So the rule doesn't rest on the clock bound. The bound only makes the floor cheap: what is forgotten is
/// older than twice the bound, so a put whose clock is within it is above the floor. And a full memory
/// forgets early instead of refusing: that costs a second round trip for a while, never an answer.
///
/// After a restart the memory is empty. The floor then is the durable stamp ceiling, because a replica never
/// merges above its ceiling.
///
/// Keys are known by 64-bit hashes: a collision costs a needless `dominated` answer, never a missing one.
package struct StampMemory {
    private struct Remembered {
        var stamp: Stamp
        /// The greatest of other writers. A writer's own later stamp may overtake an earlier one of its on
        /// the way, which must not hide what dominates that.
        var other: Stamp
        var until: Instant
    }

    private struct Place {
        var key: UInt64
        var time: HybridTime
        var until: Instant
    }

    private var table = HashTable<Remembered>()
    private var order: Queue<Place> = Queue()
    private let keepFor: Interval
    private let capacity: Int
    /// At or above every stamp that was forgotten.
    private(set) var floor: HybridTime

    package init(keepFor: Interval, capacity: Int, recovered: HybridTime) {
        self.keepFor = keepFor
        self.capacity = capacity
        floor = recovered
    }

    var count: Int { order.count }

    /// Forgets what is old enough, or too much. Amortised O(1) for each stamp remembered.
    package mutating func prune(now: Instant) {
        while let oldest = order.first, oldest.until <= now || order.count >= capacity {
            order.removeFirst()
            if oldest.time > floor { floor = oldest.time }
            if let entry = table[oldest.key], entry.until <= oldest.until { table[oldest.key] = nil }
        }
    }

    /// A stamp of another writer, at or above the given one, that may have been merged under this key.
    package func dominator(of stamp: Stamp, key: UInt64) -> Stamp? {
        let floor = stamp.time <= floor ? Stamp(time: floor, writer: .last) : nil
        guard let entry = table[key] else { return floor }
        let remembered = entry.stamp.writer == stamp.writer ? entry.other : entry.stamp
        guard remembered > stamp else { return floor }
        // The greater of the two: an old version that was sent again may be all that is remembered of the
        // key, while what it lost against is forgotten, and the put is stamped anew only once.
        guard let floor, floor > remembered else { return remembered }
        return floor
    }

    package mutating func remember(_ stamp: Stamp, key: UInt64, now: Instant) {
        let until = now + keepFor
        var kept = Remembered(stamp: stamp, other: .zero, until: until)
        // The greater stamps stay, for as long as this merge would.
        if let entry = table[key] {
            let isSameWriter = entry.stamp.writer == stamp.writer
            if stamp > entry.stamp {
                kept.other = isSameWriter ? entry.other : entry.stamp
            } else {
                kept.stamp = entry.stamp
                kept.other = isSameWriter ? entry.other : max(entry.other, stamp)
            }
        }
        order.append(Place(key: key, time: stamp.time, until: until))
        table[key] = kept
    }
}
