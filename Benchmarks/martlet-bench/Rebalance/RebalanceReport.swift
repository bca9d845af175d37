import MartletBase

/// Results of rebalance as text, Markdown, JSON and plots.
package struct RebalanceReport: Sendable {
    package var results: [RebalanceResult]
    package var keys: Int
    /// That every node was found to hold at the end; nil when nobody looked.
    package var copies: Int?

    package init(results: [RebalanceResult], keys: Int, copies: Int?) {
        self.results = results
        self.keys = keys
        self.copies = copies
    }

    static let table = ReportTable<RebalanceResult>(
        label: .init("step", 31) { "\($0.step.title) (\($0.before.count) to \($0.after.count))" },
        [
            .init("balanced after, s", 19) {
                ($0.isBalanced ? "" : "not in ") + decimal($0.took.seconds, digits: 1)
            },
            .init("MB moved", 10) { grouped($0.bytesMoved / 1e6) },
            .init("over the least", 16) { $0.isBalanced ? decimal($0.overLeast, digits: 3) : "" },
            .init("MB/s", 7) { decimal($0.megabytesPerSecond, digits: 1) },
            .init("p50, ms", 22) { spread($0, 0.5) },
            .init("p99, ms", 22) { spread($0, 0.99) },
            .init("p99.9, ms", 24) { spread($0, 0.999) },
            .init("requests/s", 22) { rates($0) },
            .init("processors", 12) { decimal($0.processors, digits: 2) },
            .init("errors", 8) { "\($0.errorCount)" },
        ])

    /// Before, during and after it.
    private static func spread(_ result: RebalanceResult, _ quantile: Double) -> String {
        [result.quiet, result.meanwhile, result.afterwards]
            .map { decimal($0.milliseconds(at: quantile), digits: 2) }.joined(separator: ", ")
    }

    private static func rates(_ result: RebalanceResult) -> String {
        [result.quiet, result.meanwhile, result.afterwards].map { grouped($0.perSecond) }
            .joined(separator: ", ")
    }

    package var markdown: String { Self.table.markdown(results) }

    package var json: JSON {
        .object([
            ("format", .integer(1)), ("results", .array(results.map(Self.json))),
            ("keys", .integer(keys)), ("copies_found", copies.map(JSON.integer) ?? .null),
        ])
    }

    private static func json(_ result: RebalanceResult) -> JSON {
        .object([
            ("step", .string(result.step.rawValue)),
            ("before", .array(result.before.map(JSON.string))),
            ("after", .array(result.after.map(JSON.string))),
            ("took_s", .number(result.took.seconds)), ("balanced", .boolean(result.isBalanced)),
            ("records_least", .integer(result.recordsLeast)),
            ("records_moved", .number(result.recordsMoved)), ("bytes_moved", .number(result.bytesMoved)),
            ("over_least", .number(result.overLeast)), ("processors", .number(result.processors)),
            ("quiet", result.quiet.json), ("meanwhile", result.meanwhile.json),
            ("afterwards", result.afterwards.json),
            (
                "seconds",
                .array(
                    result.seconds.map {
                        .object([("at_s", .number($0.at)), ("latencies", $0.latencies.json)])
                    })
            ),
            (
                "errors",
                .object(
                    result.errors.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value.count)) })
            ),
            ("unsent", .integer(result.unsent)),
        ])
    }

    package var plots: [(name: String, plot: Plot)] {
        results.map { ("rebalance-\($0.step.rawValue)", Self.latencies($0)) }
            + [("rebalance-throughput", throughput)]
    }

    private static func latencies(_ result: RebalanceResult) -> Plot {
        let series = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)].map { name, quantile in
            Plot.Series(
                name, result.seconds.map { ($0.at + 0.5, $0.latencies.milliseconds(at: quantile)) })
        }
        return Plot(
            "Latency at QUORUM while \(result.step.title)",
            x: Plot.Axis(
                "seconds; marks: the change begins, all slots have their owners", .linear,
                marks: [(0, "0"), (result.took.seconds, short(result.took.seconds))]),
            y: Plot.Axis("ms", .logarithmic), series)
    }

    private var throughput: Plot {
        Plot(
            "Requests answered while the ring changes", x: Plot.Axis("seconds since the act", .linear),
            y: Plot.Axis("requests/s", .linear),
            results.map { result in
                Plot.Series(
                    result.step.rawValue, result.seconds.map { ($0.at + 0.5, $0.latencies.perSecond) })
            })
    }
}
