/// Counts of latencies in nanoseconds, each kept to three significant digits, whatever its size.
///
/// The layout is HdrHistogram's: values below 2,048 have a bucket each; above that every doubling has 1,024
/// buckets. So a value v is counted in a bucket that is at most v / 1,024 wide, and a percentile is off by
/// less than 0.1%. Two histograms merge by adding their counts, without any loss.
///
///     index(v) = v                          v < 2,048
///     index(v) = 1,024 k + (v >> k)         k = floor(log2 v) - 10
///
/// Values are held to 0 ... 2^42 - 1 (73 minutes): what is longer is counted there, and `max` is exact.
package struct Histogram: Hashable, Sendable {
    private static let halfBits = 10
    private static let half = 1 << halfBits
    package static let valueMax = 1 << 42 - 1
    private static let indexCount = (42 - halfBits) * half + half

    private var counts: [UInt64]
    package private(set) var count: UInt64 = 0
    /// Exact; 0 when nothing was counted.
    package private(set) var max = 0
    private var min = Int.max
    private var sum = 0.0
    private var squares = 0.0

    package init() { counts = [UInt64](repeating: 0, count: Self.indexCount) }

    package mutating func add(_ nanoseconds: Int) {
        let value = Swift.min(Swift.max(0, nanoseconds), Self.valueMax)
        counts[Self.index(of: value)] &+= 1
        count &+= 1
        if nanoseconds > max { max = nanoseconds }
        if value < min { min = value }
        let number = Double(value)
        sum += number
        squares += number * number
    }

    package mutating func merge(_ other: Histogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        count += other.count
        max = Swift.max(max, other.max)
        min = Swift.min(min, other.min)
        sum += other.sum
        squares += other.squares
    }

    package var mean: Double { count == 0 ? 0 : sum / Double(count) }

    package var standardDeviation: Double {
        count == 0 ? 0 : Swift.max(0, squares / Double(count) - mean * mean).squareRoot()
    }

    /// The value that a share `quantile` (0 to 1) of all doesn't exceed, in nanoseconds: the largest of its
    /// bucket, as HdrHistogram gives it. 0 when nothing was counted.
    package func value(at quantile: Double) -> Int {
        if count == 0 { return 0 }
        let rank = Swift.max(1, (Double(count) * quantile).rounded(.up))
        var seen: UInt64 = 0
        for (index, here) in counts.enumerated() where here > 0 {
            seen += here
            if Double(seen) >= rank { return Swift.min(Self.largest(of: index), max) }
        }
        return max
    }

    /// The buckets that hold something: their largest value and how many values are at or below it.
    package var cumulative: [(value: Int, count: UInt64)] {
        var seen: UInt64 = 0
        var out: [(value: Int, count: UInt64)] = []
        for (index, here) in counts.enumerated() where here > 0 {
            seen += here
            out.append((Swift.min(Self.largest(of: index), max), seen))
        }
        return out
    }

    private static func index(of value: Int) -> Int {
        if value < 2 * half { return value }
        let shift = Int.bitWidth - 1 - value.leadingZeroBitCount - halfBits
        return shift << halfBits + value >> shift
    }

    private static func largest(of index: Int) -> Int {
        if index < 2 * half { return index }
        let shift = index >> halfBits - 1
        let part = index & (half - 1) + half
        return (part + 1) << shift - 1
    }
}

extension Histogram {
    /// The percentile distribution as HdrHistogram's tools write it and plot it, values in milliseconds.
    package func percentileText() -> String {
        var out = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
        let steps = cumulative
        var quantile = 0.0
        for (position, step) in steps.enumerated() {
            let reached = Double(step.count) / Double(Swift.max(count, 1))
            // Five lines for each halving of what is left, so that the tail is as fine as the middle.
            if reached < quantile, position < steps.count - 1 { continue }
            let inverse = reached < 1 ? pad(decimal(1 / (1 - reached), digits: 2), 14) : ""
            out += pad(decimal(Double(step.value) / 1e6, digits: 3), 12)
            out += " " + decimal(reached, digits: 12) + " " + pad(String(step.count), 10)
            out += inverse.isEmpty ? "\n" : " \(inverse)\n"
            while quantile <= reached, quantile < 1 {
                let left = 1 - quantile
                let halvings = Double(Int((1 / left).exponent) + 1)
                let next = quantile + 1 / (exp2(halvings) * 5)
                if next <= quantile { break }
                quantile = next
            }
        }
        out += "#[Mean    = \(pad(decimal(mean / 1e6, digits: 3), 12)), "
        out += "StdDeviation   = \(pad(decimal(standardDeviation / 1e6, digits: 3), 12))]\n"
        out += "#[Max     = \(pad(decimal(Double(max) / 1e6, digits: 3), 12)), "
        out += "Total count    = \(pad(String(count), 12))]\n"
        out += "#[Buckets = \(pad(String(42 - Self.halfBits), 12)), "
        out += "SubBuckets     = \(pad(String(2 * Self.half), 12))]\n"
        return out
    }
}

private func exp2(_ exponent: Double) -> Double {
    Double(sign: .plus, exponent: Int(exponent), significand: 1)
}
