import Glibc
import MartletBase
import MartletConfig

/// `martlet-bench compare`: Martlet beside redis-server, on this machine, from fresh starts.
package enum CompareCommand {
    package static let specification = CommandSpecification(
        "compare", "Starts Martlet and redis-server afresh, loads both in turns, and tells the ratios.",
        options: [
            OptionSpecification("--rounds", value: "N", "How often each load is run (3)."),
            OptionSpecification("--seconds", value: "N", "How long each load is measured (3)."),
            OptionSpecification(
                "--stage", value: "NAME", repeats: true,
                "Only these: \(Comparison.Stage.allCases.map(\.rawValue).joined(separator: ", "))."),
            OptionSpecification(
                "--large", "Stage large with 10 M keys and a block cache of 64 MiB, instead of a shorter one."
            ),
            OptionSpecification("--programs", value: "FOLDER", "Where martletd is (beside this program)."),
            OptionSpecification("--output", value: "FOLDER", "Write compare.json and plots there."),
            OptionSpecification(
                "--table", value: "FILE", "Write the table between its marks in this document."),
        ],
        examples: [
            ("martlet-bench compare", "everything, in about five minutes"),
            ("martlet-bench compare --stage batch --rounds 5", "one stage, five times"),
        ],
        notes: """
            Stages: periodic (three nodes beside redis-server with everysec, and a master with two replicas
            and WAIT 1), batch (beside appendfsync always), single (one node), nodes (3, 6 and 12), idle
            (starts, memory, processor time without load), large (more data than caches).

            100,000 keys of 16 bytes, values of 100 bytes, half reads, uniform, closed loop. Servers listen on
            a loopback network of their own, keep their data in a temporary folder, and end with this program.
            """)

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let reader = OptionReader(line)
        var settings = Comparison.Settings()
        settings.rounds = try reader.whole("--rounds", 1...100) ?? 3
        settings.seconds = try reader.number("--seconds", 0.1...600) ?? 3
        settings.isLarge = line.has("--large")
        settings.stages = try reader.choices("--stage", Comparison.Stage.allCases) ?? settings.stages
        let document = try line.value("--table").map { path throws(Failure) in
            try MarkedTable(path, command: "compare")
        }
        let own = linkTarget("/proc/self/exe") ?? ""
        let beside = own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
        let bench = try Workbench(programs: line.value("--programs") ?? beside)
        defer { bench.remove() }
        let machine = Machine(redis: try bench.redisVersion())
        let comparison = Comparison(settings, bench)
        try comparison.run()
        try show(comparison, machine, settings, line, document)
        if comparison.errorCount > 0 {
            throw Failure(.errors, "\(comparison.errorCount) requests failed: see above")
        }
    }

    private static func show(
        _ comparison: Comparison, _ machine: Machine, _ settings: Comparison.Settings,
        _ line: ParsedCommandLine, _ document: MarkedTable?
    ) throws(Failure) {
        let how =
            "\(settings.rounds) rounds of \(short(settings.seconds)) s in turns: medians, and of a ratio the"
            + " least and the greatest. \(machine.text)."
        let table = comparison.rows.markdown
        say("\n\(table)\n\(how)")
        try document?.write(table, how: how)
        guard let folder = line.value("--output") else { return }
        try makeFolder(folder)
        let json = JSON.object([
            ("format", .integer(1)), ("machine", machine.json), ("rounds", .integer(settings.rounds)),
            ("seconds", .number(settings.seconds)), ("rows", .array(comparison.rows.map(\.json))),
            ("trials", .array(comparison.trials)),
        ])
        try writeFile("\(folder)/compare.json", json.description + "\n")
        for (name, plot) in comparison.plots { try writeFile("\(folder)/\(name).svg", plot.svg) }
        complain("results: \(folder)/compare.json, plots beside it")
    }

    /// Lines of at most 110 columns.
}
