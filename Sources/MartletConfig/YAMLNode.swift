/// A YAML text as a tree, each node with the line on which it begins (from 1; 0: not from a file).
indirect enum YAMLNode: Sendable {
    /// `isPlain`: written without quotes, so that it may be meant as a number or a word.
    case scalar(String, isPlain: Bool, line: Int)
    case sequence([YAMLNode], line: Int)
    /// In the order of the text, no key twice.
    case mapping([YAMLEntry], line: Int)

    var line: Int {
        switch self {
        case .scalar(_, _, let line), .sequence(_, let line), .mapping(_, let line): line
        }
    }

    /// Nothing was written: `key:`, `key: ~` or `key: null`.
    var isNull: Bool {
        if case .scalar(let text, isPlain: true, _) = self { return Self.nulls.contains(text) }
        return false
    }

    static let nulls = ["", "~", "null", "Null", "NULL"]

    /// As an error says what was found.
    var found: String {
        switch self {
        case _ where isNull: "nothing"
        case .scalar(let text, _, _): quotedForMessage(text)
        case .sequence(let items, _): "a list of \(items.count)"
        case .mapping(let entries, _): entries.isEmpty ? "an empty map" : "a map of \(entries.count)"
        }
    }
}

struct YAMLEntry: Sendable {
    let key: String
    let line: Int
    let value: YAMLNode
}

/// Foreign text inside a one-line message: shortened, control characters shown as `?`.
func quotedForMessage(_ text: String) -> String {
    let shown = text.unicodeScalars.prefix(64).map { $0.value < 32 || $0.value == 127 ? "?" : Character($0) }
    return "\"\(String(shown))\(text.unicodeScalars.count > 64 ? "…" : "")\""
}
