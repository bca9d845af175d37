import Glibc
import MartletBase

/// When the requests of an open loop are due: at a fixed rate, however the server does.
///
/// A request's latency is counted from when it was due, not from when it could be sent. Otherwise a server
/// that stalls would also stop the requests that would have shown it ("coordinated omission": Tene, "How NOT
/// to Measure Latency", 2013). Nothing is dropped: what is due and can't be sent waits, and its time runs.
///
/// Requests are due at ticks, since a clock that wakes a thread for each of 100,000 requests a second would
/// take a processor for itself: the n-th at the first tick at or after n / rate (Poisson: after the sum of n
/// exponential gaps). Below 10,000 a second each request has a tick of its own.
package struct Schedule: Sendable {
    package static let tickMin = Interval.microseconds(100)

    private let rate: Double
    private let start: Instant
    private let isPoisson: Bool
    private var random: Random
    private var index = 0
    private var sum = 0.0
    package let tick: Interval
    /// When the next request is due.
    package private(set) var due: Instant

    /// - Parameter rate: requests a second, above 0.
    package init(rate: Double, start: Instant, isPoisson: Bool = false, seed: UInt64 = 0) {
        invariant(rate > 0, "a rate is above zero")
        self.rate = rate
        self.start = start
        self.isPoisson = isPoisson
        random = Random(seed: seed)
        let own = Interval(nanoseconds: Int64(1e9 / rate))
        tick = isPoisson || own < Self.tickMin ? Self.tickMin : own
        due = start
    }

    /// How many requests are due at `now` and not yet taken.
    package func backlog(at now: Instant) -> Int {
        now < due ? 0 : Int((now - due).seconds * rate) + 1
    }

    /// The next request was taken.
    package mutating func advance() {
        index += 1
        if isPoisson {
            sum -= log(1 - random.fraction()) / rate
            due = atTick(sum)
        } else if tick > Self.tickMin {
            due = start + tick * Int64(index)
        } else {
            due = atTick(Double(index) / rate)
        }
    }

    private func atTick(_ seconds: Double) -> Instant {
        let ticks = (seconds * 1e9 / Double(tick.nanoseconds)).rounded(.up)
        return start + tick * Int64(ticks)
    }
}
