import MartletBase

/// What came of the requests of one or more generators.
package struct LoadTally: Sendable {
    package struct Errors: Hashable, Sendable {
        package var count = 0
        /// The first of its kind, in the server's words.
        package var example: String

        package init(count: Int = 0, example: String) {
            self.count = count
            self.example = example
        }
    }

    /// Latencies by kind of operation, in the order of `OperationKind`; only of those without an error.
    package private(set) var histograms: [Histogram?] = OperationKind.allCases.map { _ in nil }
    /// By kind: the first word of the server's error, or what was wrong, in small letters.
    package private(set) var errors: [String: Errors] = [:]
    /// Reads that found nothing where something needn't be.
    package var misses = 0
    /// Due before the end and never sent: the server, or the generator, was too slow for the rate.
    package var unsent = 0
    package var began = Instant.distantFuture
    package var lastCompletion = Instant.zero
    /// Empty unless the plan wants one.
    package var timeline = LoadTimeline()

    package init() {}

    @inline(__always)
    package mutating func add(_ kind: OperationKind, nanoseconds: Int) {
        if histograms[kind.rawValue] == nil { histograms[kind.rawValue] = Histogram() }
        histograms[kind.rawValue]?.add(nanoseconds)
    }

    package mutating func fail(_ kind: String, _ example: String) {
        errors[kind, default: Errors(example: example)].count += 1
    }

    package mutating func merge(_ other: LoadTally) {
        for (index, histogram) in other.histograms.enumerated() {
            guard let histogram else { continue }
            if histograms[index] == nil { histograms[index] = histogram } else { merge(histogram, at: index) }
        }
        for (kind, more) in other.errors {
            errors[kind, default: Errors(example: more.example)].count += more.count
        }
        misses += other.misses
        unsent += other.unsent
        began = min(began, other.began)
        lastCompletion = max(lastCompletion, other.lastCompletion)
        timeline.merge(other.timeline)
    }

    private mutating func merge(_ histogram: Histogram, at index: Int) { histograms[index]?.merge(histogram) }

    package var errorCount: Int { errors.values.reduce(0) { $0 + $1.count } }

    /// Of the kinds for which `includes` holds, together.
    package func histogram(_ includes: (OperationKind) -> Bool = { _ in true }) -> Histogram {
        var out = Histogram()
        for kind in OperationKind.allCases where includes(kind) {
            if let histogram = histograms[kind.rawValue] { out.merge(histogram) }
        }
        return out
    }
}
