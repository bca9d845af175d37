import MartletBase

/// The recent distribution of a latency in logarithmic buckets, four a doubling, from one microsecond to a
/// minute. Old observations fade: counts are halved each `halveEvery` observations.
struct LatencyWindow: Sendable {
    private static let bucketsPerDoubling = 4
    private static let bucketCount = 26 * bucketsPerDoubling
    private static let halveEvery: UInt32 = 4_096

    private var counts = [UInt32](repeating: 0, count: Self.bucketCount)
    private var total: UInt32 = 0
    private var sinceHalving: UInt32 = 0
    /// The last answer, and how many observations it is old: it is asked for with each read.
    private var answer: (share: Double, latency: Interval?)?
    private var answerAge: UInt32 = 0
    private static let answerAgeMax: UInt32 = 64

    private static func bucket(of interval: Interval) -> Int {
        let microseconds = UInt64(max(1, interval.microseconds))
        let doubling = 63 - microseconds.leadingZeroBitCount
        // The two bits behind the leading one.
        let quarter = doubling >= 2 ? Int(microseconds >> UInt64(doubling - 2)) & 3 : 0
        return min(doubling * bucketsPerDoubling + quarter, bucketCount - 1)
    }

    /// The upper bound of a bucket.
    private static func bound(of bucket: Int) -> Interval {
        let doubling = bucket / bucketsPerDoubling
        let quarter = bucket % bucketsPerDoubling
        return .microseconds(Int64(1) << Int64(doubling) + Int64(quarter + 1) << Int64(max(0, doubling - 2)))
    }

    mutating func add(_ interval: Interval) {
        counts[Self.bucket(of: interval)] += 1
        total += 1
        sinceHalving += 1
        answerAge += 1
        if sinceHalving >= Self.halveEvery {
            sinceHalving = 0
            total = 0
            for i in counts.indices {
                counts[i] /= 2
                total += counts[i]
            }
        }
    }

    /// What this share of the recent observations was at or below, but for the last few; nil before there
    /// are enough to say.
    mutating func percentile(_ share: Double) -> Interval? {
        if let answer, answer.share == share, answerAge < Self.answerAgeMax { return answer.latency }
        let latency = currentPercentile(share)
        answer = (share, latency)
        answerAge = 0
        return latency
    }

    private func currentPercentile(_ share: Double) -> Interval? {
        guard total >= 100 else { return nil }
        let rank = UInt32(Double(total) * share)
        var seen: UInt32 = 0
        for (bucket, count) in counts.enumerated() {
            seen += count
            if seen > rank { return Self.bound(of: bucket) }
        }
        return Self.bound(of: Self.bucketCount - 1)
    }
}
