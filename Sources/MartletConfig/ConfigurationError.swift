/// Where a value came from. Precedence is the reverse of this order: a flag wins.
package enum ConfigurationSource: Hashable, Sendable {
    case `default`
    /// A line of the file, from 1.
    case file(line: Int)
    /// A variable's name.
    case environment(String)
    /// A flag as it was spelled.
    case flag(String)

    /// In front of a complaint.
    func place(in path: String) -> String {
        switch self {
        case .default: path
        case .file(let line): "\(path):\(line)"
        case .environment(let name): "environment \(name)"
        case .flag(let flag): flag
        }
    }
}

/// One thing that is wrong: where, which key, what was found and what is allowed.
package struct ConfigurationIssue: Error, Hashable, Sendable {
    package let source: ConfigurationSource
    /// `requests.timeout`, `nodes[2].address`; empty when it is about the whole file.
    package let name: String
    package let found: String
    package let allowed: String
    /// What to do, when that can be guessed.
    package let hint: String?

    init(_ source: ConfigurationSource, _ name: String, found: String, allowed: String, hint: String? = nil) {
        self.source = source
        self.name = name
        self.found = found
        self.allowed = allowed
        self.hint = hint
    }

    package func text(path: String) -> String {
        let key = name.isEmpty ? "" : "\(name): "
        return "\(source.place(in: path)): \(key)found \(found), allowed: \(allowed)"
            + (hint.map { " (\($0))" } ?? "")
    }
}

/// Why a configuration was refused: all its issues at once, so that they can be mended in one go.
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file, as it was named.
    package let path: String
    package let issues: [ConfigurationIssue]

    init(path: String, _ issues: [ConfigurationIssue]) {
        self.path = path
        self.issues = issues
    }

    /// One line an issue.
    package var description: String {
        issues.map { $0.text(path: path) }.joined(separator: "\n")
    }
}
