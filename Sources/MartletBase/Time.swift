/// A length of time in nanoseconds; may be negative.
package struct Interval: Hashable, Comparable, Sendable {
    package var nanoseconds: Int64

    @inlinable package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    @inlinable package static func nanoseconds(_ n: Int64) -> Interval { Interval(nanoseconds: n) }
    @inlinable package static func microseconds(_ n: Int64) -> Interval { Interval(nanoseconds: n * 1_000) }
    @inlinable package static func milliseconds(_ n: Int64) -> Interval {
        Interval(nanoseconds: n * 1_000_000)
    }
    @inlinable package static func seconds(_ n: Int64) -> Interval {
        Interval(nanoseconds: n * 1_000_000_000)
    }
    @inlinable package static func minutes(_ n: Int64) -> Interval { .seconds(n * 60) }
    @inlinable package static func hours(_ n: Int64) -> Interval { .seconds(n * 3_600) }
    package static let zero = Interval(nanoseconds: 0)

    /// Whole milliseconds, rounded towards zero.
    @inlinable package var milliseconds: Int64 { nanoseconds / 1_000_000 }
    /// Whole microseconds, rounded towards zero.
    @inlinable package var microseconds: Int64 { nanoseconds / 1_000 }
    @inlinable package var seconds: Double { Double(nanoseconds) / 1e9 }

    @inlinable package static func == (a: Interval, b: Interval) -> Bool { a.nanoseconds == b.nanoseconds }
    @inlinable package static func < (a: Interval, b: Interval) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable package static func + (a: Interval, b: Interval) -> Interval {
        Interval(nanoseconds: a.nanoseconds + b.nanoseconds)
    }
    @inlinable package static func - (a: Interval, b: Interval) -> Interval {
        Interval(nanoseconds: a.nanoseconds - b.nanoseconds)
    }
    @inlinable package static prefix func - (a: Interval) -> Interval {
        Interval(nanoseconds: -a.nanoseconds)
    }
    @inlinable package static func * (a: Interval, n: Int64) -> Interval {
        Interval(nanoseconds: a.nanoseconds * n)
    }
    @inlinable package static func / (a: Interval, n: Int64) -> Interval {
        Interval(nanoseconds: a.nanoseconds / n)
    }
    /// Scaled by a factor; the fraction of a nanosecond is dropped.
    @inlinable package func scaled(by factor: Double) -> Interval {
        Interval(nanoseconds: Int64(Double(nanoseconds) * factor))
    }
    @inlinable package var magnitude: Interval { Interval(nanoseconds: abs(nanoseconds)) }
}

/// A point on the monotonic clock of one process: nanoseconds since an arbitrary start. Never goes back.
package struct Instant: Hashable, Comparable, BitwiseCopyable, Sendable {
    package var nanoseconds: Int64

    @inlinable package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    package static let zero = Instant(nanoseconds: 0)
    package static let distantFuture = Instant(nanoseconds: .max)

    @inlinable package static func == (a: Instant, b: Instant) -> Bool { a.nanoseconds == b.nanoseconds }
    @inlinable package static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable package static func + (a: Instant, b: Interval) -> Instant {
        Instant(nanoseconds: a.nanoseconds + b.nanoseconds)
    }
    @inlinable package static func - (a: Instant, b: Interval) -> Instant {
        Instant(nanoseconds: a.nanoseconds - b.nanoseconds)
    }
    @inlinable package static func - (a: Instant, b: Instant) -> Interval {
        Interval(nanoseconds: a.nanoseconds - b.nanoseconds)
    }
}

/// A reading of the wall clock: microseconds since 1970-01-01 UTC. May jump either way.
package struct WallTime: Hashable, Comparable, Sendable {
    package var microseconds: Int64

    @inlinable package init(microseconds: Int64) { self.microseconds = microseconds }
    @inlinable package init(milliseconds: Int64) { self.microseconds = milliseconds * 1_000 }
    @inlinable package var milliseconds: Int64 { microseconds / 1_000 }

    @inlinable package static func == (a: WallTime, b: WallTime) -> Bool { a.microseconds == b.microseconds }
    @inlinable package static func < (a: WallTime, b: WallTime) -> Bool { a.microseconds < b.microseconds }
    @inlinable package static func - (a: WallTime, b: WallTime) -> Interval {
        Interval.microseconds(a.microseconds - b.microseconds)
    }
    @inlinable package static func + (a: WallTime, b: Interval) -> WallTime {
        WallTime(microseconds: a.microseconds + b.microseconds)
    }
}

/// What an event's handler may know of time: both clocks, read once by the shell when the event came in.
package struct Now: Hashable, Sendable {
    /// For timeouts, deadlines and latency.
    package var monotonic: Instant
    /// For stamps and expiries only.
    package var wall: WallTime

    @inlinable package init(monotonic: Instant, wall: WallTime) {
        self.monotonic = monotonic
        self.wall = wall
    }
}
