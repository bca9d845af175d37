import MartletBase

/// A place in a document that a command's table goes to: between two lines that name the command.
package struct MarkedTable: Sendable {
    private let path: String
    private let command: String

    /// Looks for it before the measurement, so that a document without marks isn't found out after it.
    package init(_ path: String, command: String) throws(Failure) {
        self.path = path
        self.command = command
        _ = try replaced(by: "")
    }

    /// In the document as it is now: others write into it as well.
    private func replaced(by text: String) throws(Failure) -> String {
        guard let document = readFile(path) else { throw .refused("can't read \(path)") }
        guard let replaced = Self.replaced(in: document, command, by: text) else {
            throw .refused(
                "\(path) has no lines \(Self.begin(command)) and \(Self.end(command)) for the table")
        }
        return replaced
    }

    package static func begin(_ command: String) -> String { "<!-- martlet-bench \(command): begin -->" }
    package static func end(_ command: String) -> String { "<!-- martlet-bench \(command): end -->" }

    /// The document with the text between the two marks replaced; nil when it doesn't have both.
    package static func replaced(in document: String, _ command: String, by text: String) -> String? {
        let lines = document.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard let first = lines.firstIndex(of: begin(command)),
            let last = lines.firstIndex(of: end(command)), first < last
        else { return nil }
        let lasting = text.last == "\n" ? text.dropLast() : text[...]
        return (lines[...first] + ["", String(lasting), ""] + lines[last...]).joined(separator: "\n")
    }

    /// - Parameter how: what was run and where, in a paragraph above the table.
    package func write(_ table: String, how: String) throws(Failure) {
        try writeFile(path, try replaced(by: "\(Self.wrapped(how))\n\n\(table)"))
        complain("table: \(path)")
    }

    private static func wrapped(_ text: String) -> String {
        var lines = [""]
        for word in text.split(separator: " ") {
            if lines[lines.count - 1].count + word.count + 1 > 110 { lines.append("") }
            lines[lines.count - 1] += (lines[lines.count - 1].isEmpty ? "" : " ") + word
        }
        return lines.joined(separator: "\n")
    }
}
