import MartletBase

/// The two clocks of one machine, as functions of the simulation's own time.
///
///     monotonic(t) = base + (t - anchor) * (1 + drift)
///     wall(t)      = epoch + t + offset + (t - anchor) * drift
///
/// The monotonic clock never goes back and never jumps, whatever happens to the wall clock, and goes on while
/// the process is paused or dead. A change of drift moves the anchor, so that neither clock jumps by it.
package struct SimulatedClock {
    /// 2026-01-01 00:00 UTC: what the wall shows when the simulation starts, before any fault.
    package static let epoch = WallTime(milliseconds: 1_767_225_600_000)

    private var anchor = Instant.zero
    private var base: Instant
    private var wallOffset: Interval
    /// Nanoseconds gained in a second; within a thousandth of the rate, so neither clock ever runs backwards.
    private(set) var driftPerSecond: Interval = .zero

    package init(monotonicBase: Interval, wallOffset: Interval) {
        base = Instant(nanoseconds: monotonicBase.nanoseconds)
        self.wallOffset = wallOffset
    }

    private func gained(by instant: Instant) -> Interval {
        (instant - anchor).scaled(by: Double(driftPerSecond.nanoseconds) / 1e9)
    }

    package func monotonic(at instant: Instant) -> Instant { base + (instant - anchor) + gained(by: instant) }

    package func wall(at instant: Instant) -> WallTime {
        Self.epoch + (instant - .zero) + wallOffset + gained(by: instant)
    }

    func now(at instant: Instant) -> Now {
        Now(monotonic: monotonic(at: instant), wall: wall(at: instant))
    }

    /// The first instant of the simulation at which the monotonic clock shows at least `local`.
    package func instant(ofMonotonic local: Instant) -> Instant {
        if local.nanoseconds > .max / 2 { return .distantFuture }
        let rate = 1 + Double(driftPerSecond.nanoseconds) / 1e9
        var guess = anchor + Interval(nanoseconds: Int64(Double((local - base).nanoseconds) / rate))
        while monotonic(at: guess) < local { guess = guess + .nanoseconds(1) }
        return guess
    }

    /// How far the wall is from the simulation's own time.
    func wallError(at instant: Instant) -> Interval { wallOffset + gained(by: instant) }

    package mutating func jumpWall(by interval: Interval) { wallOffset = wallOffset + interval }

    /// The wall shows the right time plus `error`, from now on without drift.
    package mutating func setWall(error: Interval, at instant: Instant) {
        setDrift(perSecond: .zero, at: instant)
        wallOffset = error
    }

    package mutating func setDrift(perSecond drift: Interval, at instant: Instant) {
        invariant(
            drift.magnitude < .milliseconds(1), "a clock that drifts by \(drift.nanoseconds) ns/s is broken")
        base = monotonic(at: instant)
        wallOffset = wallOffset + gained(by: instant)
        anchor = instant
        driftPerSecond = drift
    }
}
