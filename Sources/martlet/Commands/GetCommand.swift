import MartletBase
import MartletConfig
import MartletRESP

extension Command {
    static let get = Command(
        CommandSpecification(
            "get", "Reads a key.",
            arguments: [ValueOptions.keyArgument],
            options: [
                ValueOptions.level, ValueOptions.timeout,
                OptionSpecification(
                    "--local", "The copy that the asked node itself has, whatever others have."),
                OptionSpecification(
                    "--meta", "Each version with its writer and expiry; deletes are shown too."),
                OptionSpecification(
                    "--raw", "The value's bytes as they are, without a line end, on a terminal too."),
                ValueOptions.base64Key, Session.keyspaceOption,
            ] + Session.options,
            examples: [
                ("martlet get greeting", "prints its value; exit status 1 when there is none"),
                ("martlet get greeting --level ALL", "asks all replicas"),
                ("martlet get greeting --local --meta --node n3", "n3's own copy, with its version"),
                ("martlet get picture --raw > picture.png", "byte for byte"),
                ("martlet get greeting --json", "with the context that a later put takes"),
            ],
            notes: """
                A key with concurrent versions (a `siblings` keyspace) prints one value a line. --json has
                values that are no text as base64.
                """)
    ) { invocation throws(Failure) in
        let key = try ValueOptions.key(invocation)
        let line = invocation.line
        if line.has("--local"), line.has("--level") {
            throw .usage("--local and --level exclude each other: a local read asks no other replica")
        }
        if line.has("--raw"), line.has("--meta") || invocation.isJSON {
            throw .usage("--raw prints the value alone: it excludes --meta and --json")
        }
        var words = try ValueOptions.words(invocation, isWrite: false)
        if line.has("--local") { words.append(Blob("LOCAL")) }
        if line.has("--meta") { words.append(Blob("META")) }
        let session = try Session(invocation)
        let reply = try ValueOptions.call(
            [Blob("VGET"), key] + words, about: key, session, invocation, isWrite: false)
        guard let answer = ValueReport(reply, hasMeta: line.has("--meta")) else {
            throw session.notMartlet("a read has a context and values")
        }
        return answer.show(key, invocation)
    }
}

/// What a read gave, and how it is shown.
package struct ValueReport {
    /// With META.
    package struct Version: Hashable, Sendable {
        package let value: Blob?
        package let version: String
        package let writer: String
        /// Nil for never.
        package let expiresAtMilliseconds: Int64?
        package let isTombstone: Bool
    }

    package let values: [Blob]
    package let context: String?
    /// Nil without META.
    package let versions: [Version]?

    /// Of VGET's reply; nil when it is none.
    package init?(_ reply: RESPValue, hasMeta: Bool) {
        guard let fields = reply.elements, fields.count >= 2, let elements = fields[1].elements else {
            return nil
        }
        context = fields[0].text
        guard hasMeta else {
            versions = nil
            values = elements.compactMap(\.blob)
            return
        }
        var read: [Version] = []
        for element in elements {
            guard let parts = element.elements, parts.count >= 5, let version = parts[1].text,
                let writer = parts[2].text, let expiry = parts[3].integer, let mark = parts[4].integer
            else { return nil }
            read.append(
                Version(
                    value: parts[0].blob, version: version, writer: writer,
                    expiresAtMilliseconds: expiry < 0 ? nil : expiry, isTombstone: mark != 0))
        }
        versions = read
        values = read.compactMap(\.value)
    }

    package init(values: [Blob], context: String?) {
        self.values = values
        self.context = context
        versions = nil
    }

    func show(_ key: Blob, _ invocation: Invocation) -> ExitCode {
        if invocation.isJSON {
            Output.write(json(key: key))
        } else if invocation.line.has("--raw") {
            for value in values { Output.write(value.bytes) }
        } else if let versions, !versions.isEmpty {
            let terminal = Terminal.output
            Output.write(
                Self.table(versions, columnsMax: terminal.columns, palette: terminal.palette))
        } else {
            for value in values {
                Output.write(
                    Terminal.output.isTerminal
                        ? Array(Self.display(value).utf8) + [UInt8(ascii: "\n")]
                        : value.bytes + [UInt8(ascii: "\n")])
            }
        }
        if !invocation.isJSON, values.isEmpty { Output.complain("martlet: no such key: \(keyText(key))\n") }
        if !invocation.isJSON, values.count > 1 {
            Output.complain(
                "martlet: \(values.count) concurrent versions; a put with --context merges them\n")
        }
        return values.isEmpty ? .negative : .done
    }

    package static func table(_ versions: [Version], columnsMax: Int?, palette: Palette) -> String {
        var table = Table([
            .init("value"), .init("version"), .init("writer", rank: 1), .init("expires at", rank: 2),
        ])
        for each in versions {
            let value: Table.Cell =
                each.isTombstone ? .init("(deleted)", .doubtful) : .init(each.value.map(keyText) ?? "-")
            table.add([
                value, .init(each.version), .init(each.writer),
                .init(each.expiresAtMilliseconds.map(Quantities.utc) ?? "never"),
            ])
        }
        return table.text(columnsMax: columnsMax, palette: palette)
    }

    /// One value that isn't text makes all of them base64, so that a reader needs one rule.
    package func json(key: Blob) -> JSONValue {
        let isText = !values.contains { $0.text == nil }
        func text(_ blob: Blob) -> String { isText ? blob.text ?? "" : Self.base64(blob.bytes) }
        var members: [(String, JSONValue)] = [
            ("format", .integer(1)), ("key", .string(key.text ?? Self.base64(key.bytes))),
            ("found", .boolean(!values.isEmpty)), ("encoding", .string(isText ? "utf8" : "base64")),
            ("values", .strings(values.map(text))),
            ("context", .optional(context)),
        ]
        if let versions {
            let list = versions.map { each -> JSONValue in
                .object([
                    ("value", .optional(each.value.map(text))), ("version", .string(each.version)),
                    ("writer", .string(each.writer)),
                    ("expires_at_ms", each.expiresAtMilliseconds.map { .integer(Int($0)) } ?? .null),
                    ("tombstone", .boolean(each.isTombstone)),
                ])
            }
            members.append(("versions", .array(list)))
        }
        if key.text == nil { members.append(("key_encoding", .string("base64"))) }
        return .object(members)
    }

    /// RFC 4648, section 4, padded.
    package static func base64(_ bytes: [UInt8]) -> String {
        let text = Base64URL.encode(bytes).map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        return String(text) + String(repeating: "=", count: (4 - text.count % 4) % 4)
    }

    /// The bytes of a base64 text, padded or not; nil when it is none.
    package static func bytes(fromBase64 text: String) -> [UInt8]? {
        var digits = text.utf8.map { byte -> UInt8 in
            byte == UInt8(ascii: "+")
                ? UInt8(ascii: "-") : byte == UInt8(ascii: "/") ? UInt8(ascii: "_") : byte
        }
        if digits.count.isMultiple(of: 4) {
            for _ in 0..<2 where digits.last == UInt8(ascii: "=") { digits.removeLast() }
        }
        return Base64URL.decode(digits)
    }

    /// For a terminal: text as it is, other bytes as `\xNN`.
    package static func display(_ value: Blob) -> String {
        if let text = value.text { return printable(text) }
        return value.bytes.map { byte in
            (32..<127).contains(byte) || byte == 10 || byte == 9
                ? String(UnicodeScalar(byte)) : "\\x" + hexByte(byte)
        }.joined()
    }
}

/// A key or value on one line, such that different bytes look different: plain text as it is, all else in
/// quotes with escapes, as redis-cli has them.
package func keyText(_ key: Blob) -> String {
    if let text = key.text, !text.isEmpty {
        let isPlain = text.unicodeScalars.allSatisfy { scalar in
            switch scalar {
            case " ", "\"", "\\": false
            default:
                scalar.properties.generalCategory != .control && !scalar.properties.isWhitespace
                    && !scalar.properties.isBidiControl
                    && scalar.properties.generalCategory != .format
            }
        }
        if isPlain { return text }
    }
    var out = "\""
    for byte in key.bytes {
        switch byte {
        case UInt8(ascii: "\""): out += "\\\""
        case UInt8(ascii: "\\"): out += "\\\\"
        case 10: out += "\\n"
        case 13: out += "\\r"
        case 9: out += "\\t"
        case 32..<127: out.unicodeScalars.append(UnicodeScalar(byte))
        default: out += "\\x" + hexByte(byte)
        }
    }
    return out + "\""
}
