import MartletBase
import MartletConfig

/// `martlet-bench membership`: how soon members learn of each other's comings and deaths, how often they are
/// wrong, and what it costs.
package enum MembershipCommand {
    package static let specification = CommandSpecification(
        "membership",
        "Detection of failures and its cost, in a simulated network of members. Runs no server.",
        options: [
            OptionSpecification("--nodes", value: "N,N,...", "Sizes, ascending (10,30,100,300,1000)."),
            OptionSpecification("--loss", value: "P,P,...", "Datagrams lost, in percent (0,5,10)."),
            OptionSpecification(
                "--ailing-nodes", value: "N", "The size at which members are slow and paused (100)."),
            OptionSpecification(
                "--tries", value: "N", "Networks for each row, a fifth of them from 500 members on (15)."),
            OptionSpecification("--seed", value: "N", "Of all that is drawn at random (1)."),
        ] + ReportFiles.options,
        examples: [
            ("martlet-bench membership --nodes 10,30", "two sizes, in a few seconds"),
            ("martlet-bench membership --output plots", "all of it, with plots"),
        ],
        notes: """
            Members run the code and the settings of martletd, in a network that delays datagrams by 0.2 to 2
            ms. Each try lets a network form, watches it for two minutes, then adds a member, then kills one.
            slow: a tenth of the members handle everything up to 1.5 s late. paused: they stand still for 4 of
            each 8 seconds. Without Lifeguard: no local health, and one timeout for every suspicion. wrong is
            how often, in an hour, a healthy member held a healthy one down, or one that only ailed.
            """)

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let options = OptionReader(line)
        let sizes = try options.wholes("--nodes", 3...1_000) ?? [10, 30, 100, 300, 1_000]
        let losses = try options.wholes("--loss", 0...50) ?? [0, 5, 10]
        let ailingNodes = try options.whole("--ailing-nodes", 3...1_000) ?? 100
        let tries = try options.whole("--tries", 1...1_000) ?? 15
        let seed = UInt64(try options.whole("--seed", 0...1_000_000_000) ?? 1)
        let files = try ReportFiles(line, command: "membership")
        var report = MembershipReport()
        func measure(_ cases: [MembershipCase], _ title: String) throws(Failure) {
            if files.talks { say("\n\(title)\n\(MembershipReport.table.header)") }
            for membership in cases {
                let run = MembershipRun(
                    seed: seed, tries: membership.nodes < 500 ? tries : max(1, tries / 5))
                let result = try run.run(membership, check: Interrupts.check)
                report.results.append(result)
                if files.talks { say(MembershipReport.table.row(result)) }
            }
        }
        try measure(
            sizes.flatMap { nodes in losses.map { MembershipCase(nodes: nodes, loss: $0) } },
            "healthy members")
        try measure(
            Ailment.allCases.flatMap { ailment in
                losses.flatMap { loss in
                    [true, false].map {
                        MembershipCase(
                            nodes: ailingNodes, loss: loss, ailment: ailment, hasLifeguard: $0)
                    }
                }
            }, "with and without Lifeguard, a tenth of the members ailing")
        try files.write(
            report.json, markdown: report.markdown,
            how: "\(tries) networks for each row, \(max(1, tries / 5)) from 500 members on; seed \(seed).",
            plots: report.plots)
    }
}
