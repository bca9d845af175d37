import MartletBase
import MartletConfig

extension Command {
    static let metrics = Command(
        CommandSpecification(
            "metrics", "Shows the metrics of a node, or chosen ones of all nodes side by side.",
            options: [
                OptionSpecification(
                    "--match", value: "PATTERN", repeats: true,
                    "A table of the metrics whose names have this in them; * and ? stand for any characters "
                        + "and one.")
            ] + Session.options,
            examples: [
                ("martlet metrics", "all of one node, as Prometheus reads it"),
                ("martlet metrics --match requests", "what has to do with requests, a column a node"),
                ("martlet metrics --match 'martlet_storage_*' --node n2", "the storage of n2"),
                ("martlet metrics --match clients --json", "for scripts"),
            ],
            notes: """
                In a table a histogram is its count, its mean and the values below which half and 99% lie.
                Without --match one node is asked; with it all nodes that are up, unless --node or --host
                names one.
                """)
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let patterns = invocation.line.values("--match")
        guard !patterns.isEmpty else { return try MetricsReport.showAll(session, invocation) }
        let (nodes, missing) = try session.nodesToAsk(invocation)
        var columns: [MetricsReport.Column] = []
        for answer in NodeGroup().ask(nodes, [[Blob("MARTLET"), Blob("METRICS")]], within: .seconds(2)) {
            guard let text = answer.replies?.first?.blob?.text else {
                let problem =
                    answer.problem ?? answer.replies?.first?.errorText ?? "an answer that is no text"
                Output.complain("martlet: \(printable("\(answer.node): \(problem)"))\n")
                continue
            }
            columns.append(.init(node: answer.node.node ?? answer.node.host, metrics: Metrics(text)))
        }
        for node in missing where node.liveness != "up" {
            Output.complain("martlet: \(printable("\(node.name) is \(node.liveness), and was not asked"))\n")
        }
        let names = MetricsReport.names(columns.flatMap(\.metrics.families), patterns)
        if invocation.isJSON {
            Output.write(MetricsReport.json(columns, names))
        } else if !names.isEmpty {
            let terminal = Terminal.output
            Output.write(
                MetricsReport.text(columns, names, columnsMax: terminal.columns, palette: terminal.palette))
        }
        if names.isEmpty, !invocation.isJSON {
            let listed = patterns.map { quoted($0) }.joined(separator: ", ")
            Output.complain("martlet: no metric's name matches \(listed): `martlet metrics` lists all\n")
        }
        return names.isEmpty ? .negative : .done
    }
}

/// What `metrics` says.
package enum MetricsReport {
    package struct Column: Sendable {
        let node: String
        let metrics: Metrics

        package init(node: String, metrics: Metrics) {
            self.node = node
            self.metrics = metrics
        }
    }

    fileprivate static func showAll(
        _ session: Session, _ invocation: Invocation
    ) throws(Failure) -> ExitCode {
        let reply = try session.call(["MARTLET", "METRICS"])
        guard let text = reply.blob?.text else { throw session.notMartlet("metrics are a text") }
        if invocation.isJSON {
            let metrics = Metrics(text)
            let info = metrics["martlet_info"]?.samples.first?.label("node")
            let node = info ?? session.endpoint.node ?? session.endpoint.host
            Output.write(json([Column(node: node, metrics: metrics)], metrics.families.map(\.name)))
        } else {
            Output.write(text)
        }
        return .done
    }

    /// Each once, in the order in which nodes list them.
    package static func names(_ families: [Metrics.Family], _ patterns: [String]) -> [String] {
        var seen: Set<String> = []
        return families.map(\.name).filter { name in
            patterns.contains { matches(name, pattern: $0) } && seen.insert(name).inserted
        }
    }

    /// A row a sample, a column a node.
    package static func text(
        _ columns: [Column], _ names: [String], columnsMax: Int?, palette: Palette
    ) -> String {
        var table = Table(
            [.init("metric"), .init("labels")]
                + columns.enumerated().map { .init($0.element.node, right: true, rank: $0.offset) })
        for name in names {
            var rows: [Row] = []
            let cells = columns.map { column in column.metrics[name].map(samples) ?? [] }
            for row in cells.joined() where !rows.contains(row.row) { rows.append(row.row) }
            for row in rows {
                let values = cells.map { $0.first { $0.row == row }?.text ?? "-" }
                table.add([.init(row.name), .init(row.labels)] + values.map { Table.Cell($0) })
            }
            if rows.isEmpty {
                table.add([.init(name), "-"] + columns.map { _ in Table.Cell("-") })
            }
        }
        return table.text(columnsMax: columnsMax, palette: palette)
    }

    private struct Row: Hashable {
        let name: String
        let labels: String
    }

    private static func samples(_ family: Metrics.Family) -> [(row: Row, text: String)] {
        func labels(_ sample: Metrics.Sample) -> String {
            sample.labels.filter { $0.name != "le" }.map { "\($0.name)=\(printableLine($0.value))" }
                .joined(separator: " ")
        }
        guard family.kind == "histogram" else {
            return family.samples.map {
                (Row(name: $0.name, labels: labels($0)), value($0.value, of: $0.name))
            }
        }
        var sets: [String] = []
        for sample in family.samples where !sets.contains(labels(sample)) { sets.append(labels(sample)) }
        return sets.flatMap { set -> [(row: Row, text: String)] in
            guard let histogram = Histogram(family, where: { labels($0) == set }) else { return [] }
            let mean = histogram.count > 0 ? histogram.sum / histogram.count : nil
            let shown: [(String, Double?)] = [
                ("mean", mean), ("p50", histogram.quantile(0.5)), ("p99", histogram.quantile(0.99)),
            ]
            return [(Row(name: family.name + " count", labels: set), Quantities.count(histogram.count))]
                + shown.map { part, number in
                    (
                        Row(name: "\(family.name) \(part)", labels: set),
                        number.map { value($0, of: family.name) } ?? "-"
                    )
                }
        }
    }

    /// In the unit that the name ends in.
    private static func value(_ value: Double, of name: String) -> String {
        let base = name.hasSuffix("_total") ? String(name.dropLast(6)) : name
        if base.hasSuffix("_bytes") { return Quantities.bytes(value) }
        if base.hasSuffix("_seconds") {
            return value < 10
                ? Quantities.latency(milliseconds: value * 1_000) : Quantities.duration(seconds: value)
        }
        return value == value.rounded() && abs(value) < 1e15
            ? Quantities.decimal(value, digits: 0) : Quantities.decimal(value, digits: 3)
    }

    package static func json(_ columns: [Column], _ names: [String]) -> JSONValue {
        .object([
            ("format", .integer(1)),
            (
                "nodes",
                .array(
                    columns.map { column in
                        .object([
                            ("node", .string(column.node)),
                            ("families", .array(names.compactMap { column.metrics[$0].map(json) })),
                        ])
                    })
            ),
        ])
    }

    private static func json(_ family: Metrics.Family) -> JSONValue {
        .object([
            ("name", .string(family.name)), ("type", .string(family.kind)), ("help", .string(family.help)),
            (
                "samples",
                .array(
                    family.samples.map { sample in
                        .object([
                            ("name", .string(sample.name)),
                            ("labels", .object(sample.labels.map { ($0.name, .string($0.value)) })),
                            ("value", JSONValue.finite(sample.value)),
                        ])
                    })
            ),
        ])
    }
}
