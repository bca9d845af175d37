import MartletBase

/// How long to pause before the next attempt: doubled from one to the next, and half of it drawn at random,
/// so that many callers who failed at once don't come back at once.
///
///     pause(n) = d/2 + uniform(0, d/2),  d = min(max, min * 2^(n-1))
package struct Backoff: Hashable, Sendable {
    package let pauseMin: Interval
    package let pauseMax: Interval

    package init(pauseMin: Interval, pauseMax: Interval) {
        self.pauseMin = pauseMin
        self.pauseMax = max(pauseMin, pauseMax)
    }

    /// - Parameter failures: attempts that have failed in a row, at least one.
    package func pause(afterFailures failures: Int, _ random: inout Random) -> Interval {
        let doublings = min(max(failures - 1, 0), 30)
        let ceiling = min(pauseMax.nanoseconds, pauseMin.nanoseconds.multipliedClamping(by: 1 << doublings))
        return Interval(nanoseconds: ceiling - random.within(0...ceiling / 2))
    }
}

extension Int64 {
    fileprivate func multipliedClamping(by factor: Int64) -> Int64 {
        let (product, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? .max : product
    }
}
