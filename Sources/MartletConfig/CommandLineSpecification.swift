/// What a program takes on its command line: the table from which arguments are parsed and help is written.
///
/// `--name value` and `--name=value` mean the same; `--` ends the options; options may stand before and after
/// words, and those of the program before and after its command. `--help` is known everywhere.
package struct CommandSpecification: Sendable {
    /// The program, or one of its commands.
    package let name: String
    /// One sentence.
    package let summary: String
    /// What follows beside options, as usage shows it: `KEY`, `[NODE]`, `KEY...`; in this order.
    package let arguments: [ArgumentSpecification]
    package let options: [OptionSpecification]
    /// A command line and what it does.
    package let examples: [(line: String, does: String)]
    /// A program with commands takes no arguments of its own.
    package let commands: [CommandSpecification]
    /// Whether all that follows the command's name is words, options too: another program's.
    package let takesRest: Bool
    /// More paragraphs at the end of help.
    package let notes: String

    package init(
        _ name: String, _ summary: String, arguments: [ArgumentSpecification] = [],
        options: [OptionSpecification] = [], examples: [(line: String, does: String)] = [],
        commands: [CommandSpecification] = [], takesRest: Bool = false, notes: String = ""
    ) {
        self.name = name
        self.summary = summary
        self.arguments = arguments
        self.options = options
        self.examples = examples
        self.commands = commands
        self.takesRest = takesRest
        self.notes = notes
    }
}

package struct OptionSpecification: Sendable {
    /// With its dashes: `--config`.
    package let name: String
    /// What stands for its value in help, `FILE`; nil when it takes none.
    package let value: String?
    package let help: String
    /// Whether it may be given more than once.
    package let repeats: Bool

    package init(_ name: String, value: String? = nil, repeats: Bool = false, _ help: String) {
        self.name = name
        self.value = value
        self.repeats = repeats
        self.help = help
    }
}

package struct ArgumentSpecification: Sendable {
    package enum Count: Sendable { case one, optional, many, any }

    package let name: String
    package let count: Count
    package let help: String

    package init(_ name: String, _ help: String, _ count: Count = .one) {
        self.name = name
        self.count = count
        self.help = help
    }

    var usage: String {
        switch count {
        case .one: name
        case .optional: "[\(name)]"
        case .many: "\(name)..."
        case .any: "[\(name)...]"
        }
    }
}

// MARK: Help

extension CommandSpecification {
    /// The text of `--help`: `path` is how the command is reached, `inherited` the options of what it belongs
    /// to.
    func help(path: [String], inherited: [OptionSpecification]) -> String {
        var out = "\(summary)\n\n\(usage(path: path))"
        if !arguments.isEmpty {
            out += "\nArguments:\n" + table(arguments.map { ($0.usage, $0.help) })
        }
        if !commands.isEmpty {
            out += "\nCommands:\n" + table(commands.map { ($0.name, $0.summary) })
            out += "\n`\(path.joined(separator: " ")) COMMAND --help` says more of one.\n"
        }
        let all = options + inherited + [OptionSpecification("--help", "Show this help.")]
        out +=
            "\nOptions:\n"
            + table(all.map { ($0.usage, $0.repeats ? "\($0.help) May be repeated." : $0.help) })
        if !examples.isEmpty {
            out += "\nExamples:\n"
            for example in examples { out += "  \(example.line)\n      \(example.does)\n" }
        }
        if !notes.isEmpty { out += "\n\(notes)" + (notes.hasSuffix("\n") ? "" : "\n") }
        return out
    }

    /// One line.
    func usage(path: [String]) -> String {
        let words = commands.isEmpty ? arguments.map(\.usage) : ["COMMAND"]
        return "usage: \((path + ["[options]"] + words).joined(separator: " "))\n"
    }

    private func table(_ rows: [(left: String, right: String)]) -> String {
        let width = min(30, rows.map(\.left.count).max() ?? 0)
        var out = ""
        for row in rows {
            let lines = fold(row.right, columns: 96 - width)
            let gap = String(repeating: " ", count: max(2, width + 2 - row.left.count))
            out += "  \(row.left)\(gap)\(lines.first ?? "")\n"
            for line in lines.dropFirst() { out += String(repeating: " ", count: width + 4) + line + "\n" }
        }
        return out
    }
}

extension OptionSpecification {
    var usage: String { value.map { "\(name) \($0)" } ?? name }
}
