import Glibc
import MartletBase
import MartletConfig

extension Command {
    static let bench = Command(
        CommandSpecification(
            "bench", "Measures a cluster with martlet-bench.",
            arguments: [
                ArgumentSpecification("ARGUMENT", "what martlet-bench takes, as it is", .optional)
            ],
            examples: [
                ("martlet bench", "the usual load on the cluster here"),
                ("martlet bench --workload A --connections 16", "YCSB's A from 16 connections"),
                ("martlet --config five/cluster.yaml bench sweep", "another cluster, over connections"),
                ("martlet --json bench", "the result as JSON"),
            ],
            takesRest: true,
            notes: """
                Runs martlet-bench from beside martlet, else from PATH, in this process's place; its exit
                status is that of the command. Its own command is `run` if none is said. Unless --target is
                among the arguments, run and sweep are given the addresses of the cluster's nodes. Options
                of martlet itself stand before the word bench; `martlet-bench run --help` lists the others.
                """)
    ) { invocation throws(Failure) in
        let program = try Launcher.find(
            "martlet-bench", environment: invocation.environment,
            missing: "`swift build -c release --product martlet-bench` in Martlet's sources makes it")
        let known = try ClusterFile.running(invocation)?.endpoints
        let endpoints = known ?? [Endpoint(host: "127.0.0.1", port: Endpoint.portDefault)]
        let words =
            [program]
            + BenchArguments.completed(
                invocation.line.arguments, targets: endpoints.map(\.place), isJSON: invocation.isJSON)
        let arguments = words.map { strdup($0) } + [nil]
        execv(program, arguments)
        let number = errno
        for pointer in arguments { free(pointer) }
        throw .refused("can't start \(program): \(errorText(number))")
    }
}

/// What martlet-bench is given.
package enum BenchArguments {
    package static func completed(_ given: [String], targets: [String], isJSON: Bool) -> [String] {
        var words = given
        if words.first.map({ $0.hasPrefix("-") }) ?? true { words.insert("run", at: 0) }
        let names = words.map { $0.prefix { $0 != "=" } }
        guard words[0] == "run" || words[0] == "sweep", !names.contains("--help") else { return words }
        if !names.contains("--target") { words += targets.flatMap { ["--target", $0] } }
        if isJSON, !names.contains("--json") { words += ["--json", "-"] }
        return words
    }
}
