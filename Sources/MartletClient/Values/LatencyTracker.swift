import MartletBase

/// How long requests take: counts in buckets whose bounds grow by about a fifth, older ones fading out.
///
/// A quantile is the upper bound of the bucket that holds it, so it is at most 25 % too high. After
/// `samplesMax` samples every count is halved: the figure follows what the latest few thousand say.
package struct LatencyTracker: Sendable {
    /// Four a doubling, from a microsecond to more than a day.
    private static let bucketCount = 4 * 37
    package static let samplesMax = 4_096

    private var counts = [UInt32](repeating: 0, count: LatencyTracker.bucketCount)
    package private(set) var samples = 0
    private var cached: (quantile: Double, value: Interval, samplesLeft: Int)?

    package init() {}

    package mutating func record(_ latency: Interval) {
        counts[Self.bucket(of: latency)] += 1
        samples += 1
        cached?.samplesLeft -= 1
        if samples < Self.samplesMax { return }
        samples = 0
        for index in counts.indices {
            counts[index] /= 2
            samples += Int(counts[index])
        }
    }

    /// The latency that this share of the samples doesn't exceed; nil before the first. Looked up anew each
    /// few dozen samples.
    package mutating func quantile(_ share: Double) -> Interval? {
        if samples == 0 { return nil }
        if let cached, cached.quantile == share, cached.samplesLeft > 0 { return cached.value }
        var left = Int((Double(samples) * share).rounded(.up))
        var value = Self.upperBound(of: Self.bucketCount - 1)
        for (index, count) in counts.enumerated() {
            left -= Int(count)
            if left <= 0 {
                value = Self.upperBound(of: index)
                break
            }
        }
        cached = (share, value, 64)
        return value
    }

    /// The position of the highest bit, and the two bits below it.
    private static func bucket(of latency: Interval) -> Int {
        let quarters = UInt64(max(4, latency.microseconds.multipliedReportingOverflow(by: 4).partialValue))
        let exponent = 63 - quarters.leadingZeroBitCount
        let fraction = Int(quarters >> UInt64(exponent - 2)) & 3
        return min((exponent - 2) * 4 + fraction, bucketCount - 1)
    }

    private static func upperBound(of bucket: Int) -> Interval {
        let (exponent, fraction) = bucket.quotientAndRemainder(dividingBy: 4)
        return Interval(nanoseconds: Int64(4 + fraction + 1) << Int64(exponent) * 250)
    }
}
