import MartletBase

/// A load's result for people and for programs.
extension LoadResult {
    package static let quantiles: [(name: String, value: Double)] = [
        ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999),
    ]

    /// Reads and writes apart, and all together when there are both.
    var groups: [(name: String, histogram: Histogram)] {
        let reads = tally.histogram { !$0.isWrite }
        let writes = tally.histogram { $0.isWrite }
        var out = [("reads", reads), ("writes", writes)].filter { $0.1.count > 0 }
        if out.count != 1 { out.append(("all", tally.histogram())) }
        return out
    }

    package func text() -> String {
        var lines = [plan.text, ""]
        lines.append(
            "\(padAfter("", 8))\(pad("operations", 12))\(pad("ops/s", 12))"
                + (Self.quantiles.map(\.name) + ["max"]).map { pad("\($0) ms", 11) }.joined())
        for (name, histogram) in groups {
            let perSecond = elapsed > .zero ? Double(histogram.count) / elapsed.seconds : 0
            let times = Self.quantiles.map { histogram.value(at: $0.value) } + [histogram.max]
            lines.append(
                padAfter(name, 8) + pad(grouped(Double(histogram.count)), 12) + pad(grouped(perSecond), 12)
                    + times.map { pad(decimal(Double($0) / 1e6, digits: 3), 11) }.joined())
        }
        lines.append("")
        lines.append("\(decimal(elapsed.seconds, digits: 2)) s from the first request to the last reply")
        if let serverMicroseconds {
            lines.append(
                "server processor time: \(decimal(serverMicroseconds / 1e3, digits: 4)) s for 1,000"
                    + " operations (\(decimal(serverMicroseconds, digits: 1)) us each)")
        } else {
            lines.append("server processor time: not known; --pid names the servers' processes")
        }
        lines.append("own processor time: \(decimal(clientMicroseconds, digits: 2)) us an operation")
        if tally.misses > 0 { lines.append("reads of keys that aren't there: \(tally.misses)") }
        if tally.unsent > 0 {
            lines.append("the rate was not reached: \(tally.unsent) operations were due and not sent")
        }
        for (kind, errors) in tally.errors.sorted(by: { $0.key < $1.key }) {
            lines.append("error \(kind): \(errors.count) times, the first: \(errors.example)")
        }
        return lines.joined(separator: "\n")
    }

    package var json: JSON {
        .object([
            ("format", .integer(1)),
            ("load", plan.json),
            ("seconds", .number(elapsed.seconds)),
            ("operations", .integer(operations)),
            ("operations_per_second", .number(perSecond)),
            ("server_cpu_seconds_per_1000", .optional(serverMicroseconds.map { $0 / 1e3 })),
            ("client_cpu_seconds_per_1000", .number(clientMicroseconds / 1e3)),
            (
                "latency_ms",
                .object(
                    groups.map { ($0.name, Self.latencies($0.histogram)) }
                        + OperationKind.allCases.compactMap { kind in
                            tally.histograms[kind.rawValue].map { (kind.name, Self.latencies($0)) }
                        })
            ),
            ("misses", .integer(tally.misses)),
            ("unsent", .integer(tally.unsent)),
            (
                "errors",
                .object(
                    tally.errors.sorted { $0.key < $1.key }.map { kind, errors in
                        (
                            kind,
                            .object([
                                ("count", .integer(errors.count)), ("example", .string(errors.example)),
                            ])
                        )
                    })
            ),
        ])
    }

    private static func latencies(_ histogram: Histogram) -> JSON {
        func milliseconds(_ value: Int) -> JSON { .number(Double(value) / 1e6) }
        return .object(
            [("count", .integer(Int(histogram.count))), ("mean", .number(histogram.mean / 1e6))]
                + quantiles.map { ($0.name, milliseconds(histogram.value(at: $0.value))) }
                + [("max", milliseconds(histogram.max))])
    }
}

extension LoadPlan {
    /// One line that tells the load.
    package var text: String {
        let loop =
            rate.map { "open loop, \(grouped($0.perSecond)) a second\($0.isPoisson ? " (Poisson)" : "")" }
            ?? "closed loop"
        var parts = ["\(workload.name): \(workload.text)", loop]
        parts.append("\(connections) connections\(isCluster ? " to each node" : ""), pipeline \(pipeline)")
        parts.append("\(grouped(Double(keyCount))) keys of \(keyBytes) bytes, values of \(valueText) bytes")
        if waitReplicas > 0 { parts.append("writes with WAIT \(waitReplicas)") }
        return parts.joined(separator: "; ")
    }

    private var valueText: String {
        valueBytes.count == 1
            ? "\(valueBytes.lowerBound)" : "\(valueBytes.lowerBound) to \(valueBytes.upperBound)"
    }

    var json: JSON {
        .object([
            ("targets", .array(targets.map { .string("\($0)") })),
            ("cluster", .boolean(isCluster)),
            ("connections", .integer(connections)),
            ("pipeline", .integer(pipeline)),
            ("threads", .integer(threads)),
            ("workload", .string(workload.name)),
            ("mix", .string(workload.text)),
            ("keys", .integer(keyCount)),
            ("key_bytes", .integer(keyBytes)),
            ("value_bytes", .array([.integer(valueBytes.lowerBound), .integer(valueBytes.upperBound)])),
            ("wait_replicas", .integer(waitReplicas)),
            ("rate", .optional(rate?.perSecond)),
            ("setup", .array(setup.map { .string($0.joined(separator: " ")) })),
            ("seed", .integer(Int(truncatingIfNeeded: seed))),
        ])
    }
}

extension Workload {
    /// `50% read, 50% update, zipf 0.99`.
    package var text: String {
        let kinds = OperationKind.allCases.filter { shares[$0.rawValue] > 0 }
        return
            (kinds.map { "\(decimal(shares[$0.rawValue] * 100, digits: 0))% \($0.name)" }
            + [distribution.text]).joined(separator: ", ")
    }
}

extension KeyDistribution {
    package var text: String {
        switch self {
        case .uniform: "uniform"
        case .zipf(let theta): "zipf \(short(theta))"
        case .latest(let theta): "latest \(short(theta))"
        case .sequential: "each key once"
        }
    }
}
