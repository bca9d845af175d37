import MartletBase
import MartletConfig
import MartletRESP

extension Command {
    static let get = Command(
        CommandSpecification(
            "get", "Reads a key.",
            arguments: [ArgumentSpecification("KEY", "the key")],
            options: [
                ValueOptions.level, ValueOptions.timeout,
                OptionSpecification(
                    "--local", "The copy that the asked node itself has, whatever others have."),
                Session.keyspaceOption,
            ] + Session.options,
            examples: [
                ("martlet get greeting", "prints its value; exit status 1 when there is none"),
                ("martlet get greeting --level ALL", "asks all replicas"),
                ("martlet get greeting --local --node n3", "n3's own copy"),
                ("martlet get greeting --json", "with the context that a later put takes"),
            ],
            notes: "A key with concurrent versions (a `siblings` keyspace) prints one value a line.")
    ) { invocation throws(Failure) in
        let key = invocation.line.arguments[0]
        let isLocal = invocation.line.has("--local")
        if isLocal, invocation.line.has("--level") {
            throw .usage("--local and --level exclude each other: a local read asks no other replica")
        }
        let words = try ValueOptions.words(invocation, isWrite: false)
        let within = try ValueOptions.answerWithin(invocation)
        let session = try Session(invocation)
        let local = isLocal ? [Blob("LOCAL")] : []
        let reply = try session.call([Blob("VGET"), Blob(key)] + words + local, within: within)
        guard let fields = reply.elements, fields.count >= 2, let elements = fields[1].elements else {
            throw session.notMartlet("a read has a context and values")
        }
        let values = elements.compactMap(\.blob)
        if invocation.isJSON {
            Output.write(ValueReport.json(key: key, values: values, context: fields[0].text))
        } else {
            for value in values {
                Output.write(
                    Terminal.output.isTerminal
                        ? Array(ValueReport.display(value).utf8) + [UInt8(ascii: "\n")]
                        : value.bytes + [UInt8(ascii: "\n")])
            }
            if values.isEmpty { Output.complain("martlet: no such key: \(printable(key))\n") }
            if values.count > 1 {
                Output.complain(
                    "martlet: \(values.count) concurrent versions; a put with --context merges them\n")
            }
        }
        return values.isEmpty ? .negative : .done
    }
}

/// How values are shown.
package enum ValueReport {
    package static func json(key: String, values: [Blob], context: String?) -> JSONValue {
        let texts = values.map(\.text)
        let isText = !texts.contains(nil)
        return .object([
            ("format", .integer(1)), ("key", .string(key)), ("found", .boolean(!values.isEmpty)),
            ("encoding", .string(isText ? "utf8" : "base64")),
            ("values", .strings(isText ? texts.compactMap(\.self) : values.map { base64($0.bytes) })),
            ("context", .optional(context)),
        ])
    }

    /// RFC 4648, section 4, padded.
    package static func base64(_ bytes: [UInt8]) -> String {
        let text = Base64URL.encode(bytes).map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        return String(text) + String(repeating: "=", count: (4 - text.count % 4) % 4)
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
