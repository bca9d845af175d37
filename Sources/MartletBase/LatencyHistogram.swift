/// The buckets in which latencies are counted, logarithmic: four a doubling, from one microsecond to about a
/// minute. A bucket holds what is above the bound of the one before it, up to and with its own; what is above
/// the last bound counts in the last bucket.
package enum LatencyBuckets {
    /// Bounds 1 and 2 µs, then 4 µs, then four for each doubling up to 2^26 µs.
    package static let count = 3 + 4 * 24

    package static func bucket(of interval: Interval) -> Int {
        // How many whole microseconds are below it.
        let below = UInt64(max(0, interval.nanoseconds - 1) / 1_000)
        if below < 4 { return below == 0 ? 0 : below == 1 ? 1 : 2 }
        let doubling = 63 - below.leadingZeroBitCount
        // The two bits behind the leading one.
        let quarter = Int(below >> UInt64(doubling - 2)) & 3
        return min(3 + 4 * (doubling - 2) + quarter, count - 1)
    }

    /// The upper bound of a bucket.
    package static func bound(of bucket: Int) -> Interval {
        if bucket < 3 { return .microseconds(1 << Int64(bucket)) }
        let doubling = (bucket - 3) / 4 + 2
        let quarter = (bucket - 3) % 4
        return .microseconds(Int64(1) << Int64(doubling) + Int64(quarter + 1) << Int64(doubling - 2))
    }

    /// The bound below which this share of what was counted lies.
    static func percentile(
        _ share: Double, of counts: some Collection<some UnsignedInteger>, total: Int
    ) -> Interval {
        let rank = Int(Double(total) * share)
        var seen = 0
        for (bucket, count) in counts.enumerated() {
            seen += Int(count)
            if seen > rank { return bound(of: bucket) }
        }
        return bound(of: Self.count - 1)
    }
}

/// Latencies since the start: what METRICS and INFO show.
package struct LatencyHistogram: Sendable {
    private var counts = [UInt64](repeating: 0, count: LatencyBuckets.count)
    package private(set) var count: UInt64 = 0
    package private(set) var sum = Interval.zero

    package init() {}

    package mutating func add(_ interval: Interval) {
        counts[LatencyBuckets.bucket(of: interval)] += 1
        count += 1
        sum = sum + interval
    }

    /// Nil when nothing was counted.
    package func percentile(_ share: Double) -> Interval? {
        count == 0 ? nil : LatencyBuckets.percentile(share, of: counts, total: Int(count))
    }

    /// A histogram's samples, in seconds: a bucket for each doubling, which a scraper can afford, from 16
    /// microseconds to 16 seconds.
    package func samples(labels: [MetricSample.Label] = []) -> [MetricSample] {
        var samples: [MetricSample] = []
        var total: UInt64 = 0
        var bucket = 0
        for doubling in Int64(4)...24 {
            let bound = Interval.microseconds(1 << doubling)
            while bucket < counts.count, LatencyBuckets.bound(of: bucket) <= bound {
                total += counts[bucket]
                bucket += 1
            }
            samples.append(
                MetricSample(
                    Double(total), labels: labels + [.init("le", "\(bound.seconds)")], suffix: "_bucket"))
        }
        samples.append(
            MetricSample(Double(count), labels: labels + [.init("le", "+Inf")], suffix: "_bucket"))
        samples.append(MetricSample(sum.seconds, labels: labels, suffix: "_sum"))
        samples.append(MetricSample(Double(count), labels: labels, suffix: "_count"))
        return samples
    }
}

/// The recent distribution of a latency: old observations fade, since counts are halved each `halveEvery`
/// observations.
package struct LatencyWindow: Sendable {
    private static let halveEvery: UInt32 = 4_096

    private var counts = [UInt32](repeating: 0, count: LatencyBuckets.count)
    private var total: UInt32 = 0
    private var sinceHalving: UInt32 = 0
    /// The last answer, and how many observations it is old: it is asked for with each read.
    private var answer: (share: Double, latency: Interval?)?
    private var answerAge: UInt32 = 0
    private static let answerAgeMax: UInt32 = 64

    package init() {}

    package mutating func add(_ interval: Interval) {
        counts[LatencyBuckets.bucket(of: interval)] += 1
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
    package mutating func percentile(_ share: Double) -> Interval? {
        if let answer, answer.share == share, answerAge < Self.answerAgeMax { return answer.latency }
        let latency =
            total < 100 ? nil : LatencyBuckets.percentile(share, of: counts, total: Int(total))
        answer = (share, latency)
        answerAge = 0
        return latency
    }
}

/// The distribution of a latency over the last ten to twenty seconds; longer where there is little to count.
/// What is older is forgotten wholly: of a busy time a hundredth, which fading leaves, would still be the
/// 99th percentile of the quiet time after it.
package struct RecentLatencies: Sendable {
    private static let span = Interval.seconds(10)
    /// So many say something.
    private static let enough = 100

    private var counts = [UInt32](repeating: 0, count: LatencyBuckets.count)
    private var total = 0
    private var before = [UInt32](repeating: 0, count: LatencyBuckets.count)
    private var beforeTotal = 0
    private var began = Instant.zero

    package init() {}

    package mutating func add(_ interval: Interval, now: Instant) {
        if total >= Self.enough, now - began >= Self.span {
            swap(&counts, &before)
            beforeTotal = total
            for bucket in counts.indices { counts[bucket] = 0 }
            total = 0
        }
        if total == 0 { began = now }
        counts[LatencyBuckets.bucket(of: interval)] += 1
        total += 1
    }

    /// What this share of them was at or below; nil before there are enough to say.
    package func percentile(_ share: Double) -> Interval? {
        guard total + beforeTotal >= Self.enough else { return nil }
        let sums = zip(counts, before).map { UInt64($0) + UInt64($1) }
        return LatencyBuckets.percentile(share, of: sums, total: total + beforeTotal)
    }
}
