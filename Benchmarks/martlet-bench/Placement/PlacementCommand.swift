import MartletBase
import MartletConfig

/// `martlet-bench placement`: schemes that decide who holds a key, compared without any node running.
package enum PlacementCommand {
    package static let specification = CommandSpecification(
        "placement",
        "Compares ways of placing keys on nodes: balance, movement, risk and cost. Runs no server.",
        options: [
            OptionSpecification(
                "--nodes", value: "N,N,...", "Sizes, ascending (3,6,12,30,99,300,999)."),
            OptionSpecification("--zones", value: "N,N,...", "Numbers of zones, 1 is none (1,3)."),
            OptionSpecification("--copies", value: "N", "Copies of each key, 1 to 4 (3)."),
            OptionSpecification("--seed", value: "N", "Of all that is drawn at random (1)."),
            OptionSpecification(
                "--part", value: "NAME", repeats: true,
                "Only these: \(Part.allCases.map(\.rawValue).joined(separator: ", "))."),
        ] + ReportFiles.options,
        examples: [
            ("martlet-bench placement --nodes 3,12,99", "three sizes, in a few seconds"),
            ("martlet-bench placement --output plots", "all of it, with plots"),
        ],
        notes: """
            Clusters grow node by node. At each size one more joins, one leaves (the mean of three tries), as
            many as 64 leave and join in turns, and a tenth fails for good, each from the same cluster.
            max and dev are the fullest node's load and the standard deviation, over the mean, of all copies
            that a node holds. moved is what is sent over the least that must be: what the joiner then holds,
            what the leaver held. loss is the chance that losing any COPIES nodes loses data. Rendezvous and
            jump hashing decide for each key; 1,048,576 keys stand for all. Look-ups are the best of 5 rounds.

            Then many rings of this project's own grow, have twice as many nodes leave or join at random,
            each in a zone at random, and are rebalanced. joined, churned and rebalanced are the fullest
            node's load over what it should hold as far as the zones allow; moved is of all copies, and over
            what nodes gained on balance.
            """)

    private enum Part: String, CaseIterable {
        /// All schemes beside each other.
        case schemes
        /// This project's own after joins, leaves and `martlet rebalance`.
        case rebalanced
    }

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let options = OptionReader(line)
        let sizes = try options.wholes("--nodes", 1...1_000) ?? [3, 6, 12, 30, 99, 300, 999]
        guard zip(sizes, sizes.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw .usage("--nodes: the sizes must ascend")
        }
        let zoneCounts = try options.wholes("--zones", 1...16) ?? [1, 3]
        let copies = try options.whole("--copies", 1...4) ?? 3
        let seed = try options.whole("--seed", 0...1_000_000_000) ?? 1
        let parts = try options.choices("--part", Part.allCases) ?? Part.allCases
        let files = try ReportFiles(line, command: "placement")
        let ownTable = try line.value("--table").map { path throws(Failure) in
            try MarkedTable(path, command: "placement --part rebalanced")
        }
        let schemes =
            parts.contains(.schemes)
            ? try schemes(
                PlacementRun(copies: copies, seed: UInt64(seed), timesLookups: true), sizes: sizes,
                zoneCounts: zoneCounts, talks: files.talks) : []
        let rebalanced =
            parts.contains(.rebalanced)
            ? try rebalanced(
                sizes: line.value("--nodes") == nil ? RebalancedRing.sizes : sizes.filter { 4...100 ~= $0 },
                zoneCounts: line.value("--zones") == nil ? [1, 2, 3] : zoneCounts, copies, UInt64(seed),
                talks: files.talks) : []
        let report = PlacementReport(results: schemes, rebalanced: rebalanced, copies: copies)
        try files.write(
            report.json, markdown: schemes.isEmpty ? nil : report.markdown,
            how: "Seed \(seed). Look-ups were timed on \(Machine(redis: nil).text).",
            plots: report.plots)
        if !rebalanced.isEmpty {
            try ownTable?.write(
                RebalancedReport(results: rebalanced).markdown,
                how: "Seed \(seed); Martlet, \(copies) copies; median, worst:")
        }
    }

    private static func schemes(
        _ run: PlacementRun, sizes: [Int], zoneCounts: [Int], talks: Bool
    ) throws(Failure) -> [PlacementResult] {
        var results: [PlacementResult] = []
        for zones in zoneCounts {
            if talks { say("\n\(run.copies) copies, \(zoneText(zones))\n" + PlacementReport.table.header) }
            for kind in PlacementKind.allCases {
                try run.run(kind, zones: zones, sizes: sizes, check: Interrupts.check) {
                    result throws(Failure) in
                    results.append(result)
                    if talks { say(PlacementReport.table.row(result)) }
                }
            }
        }
        return results
    }

    private static func rebalanced(
        sizes: [Int], zoneCounts: [Int], _ copies: Int, _ seed: UInt64, talks: Bool
    ) throws(Failure) -> [RebalancedResult] {
        if talks {
            say(
                "\njoins and leaves at random, then rebalanced: median, worst\n"
                    + RebalancedReport.table.header)
        }
        var results: [RebalancedResult] = []
        for zones in zoneCounts {
            for size in sizes where size >= copies {
                let result = try RebalancedRing.run(
                    size: size, zones: zones, copies: copies, seed: seed,
                    rings: RebalancedRing.rings(ofSize: size), check: Interrupts.check)
                results.append(result)
                if talks { say(RebalancedReport.table.row(result)) }
            }
        }
        return results
    }

    static func zoneText(_ zones: Int) -> String { zones == 1 ? "no zones" : "\(zones) zones" }
}
