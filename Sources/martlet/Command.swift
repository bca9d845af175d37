import Glibc
import MartletConfig

/// One command: what it takes on the command line, and what it does. A group does nothing itself.
package struct Command: Sendable {
    package typealias Action = @Sendable (Invocation) throws(Failure) -> ExitCode

    let specification: CommandSpecification
    /// What a group holds.
    let commands: [Command]
    private let action: Action?

    init(_ specification: CommandSpecification, _ action: @escaping Action) {
        self.specification = specification
        self.action = action
        commands = []
    }

    init(group name: String, _ summary: String, _ commands: [Command]) {
        specification = CommandSpecification(name, summary, commands: commands.map(\.specification))
        action = nil
        self.commands = commands
    }

    func run(_ invocation: Invocation) throws(Failure) -> ExitCode {
        guard let action else { return .usage }
        return try action(invocation)
    }
}

/// Fixed: scripts test for these.
package enum ExitCode: Int32, Sendable {
    case done = 0
    /// The question was answered with no: key not found, degraded, refused file.
    case negative = 1
    case usage = 2
    case configuration = 3
    case unreachable = 4
    case unavailable = 5
    case timeout = 6
    case refused = 7
    /// By SIGINT.
    case interrupted = 130
}

/// A command line that was understood, with what else a command may look at.
package struct Invocation: Sendable {
    let line: ParsedCommandLine
    let environment: [String: String]

    init(line: ParsedCommandLine) {
        self.line = line
        environment = ConfigurationLoader.environment()
    }

    var isJSON: Bool { line.has("--json") }

    /// The file that was named, by flag or environment.
    var config: String? { line.value("--config") ?? environment["MARTLET_CONFIG"] }

    /// The value of an option that is a number from `range`.
    func number(_ option: String, _ range: ClosedRange<Int>) throws(Failure) -> Int? {
        guard let text = line.value(option) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw .usage(
                "\(option): found \(quoted(text)), allowed: a number from \(range.lowerBound) to "
                    + "\(range.upperBound)")
        }
        return value
    }
}
