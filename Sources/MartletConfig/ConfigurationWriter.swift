import MartletBase

/// A text as a YAML scalar: as it is when that can't be taken for anything else, else in double quotes.
@Sendable func yamlText(_ text: String) -> String {
    let isWord = text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "_"):
            true
        case UInt8(ascii: "-"): true
        default: false
        }
    }
    if isWord, !text.isEmpty, !text.hasPrefix("-"), !YAMLNode.nulls.contains(text) { return text }
    var out = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": out += "\\\(scalar)"
        case _ where scalar.value < 32 || (127..<160).contains(scalar.value):
            out += "\\x" + hexByte(UInt8(scalar.value))
        // Line breaks to YAML, and the byte order mark.
        case "\u{2028}", "\u{2029}", "\u{FEFF}":
            out += "\\u" + String(scalar.value, radix: 16)
        default: out.unicodeScalars.append(scalar)
        }
    }
    return out + "\""
}

extension ClusterConfiguration {
    /// This configuration as a cluster.yaml, each key with what it means and what is allowed. `heading` is
    /// put on top as comments. Reading it again gives an equal configuration.
    package func yaml(heading: [String] = []) -> String {
        var out = YAMLWriter()
        for line in heading { out.comment(line) }
        let sections = Setting<ClusterConfiguration>.sections
        out.section("cluster", of: self)
        writeNodes(to: &out)
        for section in sections where ["ports", "ring"].contains(section) { out.section(section, of: self) }
        writeKeyspaces(to: &out)
        for section in sections where !["cluster", "ports", "ring"].contains(section) {
            out.section(section, of: self)
        }
        return out.text
    }

    private func writeNodes(to out: inout YAMLWriter) {
        out.blank()
        out.comment("The founding members. A node finds itself here by --name, else by --address.")
        out.line("nodes:")
        for node in nodes {
            var fields = Setting<NodeSettings>.ofNodes.compactMap { setting in
                let value = setting.kind.write(node)
                return value.isEmpty ? nil : "\(setting.key): \(value)"
            }
            let ports = Setting<PortOverrides>.ofNodePorts.compactMap { setting in
                let value = setting.kind.write(node.ports)
                return value.isEmpty ? nil : "\(setting.key): \(value)"
            }
            if !ports.isEmpty { fields.append("ports: {\(ports.joined(separator: ", "))}") }
            out.line("  - {\(fields.joined(separator: ", "))}")
        }
        out.blank()
        out.comment("Whom to ask for the ring; empty: all of nodes.")
        out.line("seeds: [\(seeds.map { "\"\($0)\"" }.joined(separator: ", "))]")
    }

    private func writeKeyspaces(to out: inout YAMLWriter) {
        out.blank()
        out.comment(
            "As founded. Afterwards the cluster's own definitions hold. The first is index 0 of SELECT.")
        out.line("keyspaces:")
        for (index, keyspace) in keyspaces.enumerated() {
            out.line("  \(yamlText(keyspace.name)):")
            for setting in Setting<KeyspaceSettings>.ofKeyspaces {
                // What the keys mean is said once.
                if index == 0 {
                    out.comment("\(setting.meaning) Allowed: \(setting.kind.allowed).", indent: 4)
                }
                out.line("    \(setting.key): \(setting.kind.write(keyspace))")
            }
        }
    }
}

/// Lines of YAML and of comments folded to a width.
private struct YAMLWriter {
    private(set) var text = ""
    private let columnsMax = 100

    mutating func line(_ line: String) { text += line + "\n" }

    mutating func blank() {
        if !text.isEmpty { text += "\n" }
    }

    mutating func comment(_ comment: String, indent: Int = 0) {
        let start = String(repeating: " ", count: indent) + "#"
        for folded in fold(comment, columns: columnsMax - start.count - 1) { line("\(start) \(folded)") }
    }

    mutating func section(_ name: String, of configuration: ClusterConfiguration) {
        blank()
        line("\(name):")
        for setting in Setting<ClusterConfiguration>.all where setting.section == name {
            comment("\(setting.meaning) Allowed: \(setting.kind.allowed).", indent: 2)
            line("  \(setting.key): \(setting.kind.write(configuration))")
        }
    }
}

/// The text in lines of at most `columns`, but for words that are longer.
func fold(_ text: String, columns: Int) -> [String] {
    var lines: [String] = []
    for word in text.split(separator: " ") {
        if let last = lines.last, last.count + 1 + word.count <= columns {
            lines[lines.count - 1] = "\(last) \(word)"
        } else {
            lines.append(String(word))
        }
    }
    return lines
}
