import MartletBase
import MartletConfig

/// `martlet-bench rebalance`: the ring changes under load.
package enum RebalanceCommand {
    package static let specification = CommandSpecification(
        "rebalance",
        "Starts nodes, loads data, and lets nodes come, go and die while clients go on: what does it cost?",
        options: [
            OptionSpecification("--bytes", value: "SIZE", "Of the data, each copy (1GiB)."),
            OptionSpecification("--value-bytes", value: "N", "Of each value (1000)."),
            OptionSpecification("--rate", value: "N", "Requests a second all the while (1000)."),
            OptionSpecification("--connections", value: "N", "Of the clients (16)."),
            OptionSpecification(
                "--settle", value: "TIME", "How long clients go on before the first step (20s)."),
            OptionSpecification("--quiet", value: "TIME", "How long before and after each step (5s)."),
            OptionSpecification(
                "--within", value: "TIME",
                "How long a step may take; the last is one that takes longer (120s)."),
            OptionSpecification(
                "--step", value: "NAME", repeats: true,
                "Only these: \(RebalanceStep.allCases.map(\.rawValue).joined(separator: ", "))."),
            OptionSpecification("--programs", value: "FOLDER", "Where martletd is (beside this program)."),
        ] + ReportFiles.options,
        examples: [
            ("martlet-bench rebalance", "1 GiB, all steps"),
            ("martlet-bench rebalance --bytes 16MiB --step join", "one step, in a minute"),
        ],
        notes: """
            Three nodes with three copies hold the data. n4 joins; n2 leaves; n3 is killed with kill -9 and n5
            takes its place; n6 and n7 join at once. Half of the requests are reads, uniform, at QUORUM, in an
            open loop: times count from when a request was due. In the end every node is asked for its own
            copy of every key: each owner must hold it, all the same version, and nobody else.

            Columns with three numbers are of the time before the change, of the change and after it.

            When a step fails or takes too long, those before it are written all the same, and no key is
            looked for: who has what is not settled then.

            Exit status: 0 done; 1 requests failed, or a key was not where it belongs; 2 wrong use; 7 a step
            failed; 130 interrupted.
            """)

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let settings = try settings(line)
        let files = try ReportFiles(line, command: "rebalance")
        let bench = try Workbench(programs: line.value("--programs") ?? Workbench.besideThisProgram)
        defer { bench.remove() }
        let machine = Machine(redis: nil)
        let run = try RebalanceRun(settings, bench)
        defer { run.ring.stop() }
        let filled = try run.fill()
        if files.talks {
            say("\(keyText(settings)) written at \(short(filled / 1e6)) MB/s")
            say(RebalanceReport.table.header)
        }
        var results: [RebalanceResult] = []
        let failure = steps(run) { result in
            results.append(result)
            if files.talks { say(RebalanceReport.table.row(result)) }
            for (kind, errors) in result.errors.sorted(by: { $0.key < $1.key }) {
                complain("\(errors.count) × \(kind): \(errors.example)")
            }
        }
        if let failure, failure.status == .interrupted { throw failure }
        let check = failure == nil ? try run.check() : nil
        let found =
            check.map { text(of: $0, keyText(settings)) } ?? "The run ended early: no key was looked for."
        if files.talks { say(found) }
        let report = RebalanceReport(results: results, keys: settings.keyCount, copies: check?.copies)
        try files.write(
            report.json, markdown: report.markdown,
            how:
                "\(grouped(Double(settings.bytes) / 1e6)) MB in values of \(settings.valueBytes) bytes,"
                + " three copies, \(grouped(settings.rate)) requests a second at QUORUM. \(found)"
                + " \(machine.text).",
            plots: report.plots)
        if let failure { throw failure }
        let errors = results.reduce(0) { $0 + $1.errorCount }
        if errors > 0 { throw Failure(.errors, "\(errors) requests failed: see above") }
        if let check, !check.wrong.isEmpty {
            throw Failure(.errors, "\(check.wrong.count) keys are not where they belong: \(check.example)")
        }
    }

    /// One after the other, up to one that fails or takes too long: tells why that was the last.
    private static func steps(_ run: RebalanceRun, _ tell: (RebalanceResult) -> Void) -> Failure? {
        for step in run.settings.steps {
            do throws(Failure) {
                let result = try run.run(step)
                tell(result)
                if !result.isBalanced {
                    let limit = run.settings.within.seconds
                    throw .refused("\(step.title): not over in \(limit) s: \(try run.changeInHand())")
                }
            } catch {
                return error
            }
        }
        return nil
    }

    private static func text(of check: KeyCheck.Outcome, _ keys: String) -> String {
        let copies = "At the end \(grouped(Double(check.copies))) copies of \(keys) were found"
        return check.wrong.isEmpty
            ? "\(copies), each on its owners alone." : "\(copies); \(check.wrong.count) keys are wrong."
    }

    private static func keyText(_ settings: RebalanceRun.Settings) -> String {
        "\(grouped(Double(settings.keyCount))) keys"
    }

    private static func settings(_ line: ParsedCommandLine) throws(Failure) -> RebalanceRun.Settings {
        let reader = OptionReader(line)
        var settings = RebalanceRun.Settings()
        settings.bytes = try reader.size("--bytes", 1 << 10...1 << 40) ?? settings.bytes
        settings.valueBytes = try reader.whole("--value-bytes", 1...1 << 20) ?? settings.valueBytes
        settings.rate = try reader.number("--rate", 1...1_000_000) ?? settings.rate
        settings.connections = try reader.whole("--connections", 1...1_000) ?? settings.connections
        settings.settle = try reader.time("--settle", isZeroAllowed: true) ?? settings.settle
        settings.quiet = try reader.time("--quiet") ?? settings.quiet
        settings.within = try reader.time("--within") ?? settings.within
        settings.steps = try reader.choices("--step", RebalanceStep.allCases) ?? settings.steps
        return settings
    }
}
