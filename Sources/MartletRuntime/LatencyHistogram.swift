import MartletBase

/// Counts of latencies since the start, in the buckets that METRICS shows: powers of two from 16 microseconds
/// to 16 seconds.
package struct LatencyHistogram: Sendable {
    package static let bounds: [Interval] = (4..<25).map { .microseconds(1 << Int64($0)) }

    /// One for each bound, and one for what is above the last.
    package private(set) var counts = [UInt64](repeating: 0, count: Self.bounds.count + 1)
    package private(set) var count: UInt64 = 0
    package private(set) var sum = Interval.zero

    package init() {}

    package mutating func add(_ interval: Interval) {
        let microseconds = UInt64(max(1, interval.microseconds))
        let doubling = 64 - (microseconds - 1).leadingZeroBitCount
        counts[min(max(0, doubling - 4), Self.bounds.count)] += 1
        count += 1
        sum = sum + interval
    }
}
