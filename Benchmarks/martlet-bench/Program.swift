import Glibc
import MartletBase
import MartletConfig

/// `martlet-bench`: makes load, measures it, and compares servers by it.
@main
package enum Program {
    package static let specification = CommandSpecification(
        "martlet-bench", "Measures Martlet, and any server that speaks Redis's protocol.",
        commands: [
            RunCommand.specification, SweepCommand.specification, CompareCommand.specification,
            RepairCommand.specification, RebalanceCommand.specification, DataCentersCommand.specification,
            PlacementCommand.specification, MembershipCommand.specification,
        ])

    static func main() {
        Limits.checkRelations()
        Interrupts.begin()
        let arguments = Array(CommandLine.arguments.dropFirst())
        if arguments == ["--version"] { return say("martlet-bench \(Version.text)") }
        switch specification.parse(arguments) {
        case .help(let text):
            writeAll(Array(text.utf8), to: STDOUT_FILENO)
        case .usage(let text):
            writeAll(Array(text.utf8), to: STDERR_FILENO)
            exit(Failure.Status.usage.rawValue)
        case .run(let line):
            do throws(Failure) {
                switch line.commands {
                case ["run"]: try RunCommand.run(line)
                case ["sweep"]: try SweepCommand.run(line)
                case ["compare"]: try CompareCommand.run(line)
                case ["repair"]: try RepairCommand.run(line)
                case ["rebalance"]: try RebalanceCommand.run(line)
                case ["datacenters"]: try DataCentersCommand.run(line)
                case ["placement"]: try PlacementCommand.run(line)
                case ["membership"]: try MembershipCommand.run(line)
                default: invariantBroken("a command that nobody runs: \(line.commands)")
                }
            } catch {
                complain("martlet-bench: \(error.text)")
                exit(error.status.rawValue)
            }
        }
    }
}
