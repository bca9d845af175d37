import Glibc
import MartletBase
import MartletConfig

/// `martlet`, the command line: finds the command, runs it, tells what went wrong and turns that into an exit
/// status.
///
/// A command is a `Command` in a file of its own under Commands/, listed here; help, suggestions and JSON
/// errors come from its specification.
@main
package enum Program {
    static let commands: [Command] = [
        .up, .down, .status, .ring, .join, .decommission, .remove, .replace, .move, .rebalance, .drain,
        .keyspace, .hints, .repair, .top, .info, .metrics, .get, .put, .delete, .siblings,
        .scan,
        .bench,
        .config,
        .completion,
    ]

    package static let specification = CommandSpecification(
        "martlet", "Runs a Martlet cluster on this machine, and speaks to any cluster.",
        options: [
            OptionSpecification("--config", value: "FILE", "The cluster's file; see below."),
            OptionSpecification("--json", "One JSON object on stdout; errors as JSON on stderr."),
        ],
        examples: [
            ("martlet up", "starts the nodes of cluster.yaml on this machine until Ctrl-C"),
            ("martlet status", "shows the nodes of the cluster"),
            ("martlet put greeting hello", "writes a value"),
            ("martlet get greeting --level ONE", "reads it from one replica"),
            ("martlet status --host 10.0.0.5 --json", "asks a node that no file here knows"),
        ],
        commands: commands.map(\.specification),
        notes: """
            Commands that speak to a cluster ask its nodes in turn until one answers. The nodes are those of
            --config or MARTLET_CONFIG, else of ./data/cluster.yaml (which `martlet up` writes), else of
            ./cluster.yaml; without any of these 127.0.0.1:7379 is asked. `martlet --version` shows the
            version.

            Exit status: 0 done; 1 a negative answer (no such key, a degraded cluster with --check, a refused
            file); 2 wrong use; 3 configuration; 4 no node reachable; 5 UNAVAILABLE; 6 TIMEOUT; 7 any other
            refusal; 130 interrupted. Colours can be turned off with NO_COLOR.
            """)

    static func main() {
        Limits.checkRelations()
        let words = Array(CommandLine.arguments.dropFirst())
        if let place = firstWordThatIsNoText() {
            Output.fail(
                .usage(
                    "word \(place) is no UTF-8: give such a key with --base64-key, and such a value by "
                        + "--file or stdin"), isJSON: words.contains("--json"))
            exit(ExitCode.usage.rawValue)
        }
        exit(run(words).rawValue)
    }

    /// Swift mends a word that is no UTF-8, which would make another key of it.
    private static func firstWordThatIsNoText() -> Int? {
        for place in 1..<max(1, Int(CommandLine.argc)) {
            guard let word = CommandLine.unsafeArgv[place] else { return nil }
            if String(validatingCString: word) == nil { return place }
        }
        return nil
    }

    private static func run(_ given: [String]) -> ExitCode {
        var arguments = given
        if arguments == ["--version"] || arguments == ["version"] {
            Output.write("martlet \(Version.text)\n")
            return .done
        }
        if arguments.first == "help" { arguments = arguments.dropFirst() + ["--help"] }
        let isJSON = arguments.prefix { $0 != "--" }.contains("--json")
        switch specification.parse(arguments) {
        case .help(let text):
            Output.write(text)
            return .done
        case .usage(let text):
            if isJSON {
                let line = text.prefix { $0 != "\n" }
                Output.fail(Failure(.usage, "USAGE", String(line)), isJSON: true)
            } else {
                Output.complain(text)
            }
            return .usage
        case .run(let line):
            do throws(Failure) {
                return try command(line.commands).run(Invocation(line: line))
            } catch {
                Output.fail(error, isJSON: isJSON)
                return error.status
            }
        }
    }

    /// The command of a path that the parser has understood.
    private static func command(_ path: [String]) -> Command {
        var among = commands
        var found: Command?
        for name in path {
            found = among.first { $0.specification.name == name }
            among = found?.commands ?? []
        }
        guard let found else { invariantBroken("no command \(path) in the table that was parsed by") }
        return found
    }
}
