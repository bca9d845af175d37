/// Rings that were rebalanced, as text, Markdown and JSON.
package struct RebalancedReport {
    let results: [RebalancedResult]

    package init(results: [RebalancedResult]) { self.results = results }

    static let table = ReportTable<RebalancedResult>(
        [
            .init("zones", 6) { $0.zones == 1 ? "none" : "\($0.zones)" },
            .init("nodes", 7) { "\($0.nodes)" },
            .init("rings", 7) { "\($0.rings)" },
            .init("joined", 15) { both($0.grown, digits: 3) },
            .init("churned", 15) { both($0.churned, digits: 3) },
            .init("rebalanced", 15) { both($0.rebalanced, digits: 3) },
            .init("moved, %", 13) { both($0.moved, digits: 1) },
            .init("over the least", 16) { both($0.overLeast, digits: 2) },
        ])

    private static func both(_ middle: RebalancedResult.Middle, digits: Int) -> String {
        "\(decimal(middle.median, digits: digits)), \(decimal(middle.worst, digits: digits))"
    }

    package var markdown: String { Self.table.markdown(results) }

    var json: JSON {
        func both(_ middle: RebalancedResult.Middle) -> JSON {
            .object([("median", .number(middle.median)), ("worst", .number(middle.worst))])
        }
        return .array(
            results.map { result in
                .object([
                    ("nodes", .integer(result.nodes)), ("zones", .integer(result.zones)),
                    ("rings", .integer(result.rings)), ("joined", both(result.grown)),
                    ("churned", both(result.churned)), ("rebalanced", both(result.rebalanced)),
                    ("moved_percent", both(result.moved)), ("over_least", both(result.overLeast)),
                ])
            })
    }

    /// The worst rings.
    package var plot: Plot {
        let sizes = Set(results.map(\.nodes)).sorted()
        let zoneCounts = Set(results.map(\.zones)).sorted()
        let series = zoneCounts.flatMap { zones in
            let mine = results.filter { $0.zones == zones }
            let text = PlacementCommand.zoneText(zones)
            return [
                Plot.Series("churned, \(text)", mine.map { (Double($0.nodes), $0.churned.worst) }),
                Plot.Series("rebalanced, \(text)", mine.map { (Double($0.nodes), $0.rebalanced.worst) }),
            ]
        }
        return Plot(
            "Fullest node of the worst ring, over what it should hold",
            x: Plot.Axis("nodes", .logarithmic, marks: sizes.map { (Double($0), "\($0)") }),
            y: Plot.Axis("times", .linear), series)
    }
}
