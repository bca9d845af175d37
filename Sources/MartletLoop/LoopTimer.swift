import CUV
import MartletBase

/// One deadline, moved as often as one likes: arming and disarming mostly set a number.
///
/// libuv's timer is set only when the deadline is earlier than what it waits for. When it fires before the
/// deadline (which was moved later since, or disarmed) it is set for what is left. Fires at most a
/// millisecond late, which is libuv's resolution, and never early. Timers of one loop fire in the order of
/// their deadlines in milliseconds, but for those that were moved later and are overdue all the same.
package final class LoopTimer: LoopHandle {
    private var onFire: (() -> Void)?
    private var deadline = Instant.distantFuture
    /// What libuv's timer waits for, in milliseconds of the monotonic clock.
    private var armedMilliseconds = UInt64.max
    private var isFiring = false

    /// `onFire` is called once for each deadline that is reached; it may arm the timer again.
    package init(_ loop: EventLoop, onFire: @escaping () -> Void) {
        self.onFire = onFire
        super.init(loop, uv_timer_t.self)
        uv_timer_init(loop.uv, timer)
        didOpen()
    }

    private var timer: UnsafeMutablePointer<uv_timer_t> { raw.assumingMemoryBound(to: uv_timer_t.self) }

    package var isArmed: Bool { deadline != .distantFuture }

    /// Fires at `deadline`, or in the next turn if it has passed. Replaces an earlier deadline.
    package func arm(at deadline: Instant) {
        self.deadline = deadline
        let milliseconds = Self.milliseconds(of: deadline)
        if milliseconds < armedMilliseconds { start(milliseconds) }
    }

    package func disarm() { deadline = .distantFuture }

    private func start(_ milliseconds: UInt64) {
        if isClosing { return }
        armedMilliseconds = milliseconds
        // Relative to the loop's time, which may be behind the clock: the sum is what counts.
        let now = uv_now(loop.uv)
        // libuv runs a timer that is due in the pass that armed it: a deadline that has passed already waits
        // for the next pass, so that no owner can keep the loop from its sockets.
        let soonest: UInt64 = isFiring ? 1 : 0
        uv_timer_start(
            timer, { owner($0?.pointee.data, LoopTimer.self).fired() },
            milliseconds > now ? milliseconds - now : soonest, 0)
    }

    private func fired() {
        armedMilliseconds = .max
        if deadline == .distantFuture { return }
        let milliseconds = Self.milliseconds(of: deadline)
        if milliseconds > uv_now(loop.uv) { return start(milliseconds) }
        deadline = .distantFuture
        // libuv's time moved on while this turn's callbacks ran, and the turn's cached clock did not: the
        // owner must see that its deadline has come, or it would ask for it again, and get it again, without
        // end.
        loop.updateNow()
        isFiring = true
        onFire?()
        isFiring = false
    }

    override func didClose() { onFire = nil }

    /// Rounded up, so that a timer is never early. libuv's clock is the one that instants count.
    private static func milliseconds(of deadline: Instant) -> UInt64 {
        if deadline.nanoseconds <= 0 { return 0 }
        let (whole, rest) = deadline.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000)
        return UInt64(whole) + (rest > 0 ? 1 : 0)
    }
}
