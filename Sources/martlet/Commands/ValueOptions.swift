import MartletBase
import MartletConfig
import MartletRESP

/// What `get`, `put` and `del` have in common: options of a request and the words that they become.
enum ValueOptions {
    static let level = OptionSpecification(
        "--level", value: "LEVEL",
        "Consistency level: ONE TWO THREE QUORUM ALL LOCAL_ONE LOCAL_QUORUM EACH_QUORUM, for writes ANY too; "
            + "the keyspace's if none is said.")
    static let timeout = OptionSpecification(
        "--timeout", value: "TIME",
        "How long the node may try, such as 500ms; a number alone is milliseconds.")
    static let context = OptionSpecification(
        "--context", value: "CONTEXT", "What `get --json` gave: this write replaces just what was read then.")
    static let retry = OptionSpecification(
        "--retry", value: "VERSION",
        "Send again the version that a TIMEOUT named, without overtaking later writes.")

    static let keyArgument = ArgumentSpecification("KEY", "the key")
    static let base64Key = OptionSpecification(
        "--base64-key", "KEY is base64, as `scan --json` shows keys that are no text.")

    /// The first word; a key may be any bytes, which a command line can't all hold.
    static func key(_ invocation: Invocation) throws(Failure) -> Blob {
        let text = invocation.line.arguments[0]
        guard invocation.line.has("--base64-key") else { return Blob(text) }
        guard let bytes = ValueReport.bytes(fromBase64: text) else {
            throw .usage("KEY: found \(quoted(text)), allowed with --base64-key: base64")
        }
        return Blob(bytes)
    }

    /// CONSISTENCY, TIMEOUT, CONTEXT and VERSION.
    static func words(_ invocation: Invocation, isWrite: Bool) throws(Failure) -> [Blob] {
        var words: [Blob] = []
        if let text = invocation.line.value("--level") {
            let levels = LevelName.allCases.filter { isWrite || $0 != .any }.map(\.rawValue)
            guard levels.contains(text.uppercased()) else {
                let isAny = text.uppercased() == LevelName.any.rawValue
                let hint =
                    isAny
                    ? " (ANY is for writes)" : nearest(text, in: levels).map { " (did you mean \($0)?)" }
                throw .usage(
                    "--level: found \(quoted(text)), allowed: \(levels.joined(separator: " "))\(hint ?? "")")
            }
            words += [Blob("CONSISTENCY"), Blob(text.uppercased())]
        }
        if let timeout = try timeout(invocation) {
            words += [Blob("TIMEOUT"), Blob(String(timeout.milliseconds))]
        }
        for (option, word) in [("--context", "CONTEXT"), ("--retry", "VERSION")] {
            if let text = invocation.line.value(option) { words += [Blob(word), Blob(text)] }
        }
        return words
    }

    /// How long to wait for the node, which should answer before that.
    static func answerWithin(_ invocation: Invocation) throws(Failure) -> Interval {
        (try timeout(invocation)).map { $0 + .seconds(3) } ?? Session.answerWithin
    }

    private static func timeout(_ invocation: Invocation) throws(Failure) -> Interval? {
        try invocation.interval("--timeout", bare: .milliseconds(1))
    }

    /// A request about a key: what goes wrong with it is told with the key, and with the node that was asked.
    static func call(
        _ words: [Blob], about key: Blob, _ session: Session, _ invocation: Invocation, isWrite: Bool
    ) throws(Failure) -> RESPValue {
        do throws(Failure) {
            return try session.call(words, within: try answerWithin(invocation), isWrite: isWrite)
        } catch {
            let node = "\(session.endpoint)"
            let asked = error.text.contains(node) ? "" : ", asked \(node)"
            // A key may be as long as a value that is worth a file.
            let text = "\(error.text) (key \(truncated(keyText(key), to: 80))\(asked))"
            throw Failure(error.status, error.code, text)
        }
    }

    /// The end of a write: its context and version, as the node gave them.
    static func finishWrite(
        _ reply: RESPValue, key: Blob, _ session: Session, _ invocation: Invocation
    ) throws(Failure) {
        guard let fields = reply.elements, fields.count >= 2 else {
            throw session.notMartlet("a write has a context and a version")
        }
        if invocation.isJSON {
            var members: [(String, JSONValue)] = [
                ("format", .integer(1)), ("key", .string(key.text ?? ValueReport.base64(key.bytes))),
                ("context", .optional(fields[0].text)), ("version", .optional(fields[1].text)),
            ]
            if key.text == nil { members.append(("key_encoding", .string("base64"))) }
            Output.write(.object(members))
        } else {
            Output.write("OK\n")
        }
    }
}
