/// An error line of a node: `PREFIX name=value ...: sentence`.
///
/// Read strictly and yet tolerantly: a field that is needed must be there and make sense, or the line is
/// taken for an error of another kind (``MartletError/server(code:text:)``); fields that aren't known are
/// passed over, since later versions may add some. The sentence is for people.
package struct ErrorLine {
    package let code: String
    private let text: String
    private var fields: [(name: Substring, value: Substring)] = []

    package init(_ text: String) {
        self.text = text
        var rest = text[...]
        code = String(rest.prefix { $0 != " " })
        rest = rest.dropFirst(code.count)
        var isLast = false
        while !isLast, rest.first == " " {
            rest = rest.dropFirst()
            var word = rest.prefix { $0 != " " }
            rest = rest.dropFirst(word.count)
            if word.last == ":" {
                isLast = true
                word = word.dropLast()
            }
            guard let equals = word.firstIndex(of: "="), Self.isName(word[..<equals]) else { break }
            fields.append((word[..<equals], word[word.index(after: equals)...]))
        }
    }

    private static func isName(_ name: Substring) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { (97...122).contains($0) || $0 == UInt8(ascii: "_") }
    }

    private func field(_ name: String) -> Substring? { fields.first { $0.name == name }?.value }

    private func number(_ name: String) -> Int? { field(name).flatMap { Int($0) } }

    private func names(_ name: String) -> [String]? {
        field(name).map { $0.split(separator: ",").map(String.init) }
    }

    /// The error that the line tells.
    package var error: MartletError { known ?? .server(code: code, text: text) }

    /// Nil when the code isn't known, or a field that belongs to it is missing or senseless.
    private var known: MartletError? {
        switch code {
        case "UNAVAILABLE":
            guard let operation = field("op"), let level = field("level"), let required = number("required"),
                let alive = number("alive"), let up = names("up"), let down = names("down")
            else { return nil }
            return .unavailable(
                .init(
                    operation: String(operation), level: String(level), required: required, alive: alive,
                    up: up, down: down))
        case "TIMEOUT": return timeout
        case "OVERLOADED":
            guard let node = field("node"), let limit = field("limit") else { return nil }
            return .overloaded(node: String(node), limit: String(limit))
        case "SKEW":
            guard let node = field("node"), let ahead = number("ahead_ms"), let max = number("max_ms") else {
                return nil
            }
            return .skew(node: String(node), aheadMilliseconds: ahead, maxMilliseconds: max)
        case "TOOLARGE":
            guard let what = field("what"), let bytes = number("bytes"), let max = number("max") else {
                return nil
            }
            return .tooLarge(what: String(what), bytes: bytes, max: max)
        case "SIBLINGS":
            return text.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map {
                .siblings(count: $0)
            }
        case "BADCONTEXT": return field("reason").map { .badContext(reason: String($0)) }
        case "LOADING": return .loading(waitsFor: names("waits") ?? [])
        case "STOPPING": return field("node").map { .stopping(node: String($0)) }
        default: return nil
        }
    }

    private var timeout: MartletError? {
        guard let operation = field("op"), let level = field("level"), let required = number("required"),
            let acknowledged = number("acknowledged"), let answered = names("acked"),
            let unknown = names("unknown"), let after = number("after_ms")
        else { return nil }
        return .timeout(
            .init(
                operation: String(operation), level: String(level), required: required,
                acknowledged: acknowledged, answered: answered, unknown: unknown,
                version: field("version").map { WriteVersion(text: String($0)) },
                after: .milliseconds(after)))
    }
}
