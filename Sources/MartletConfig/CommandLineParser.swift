/// A command line that was understood.
package struct ParsedCommandLine: Hashable, Sendable {
    /// The commands chosen, without the program's name: `["config", "check"]`.
    package let commands: [String]
    /// The words beside options.
    package let arguments: [String]
    fileprivate let values: [String: [String]]

    /// Whether an option without a value was given.
    package func has(_ option: String) -> Bool { values[option] != nil }

    /// The option's value, the last of several.
    package func value(_ option: String) -> String? { values[option]?.last }

    /// All values of an option that repeats, in order.
    package func values(_ option: String) -> [String] { values[option] ?? [] }
}

/// What a program does with its command line.
package enum CommandLineOutcome: Hashable, Sendable {
    case run(ParsedCommandLine)
    /// Print this on stdout and exit with status 0.
    case help(String)
    /// Print this on stderr and exit with status 2.
    case usage(String)
}

extension CommandSpecification {
    /// Understands the arguments (without the program's name).
    package func parse(_ arguments: [String]) -> CommandLineOutcome {
        var parser = CommandLineParser(self)
        do throws(UsageProblem) {
            return try parser.run(arguments)
        } catch {
            let path = parser.path.joined(separator: " ")
            let usage = parser.command.usage(path: parser.path)
            return .usage("\(path): \(error.text)\n\(usage)`\(path) --help` says more.\n")
        }
    }
}

private struct UsageProblem: Error {
    let text: String
}

private struct CommandLineParser {
    var command: CommandSpecification
    var path: [String]
    /// Of the commands that led here.
    private var inherited: [OptionSpecification] = []
    private var words: [String] = []
    private var values: [String: [String]] = [:]
    private var wantsHelp = false

    init(_ program: CommandSpecification) {
        command = program
        path = [program.name]
    }

    mutating func run(_ arguments: [String]) throws(UsageProblem) -> CommandLineOutcome {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                words += rest
                break
            }
            if argument.hasPrefix("--") {
                try option(argument, &rest)
            } else if argument.hasPrefix("-"), argument.count > 1, Int(argument) == nil {
                let known = argument == "-h" ? "--help" : nil
                throw UsageProblem(
                    text: "unknown option \(argument)" + (known.map { ": did you mean \($0)?" } ?? ""))
            } else if !command.commands.isEmpty {
                try enter(argument)
                if command.takesRest, !wantsHelp, rest.first != "--help" {
                    words = Array(rest)
                    rest = []
                }
            } else {
                words.append(argument)
            }
        }
        if wantsHelp { return .help(command.help(path: path, inherited: inherited)) }
        try checkWords()
        return .run(ParsedCommandLine(commands: Array(path.dropFirst()), arguments: words, values: values))
    }

    private mutating func enter(_ name: String) throws(UsageProblem) {
        guard let next = command.commands.first(where: { $0.name == name }) else {
            let names = command.commands.map(\.name)
            let hint = nearestHint(name, in: names) ?? "there are \(names.joined(separator: ", "))"
            throw UsageProblem(text: "unknown command \(quotedForMessage(name)): \(hint)")
        }
        inherited = command.options + inherited
        command = next
        path.append(name)
    }

    private mutating func option(_ argument: String, _ rest: inout ArraySlice<String>) throws(UsageProblem) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        if argument == "--help" {
            wantsHelp = true
            return
        }
        let known = command.options + inherited
        guard let option = known.first(where: { $0.name == name }) else {
            throw unknown(name, known)
        }
        if values[name] != nil, !option.repeats { throw UsageProblem(text: "\(name) is given twice") }
        guard let placeholder = option.value else {
            if parts.count == 2 { throw UsageProblem(text: "\(name) takes no value") }
            values[name, default: []].append("")
            return
        }
        if parts.count == 2 {
            values[name, default: []].append(String(parts[1]))
        } else if let value = rest.first, !value.hasPrefix("--") {
            values[name, default: []].append(value)
            rest.removeFirst()
        } else {
            throw UsageProblem(text: "\(name) needs a value: \(name) \(placeholder)")
        }
    }

    private func unknown(_ name: String, _ known: [OptionSpecification]) -> UsageProblem {
        let below = command.commands.filter { $0.options.contains { $0.name == name } }.map(\.name)
        let hint =
            below.isEmpty
            ? nearestHint(name, in: known.map(\.name) + ["--help"])
            : "it belongs after the command: \(below.joined(separator: ", "))"
        return UsageProblem(text: "unknown option \(quotedForMessage(name))" + (hint.map { ": \($0)" } ?? ""))
    }

    private func checkWords() throws(UsageProblem) {
        guard command.commands.isEmpty else {
            let names = command.commands.map(\.name).joined(separator: ", ")
            throw UsageProblem(text: "which command? There are \(names)")
        }
        let needed = command.arguments.filter { $0.count == .one || $0.count == .many }
        if words.count < needed.count {
            throw UsageProblem(text: "missing \(needed[words.count].name): \(needed[words.count].help)")
        }
        let takesMany =
            command.takesRest || command.arguments.contains { $0.count == .many || $0.count == .any }
        if !takesMany, words.count > command.arguments.count {
            throw UsageProblem(text: "one word too many: \(quotedForMessage(words[command.arguments.count]))")
        }
    }
}
