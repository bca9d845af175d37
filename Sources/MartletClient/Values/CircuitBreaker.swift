import MartletBase

/// Keeps requests from a node that fails too many.
///
///     closed ──(under successMin of at least requestsMin in the window)──▶ open
///     open ──(after pause)──▶ half open: one request, the probe, is let through
///     half open ──(the probe succeeds)──▶ closed        ──(it fails)──▶ open, for twice as long
///
/// Only what says something about the node counts as a failure: connections refused or lost, silence, an
/// answer that it is full, forming or stopping. That replicas are missing is no failure of the one that says
/// so. (Nygard, "Release It!", 2007, chapter 5; a share of successes over a window, as Envoy and Finagle
/// count.)
package struct CircuitBreaker: Sendable {
    package struct Settings: Hashable, Sendable {
        /// The share of successes under which the breaker opens, in hundredths.
        package var successPercentMin = 95
        /// Fewer requests in the window say nothing.
        package var requestsMin = 20
        package var window = Interval.seconds(10)
        package var pauseMin = Interval.seconds(1)
        package var pauseMax = Interval.seconds(30)

        package init() {}
    }

    package enum State: Hashable, Sendable {
        case closed
        case open(until: Instant)
        /// The probe is under way; when it has no outcome until then another is let through.
        case halfOpen(until: Instant)
    }

    private struct Bucket {
        var successes = 0
        var failures = 0
    }

    private static let bucketCount = 10
    package let settings: Settings
    package private(set) var state = State.closed
    private var buckets = [Bucket](repeating: Bucket(), count: CircuitBreaker.bucketCount)
    /// The number of the bucket's time that was written to last: time divided by the bucket's length.
    private var bucketNumber: Int64 = 0
    private var opensInARow = 0

    package init(_ settings: Settings = Settings()) { self.settings = settings }

    /// Whether a request may go to the node now, without deciding that it does.
    package func wouldAdmit(now: Instant) -> Bool {
        switch state {
        case .closed: true
        case .open(let until), .halfOpen(let until): now >= until
        }
    }

    /// To be called for each request that goes to the node while `wouldAdmit`.
    /// - Returns: whether the request is the probe.
    package mutating func admit(now: Instant) -> Bool {
        guard state != .closed, wouldAdmit(now: now) else { return false }
        state = .halfOpen(until: now + pause)
        return true
    }

    /// Counts an outcome. Those of requests that went out before the breaker opened don't close it again.
    package mutating func record(isSuccess: Bool, isProbe: Bool = false, now: Instant) {
        switch state {
        case .open: return
        case .halfOpen:
            guard isProbe else { return }
            if isSuccess { return close() }
            open(now)
        case .closed:
            let index = advance(to: now)
            if isSuccess { buckets[index].successes += 1 } else { buckets[index].failures += 1 }
            if !isSuccess, isOverThreshold { open(now) }
        }
    }

    private var isOverThreshold: Bool {
        var successes = 0
        var failures = 0
        for bucket in buckets {
            successes += bucket.successes
            failures += bucket.failures
        }
        let total = successes + failures
        return total >= settings.requestsMin && successes * 100 < settings.successPercentMin * total
    }

    /// Empties the buckets whose time has come round again.
    private mutating func advance(to now: Instant) -> Int {
        let length = max(1, settings.window.nanoseconds / Int64(Self.bucketCount))
        let number = max(bucketNumber, now.nanoseconds / length)
        let passed = min(number - bucketNumber, Int64(Self.bucketCount))
        for step in 0..<passed { buckets[Self.index(number - step)] = Bucket() }
        bucketNumber = number
        return Self.index(number)
    }

    private static func index(_ number: Int64) -> Int { Int(number % Int64(bucketCount)) }

    private var pause: Interval {
        let doublings = min(max(opensInARow - 1, 0), 20)
        return min(settings.pauseMax, settings.pauseMin * (1 << doublings))
    }

    private mutating func open(_ now: Instant) {
        opensInARow += 1
        state = .open(until: now + pause)
    }

    private mutating func close() {
        state = .closed
        opensInARow = 0
        buckets = [Bucket](repeating: Bucket(), count: Self.bucketCount)
    }
}
