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
            """)

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let options = OptionReader(line)
        let sizes = try options.wholes("--nodes", 1...1_000) ?? [3, 6, 12, 30, 99, 300, 999]
        guard zip(sizes, sizes.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw .usage("--nodes: the sizes must ascend")
        }
        let zoneCounts = try options.wholes("--zones", 1...16) ?? [1, 3]
        let copies = try options.whole("--copies", 1...4) ?? 3
        let seed = try options.whole("--seed", 0...1_000_000_000) ?? 1
        let run = PlacementRun(copies: copies, seed: UInt64(seed), timesLookups: true)
        let files = try ReportFiles(line, command: "placement")
        var results: [PlacementResult] = []
        for zones in zoneCounts {
            if files.talks { say("\n\(copies) copies, \(zoneText(zones))\n" + PlacementReport.header) }
            for kind in PlacementKind.allCases {
                try run.run(kind, zones: zones, sizes: sizes, check: Interrupts.check) {
                    result throws(Failure) in
                    results.append(result)
                    if files.talks { say(PlacementReport.row(result)) }
                }
            }
        }
        let report = PlacementReport(results: results, copies: copies)
        try files.write(
            report.json, markdown: report.markdown,
            how: "Seed \(seed). Look-ups were timed on \(Machine(redis: nil).text).",
            plots: report.plots)
    }

    static func zoneText(_ zones: Int) -> String { zones == 1 ? "no zones" : "\(zones) zones" }
}
