import MartletBase
import MartletConfig
import MartletRing

/// `martlet-bench datacenters`: what each level costs where other data centres are far.
package enum DataCentersCommand {
    package static let specification = CommandSpecification(
        "datacenters",
        "Starts nodes in three data centres that are far from each other: what do levels cost?",
        options: [
            OptionSpecification("--round-trip", value: "TIME", "From each data centre to each other (50ms)."),
            OptionSpecification("--connections", value: "N", "Of the clients, one request on each (16)."),
            OptionSpecification("--keys", value: "N", "Number of keys (5000)."),
            OptionSpecification(
                "--duration", value: "TIME", "Of the reads and of the writes at each level (5s)."),
            OptionSpecification(
                "--level", value: "NAME", repeats: true,
                "Only these (ONE, LOCAL_QUORUM, QUORUM, EACH_QUORUM, ALL)."),
            OptionSpecification("--programs", value: "FOLDER", "Where martletd is (beside this program)."),
        ] + ReportFiles.options,
        examples: [
            ("martlet-bench datacenters", "in a minute and a half"),
            ("martlet-bench datacenters --round-trip 150ms --level QUORUM", "further away"),
        ],
        notes: """
            Each data centre is a network namespace of this machine; this program carries the packets between
            them, each after half of the round trip. So it needs the rights of root, /dev/net/tun, ip and
            nsenter. The first data centre has three nodes, the others two, each with a copy of every key;
            clients are in the first one alone, on its nodes. Keys have 16 bytes and values 100.

            Exit status: 0 done; 2 wrong use; 7 refused, or requests failed; 130 interrupted.
            """)

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let settings = try settings(line)
        let files = try ReportFiles(line, command: "datacenters")
        let bench = try Workbench(programs: line.value("--programs") ?? Workbench.besideThisProgram)
        defer { bench.remove() }
        let machine = Machine(redis: nil)
        let run = try DataCentersRun(settings, bench)
        defer { run.stop() }
        if files.talks { say(DataCentersReport.table.header) }
        var results: [DataCentersResult] = []
        for level in settings.levels {
            let result = try run.run(level)
            results.append(result)
            if files.talks { say(DataCentersReport.table.row(result)) }
        }
        let report = DataCentersReport(results: results)
        try files.write(
            report.json, markdown: report.markdown,
            how:
                "Data centres of \(DataCentersRun.nodes.map { "\($0)" }.joined(separator: ", ")) nodes, each"
                + " with a copy of every key, and a round trip of"
                + " \(short(settings.roundTrip.seconds * 1e3)) ms between them; \(settings.connections)"
                + " connections in the first. \(machine.text).",
            plots: [])
    }

    private static func settings(_ line: ParsedCommandLine) throws(Failure) -> DataCentersRun.Settings {
        let reader = OptionReader(line)
        var settings = DataCentersRun.Settings()
        settings.roundTrip = try reader.time("--round-trip", isZeroAllowed: true) ?? settings.roundTrip
        settings.connections = try reader.whole("--connections", 1...1_000) ?? settings.connections
        settings.keys = try reader.whole("--keys", 1...1_000_000) ?? settings.keys
        settings.duration = try reader.time("--duration") ?? settings.duration
        let names = line.values("--level")
        if !names.isEmpty {
            settings.levels = try names.map { name throws(Failure) in
                guard let level = ConsistencyLevel(name.uppercased()), level != .any else {
                    throw .usage(
                        "--level: found \"\(name)\", allowed: a level that reads have, such as QUORUM")
                }
                return level
            }
        }
        return settings
    }
}
