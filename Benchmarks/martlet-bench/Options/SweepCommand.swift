import Glibc
import MartletBase
import MartletConfig

/// `martlet-bench sweep`: the same load at several numbers of connections.
package enum SweepCommand {
    package static let specification = CommandSpecification(
        "sweep", "Runs a load at several numbers of connections, and draws throughput and latency over them.",
        options: LoadOptions.specifications.filter { $0.name != "--connections" } + [
            OptionSpecification("--connections", value: "N,N,...", "(1,2,4,8,16,32,64,128)"),
            OptionSpecification("--json", value: "FILE", "Write the results."),
            OptionSpecification("--plot", value: "FILE", "Draw operations a second over connections as SVG."),
            OptionSpecification("--plot-latency", value: "FILE", "Draw p50, p99 and p99.9 over connections."),
            OptionSpecification("--allow-errors", "Exit with 0 though requests failed."),
        ],
        examples: [
            ("martlet-bench sweep --duration 5s --plot throughput.svg", "a curve of eight points of 5 s")
        ],
        notes: LoadOptions.notes)

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let counts =
            try OptionReader(line).wholes("--connections", 1...10_000) ?? [1, 2, 4, 8, 16, 32, 64, 128]
        let (base, wantsPreload) = try LoadOptions.plan(line, connections: counts.min() ?? 1)
        let servers = try RunCommand.servers(line, base)
        if wantsPreload { try RunCommand.preload(base) }
        say(base.text)
        say(
            "\n" + pad("connections", 12) + pad("ops/s", 12)
                + ["p50", "p99", "p99.9", "max"].map { pad("\($0) ms", 11) }.joined()
                + pad("server us/op", 14) + pad("errors", 8))
        var results: [LoadResult] = []
        for count in counts {
            var plan = base
            plan.connections = count
            let result = try LoadRun.run(plan, servers: servers)
            if result.wasInterrupted { throw .interrupted }
            results.append(result)
            say(row(result))
        }
        if let path = line.value("--json") {
            try writeFile(path, JSON.array(results.map(\.json)).description + "\n")
        }
        if let path = line.value("--plot") { try writeFile(path, throughput(results).svg) }
        if let path = line.value("--plot-latency") { try writeFile(path, latency(results).svg) }
        let errors = results.reduce(0) { $0 + $1.tally.errorCount }
        if errors > 0, !line.has("--allow-errors") {
            throw Failure(.errors, "\(errors) requests failed (--allow-errors accepts them)")
        }
    }

    private static func row(_ result: LoadResult) -> String {
        let all = result.tally.histogram()
        let times = [all.value(at: 0.5), all.value(at: 0.99), all.value(at: 0.999), all.max]
        return pad("\(result.plan.connections)", 12) + pad(grouped(result.perSecond), 12)
            + times.map { pad(decimal(Double($0) / 1e6, digits: 3), 11) }.joined()
            + pad(result.serverMicroseconds.map { decimal($0, digits: 1) } ?? "-", 14)
            + pad("\(result.tally.errorCount)", 8)
    }

    static func throughput(_ results: [LoadResult]) -> Plot {
        Plot(
            "Operations a second over connections", x: connections(results),
            y: Plot.Axis("ops/s", .linear),
            [
                Plot.Series(
                    results.first?.plan.workload.text ?? "",
                    results.map { (Double($0.plan.connections), $0.perSecond) })
            ])
    }

    static func latency(_ results: [LoadResult]) -> Plot {
        let series = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)].map { name, quantile in
            Plot.Series(
                name,
                results.map { result in
                    let value = result.tally.histogram().value(at: quantile)
                    return (Double(result.plan.connections), Double(value) / 1e6)
                })
        }
        return Plot(
            "Latency over connections", x: connections(results), y: Plot.Axis("ms", .logarithmic), series)
    }

    private static func connections(_ results: [LoadResult]) -> Plot.Axis {
        Plot.Axis(
            "connections", .logarithmic,
            marks: results.map { (Double($0.plan.connections), "\($0.plan.connections)") })
    }
}
