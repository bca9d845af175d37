import Glibc
import MartletBase
import MartletConfig

/// `martlet-bench run`: one load.
package enum RunCommand {
    package static let specification = CommandSpecification(
        "run", "Makes one load and tells its throughput, latencies and processor time.",
        options: LoadOptions.specifications + [
            OptionSpecification("--json", value: "FILE", "Write the result; - is stdout."),
            OptionSpecification("--histogram", value: "FILE", "Write all percentiles, as HdrHistogram does."),
            OptionSpecification("--plot", value: "FILE", "Draw the percentiles as SVG."),
            OptionSpecification("--allow-errors", "Exit with 0 though requests failed."),
        ],
        examples: [
            ("martlet-bench run", "half reads, 64 connections, 10 s, on 127.0.0.1:7379"),
            (
                "martlet-bench run --target 127.0.0.1 --target 127.0.0.2 --workload A --level ONE:QUORUM",
                "YCSB's A on two nodes"
            ),
            (
                "martlet-bench run --rate 20000 --duration 30s",
                "20,000 requests a second, whatever comes back"
            ),
            ("martlet-bench run --cluster --target 127.0.0.1:7380 --pipeline 16", "the cluster face"),
        ],
        notes: LoadOptions.notes + """


            Exit status: 0 done; 1 requests failed; 2 wrong use; 4 no connection; 7 refused; 130 interrupted.
            """)

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let (plan, wantsPreload) = try LoadOptions.plan(line)
        let servers = try servers(line, plan)
        if wantsPreload { try preload(plan) }
        let result = try LoadRun.run(plan, servers: servers)
        try show(result, line)
        if result.wasInterrupted { throw .interrupted }
        if result.tally.errorCount > 0, !line.has("--allow-errors") {
            throw Failure(.errors, "\(result.tally.errorCount) requests failed (--allow-errors accepts them)")
        }
    }

    /// Writes every key; errors are no preload.
    static func preload(_ plan: LoadPlan) throws(Failure) {
        let result = try LoadRun.run(plan.preload)
        if result.wasInterrupted { throw .interrupted }
        guard let (kind, errors) = result.tally.errors.min(by: { $0.key < $1.key }) else { return }
        throw Failure(
            .errors,
            "\(result.tally.errorCount) of \(plan.keyCount) keys could not be written first; \(kind):"
                + " \(errors.example)")
    }

    /// The server processes whose time is counted; none when they are elsewhere.
    static func servers(_ line: ParsedCommandLine, _ plan: LoadPlan) throws(Failure) -> [pid_t] {
        var given: [pid_t] = []
        for text in line.values("--pid") {
            guard let pid = pid_t(text), pid > 0, kill(pid, 0) == 0 || errno == EPERM else {
                throw .usage("--pid: there is no process \(text)")
            }
            given.append(pid)
        }
        if !given.isEmpty { return given }
        guard plan.targets.allSatisfy(\.ip.isLoopback) else { return [] }
        let addresses = plan.isCluster ? try ClusterRoute.ask(plan.targets).nodes : plan.targets
        return Listeners.processes(at: addresses) ?? []
    }

    private static func show(_ result: LoadResult, _ line: ParsedCommandLine) throws(Failure) {
        let json = line.value("--json")
        if json == "-" { say(result.json.description) } else { say(result.text()) }
        if let json, json != "-" { try writeFile(json, result.json.description + "\n") }
        if let path = line.value("--histogram") {
            try writeFile(path, result.tally.histogram().percentileText())
        }
        if let path = line.value("--plot") {
            let title = "Latency: \(result.plan.workload.text), \(result.plan.connections) connections"
            try writeFile(path, Plot.percentiles(title, result.groups).svg)
        }
    }
}
