/// Results of placement as text, Markdown, JSON and plots.
package struct PlacementReport {
    let results: [PlacementResult]
    let rebalanced: [RebalancedResult]
    let copies: Int

    package init(results: [PlacementResult], rebalanced: [RebalancedResult], copies: Int) {
        self.results = results
        self.rebalanced = rebalanced
        self.copies = copies
    }

    static let table = ReportTable<PlacementResult>(
        label: .init("scheme", 12) { $0.kind.rawValue },
        [
            .init("nodes", 6) { "\($0.nodes)" },
            .init("max", 7) { decimal($0.grown.maximum, digits: 3) },
            .init("dev", 7) { decimal($0.grown.deviation, digits: 3) },
            .init("max, churned", 14) { decimal($0.churned.maximum, digits: 3) },
            .init("max, failed", 13) { decimal($0.failed.maximum, digits: 3) },
            .init("moved, join", 13) { decimal($0.joinMoves, digits: 3) },
            .init("moved, leave", 14) { decimal($0.leaveMoves, digits: 3) },
            .init("takers", 8) { decimal($0.receivers, digits: 1) },
            .init("sets", 10) { grouped(Double($0.distinctSets)) },
            .init("loss", 11) { chance($0.lossChance) },
            .init("bytes", 11) { grouped(Double($0.metadataBytes)) },
            .init("ns", 9) { grouped($0.lookupNanoseconds) },
        ])

    private static func chance(_ value: Double) -> String {
        let percent = value * 100
        return (percent >= 0.1 ? short(percent) : decimal(percent, digits: 5)) + "%"
    }

    private var zoneCounts: [Int] { Set(results.map(\.zones)).sorted() }

    package var markdown: String {
        zoneCounts.map { zones in
            "\n\(copies) copies, \(PlacementCommand.zoneText(zones)):\n\n"
                + Self.table.markdown(results.filter { $0.zones == zones })
        }.joined()
    }

    package var json: JSON {
        .object([
            ("format", .integer(1)), ("copies", .integer(copies)),
            ("results", .array(results.map(Self.json))),
            ("rebalanced", RebalancedReport(results: rebalanced).json),
        ])
    }

    private static func json(_ result: PlacementResult) -> JSON {
        func evenness(_ value: Evenness) -> JSON {
            .object([("max", .number(value.maximum)), ("deviation", .number(value.deviation))])
        }
        return .object([
            ("scheme", .string(result.kind.rawValue)), ("nodes", .integer(result.nodes)),
            ("zones", .integer(result.zones)), ("grown", evenness(result.grown)),
            ("churned", evenness(result.churned)), ("failed", evenness(result.failed)),
            ("join_moved", .number(result.joinMoves)), ("leave_moved", .number(result.leaveMoves)),
            ("joiner_share", .number(result.joinerShare)), ("leave_receivers", .number(result.receivers)),
            ("replica_sets", .integer(result.distinctSets)),
            ("loss_per_million", .number(result.lossChance * 1e6)),
            ("metadata_bytes", .integer(result.metadataBytes)),
            ("lookup_ns", .number(result.lookupNanoseconds)),
        ])
    }

    package var plots: [(name: String, plot: Plot)] {
        let own =
            rebalanced.isEmpty
            ? [] : [("placement-rebalance", RebalancedReport(results: rebalanced).plot)]
        return (results.isEmpty ? [] : schemePlots) + own
    }

    private var schemePlots: [(name: String, plot: Plot)] {
        var plots = zoneCounts.map { zones in
            (
                "placement-balance-\(zones)",
                plot(
                    "Fullest node over the mean, \(PlacementCommand.zoneText(zones))",
                    Plot.Axis("max/mean", .linear), zones
                ) { $0.grown.maximum }
            )
        }
        let zones = zoneCounts[0]
        let suffix = PlacementCommand.zoneText(zones)
        plots.append(
            (
                "placement-loss",
                plot(
                    "Chance that \(copies) lost nodes lose data, \(suffix)",
                    Plot.Axis("%", .logarithmic), zones
                ) { $0.lossChance * 100 }
            ))
        plots.append(
            (
                "placement-leave",
                plot(
                    "Sent when a node leaves, over what it held, \(suffix)",
                    Plot.Axis("times", .linear), zones
                ) { $0.leaveMoves }
            ))
        return plots
    }

    private func plot(_ title: String, _ y: Plot.Axis, _ zones: Int, _ value: (PlacementResult) -> Double)
        -> Plot
    {
        let sizes = Set(results.map(\.nodes)).sorted()
        return Plot(
            title, x: Plot.Axis("nodes", .logarithmic, marks: sizes.map { (Double($0), "\($0)") }),
            y: y,
            PlacementKind.allCases.map { kind in
                Plot.Series(
                    kind.rawValue,
                    results.filter { $0.kind == kind && $0.zones == zones }.map {
                        (Double($0.nodes), value($0))
                    })
            })
    }
}
