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
                ("martlet --config five/cluster.yaml bench", "on another cluster"),
                ("martlet --json bench", "for scripts"),
            ],
            takesRest: true,
            notes: """
                Runs martlet-bench from beside martlet, else from PATH, in this process's place; its exit
                status is that of the command. Unless --nodes is among the arguments, it is given the
                addresses of the cluster's nodes: --nodes ADDRESS:PORT,... Options of martlet itself stand
                before the word bench. `martlet-bench --help` says what can be measured.
                """)
    ) { invocation throws(Failure) in
        let program = try Launcher.find(
            "martlet-bench", environment: invocation.environment,
            missing: "`swift build -c release --product martlet-bench` in Martlet's sources makes it")
        var words = [program] + invocation.line.arguments
        let names = words.map { $0.prefix { $0 != "=" } }
        if !names.contains("--nodes") {
            let known = try ClusterFile.running(invocation)?.endpoints
            let endpoints = known ?? [Endpoint(host: "127.0.0.1", port: Endpoint.portDefault)]
            words += ["--nodes", endpoints.map(\.place).joined(separator: ",")]
        }
        if invocation.isJSON, !names.contains("--json") { words.append("--json") }
        let arguments = words.map { strdup($0) } + [nil]
        execv(program, arguments)
        let number = errno
        for pointer in arguments { free(pointer) }
        throw .refused("can't start \(program): \(errorText(number))")
    }
}
