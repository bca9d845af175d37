import MartletBase

/// The requests of a load by when they began: what a change of the servers costs, and for how long.
///
/// Times are kept, not counted in buckets: a histogram for each tenth of a second would take a hundred times
/// the memory.
package struct LoadTimeline: Sendable {
    /// How finely beginnings are told apart.
    package static let step = Interval.milliseconds(100)

    /// Microseconds that the requests of each step took, by the step's number since the clock's zero.
    private var steps: [Int64: [UInt32]] = [:]

    package init() {}

    @inline(__always)
    package mutating func add(_ start: Instant, took: Interval) {
        let step = start.nanoseconds / Self.step.nanoseconds
        steps[step, default: []].append(UInt32(clamping: took.nanoseconds / 1_000))
    }

    package mutating func merge(_ other: LoadTimeline) {
        for (step, times) in other.steps { steps[step, default: []] += times }
    }

    /// What the requests that began between two instants took: whole steps.
    package func latencies(_ from: Instant, _ to: Instant) -> Latencies {
        let first = from.nanoseconds / Self.step.nanoseconds
        let last = max(first, to.nanoseconds / Self.step.nanoseconds)
        var all: [UInt32] = []
        for step in first..<last { all += steps[step] ?? [] }
        return Latencies(all, over: Interval(nanoseconds: (last - first) * Self.step.nanoseconds))
    }
}

/// What requests took, in milliseconds.
package struct Latencies: Hashable, Sendable {
    package let count: Int
    package let perSecond: Double
    private let ascending: [UInt32]

    package init(_ microseconds: [UInt32], over time: Interval) {
        ascending = microseconds.sorted()
        count = microseconds.count
        perSecond = time > .zero ? Double(count) / time.seconds : 0
    }

    /// The time that a share `quantile` of them didn't exceed; 0 of none.
    package func milliseconds(at quantile: Double) -> Double {
        if ascending.isEmpty { return 0 }
        let rank = Int((Double(count) * quantile).rounded(.up))
        return Double(ascending[min(max(rank, 1), count) - 1]) / 1_000
    }

    var json: JSON {
        .object([
            ("requests", .integer(count)), ("per_second", .number(perSecond)),
            ("p50_ms", .number(milliseconds(at: 0.5))), ("p99_ms", .number(milliseconds(at: 0.99))),
            ("p999_ms", .number(milliseconds(at: 0.999))), ("max_ms", .number(milliseconds(at: 1))),
        ])
    }
}
