import FakeServer
import MartletBase
import MartletRESP
import MartletServer

/// How the replies to a request are compared: byte for byte, unless there is a known difference.
enum Comparison {
    case exact
    /// A difference, and what must hold all the same.
    case alike(RedisDifference, (_ ours: RESPValue, _ theirs: RESPValue) -> Bool)

    /// - Parameters:
    ///   - isExpiredHeld: whether the real server may hold keys that have expired.
    ///   - slack: how far the two clocks may be apart, in milliseconds.
    static func of(_ request: [Blob], isExpiredHeld: Bool, slack: Int64) -> Comparison {
        let words = request.map { ($0.text ?? "").uppercased() }
        switch words[0] {
        case "CLIENT" where words.count > 1 && ["ID", "INFO", "LIST"].contains(words[1]):
            return .alike(.identity, sameKind)
        case "HELLO", "INFO": return .alike(.identity, sameKind)
        case "COMMAND" where words.count < 3 || words[1] == "LIST" || words[1] == "DOCS":
            return .alike(.table, sameKind)
        case "CONFIG" where words.count > 2 && (words[1] == "SET" || words[1] == "GET"):
            return .alike(.configuration, sameSetting)
        case "OBJECT" where words.count == 3 && words[1] == "ENCODING":
            return .alike(.encoding) {
                $0 == $1 || ($1.text == "raw" && ["int", "embstr"].contains($0.text))
            }
        case "OBJECT" where words.count == 3 && ["IDLETIME", "REFCOUNT"].contains(words[1]):
            return .alike(.access, sameKind)
        case "MEMORY" where isExpiredHeld:
            return .alike(.expired) { ours, theirs in ours.isNull || sameKind(ours, theirs) }
        case "MEMORY": return .alike(.memory, sameKind)
        case "WAIT": return .alike(.wait, sameKind)
        case "SELECT" where words.last?.first?.isLetter == true:
            return .alike(.select) { $0.errorText != nil && $1.errorText != nil }
        case "DBSIZE" where isExpiredHeld:
            return .alike(.expired) { $0 == $1 || ($0.integer ?? .max) <= ($1.integer ?? -1) }
        // From another place than the beginning, or less than everything in one page.
        case "SCAN"
        where words.count { $0 == "COUNT" } != 1 || words.dropFirst().first?.hasSuffix("0") == false:
            return .alike(.order, sameKind)
        case "SCAN", "KEYS": return .alike(.order, sameKeys)
        case "RANDOMKEY": return .alike(.order, sameKind)
        case "TTL", "EXPIRETIME": return .alike(.clock) { near($0, $1, by: 2 + slack / 1_000) }
        case "PTTL", "PEXPIRETIME": return .alike(.clock) { near($0, $1, by: 2_000 + slack) }
        case "TIME":
            return .alike(.clock) { ours, theirs in
                guard let a = ours.elements, let b = theirs.elements, a.count == 2, b.count == 2 else {
                    return ours == theirs
                }
                return abs((Int64(a[0].text ?? "") ?? 0) - (Int64(b[0].text ?? "") ?? 99)) <= 5 + slack
                    / 1_000
            }
        default: return .exact
        }
    }

    /// What isn't compared in sequences: what Redis would carry out and Martlet refuses
    /// (`RedisDifference.refused` and `.conditional`), as after it the two would not hold the same.
    static func isOnlyForRedis(_ request: [Blob]) -> Bool {
        let words = request.map { ($0.text ?? "").uppercased() }
        switch words[0] {
        case "SET": return words.dropFirst(3).contains { $0 == "NX" || $0 == "XX" }
        case "MSETNX": return words.count >= 3
        case "SETNX", "INCRBY", "INCRBYFLOAT", "DECRBY", "PUBLISH": return words.count == 3
        case "INCR", "DECR": return words.count == 2
        // Redis compares names only up to a NUL, when its table's hash, random in each process, gets it
        // there.
        case let name where name.contains("\0"): return true
        // Its long reply is cut off: Redis drops what is unsent when a client has sent its last byte.
        case "COMMAND": return words.count == 1 || words.count == 2 && ["INFO", "DOCS"].contains(words[1])
        default: return false
        }
    }

    /// Errors are compared in full.
    private static func sameKind(_ ours: RESPValue, _ theirs: RESPValue) -> Bool {
        switch (ours, theirs) {
        case (.integer, .integer), (.bulkString, .bulkString), (.verbatimString, .verbatimString),
            (.array, .array), (.map, .map):
            true
        default: ours == theirs
        }
    }

    private static func sameSetting(_ ours: RESPValue, _ theirs: RESPValue) -> Bool {
        if let error = ours.errorText {
            return error == theirs.errorText || error.contains("Martlet has") || error.contains("immutable")
                || error.contains(" can't ") || theirs.errorText?.contains("Unknown option") == false
        }
        return theirs.errorText == nil
    }

    /// A list of keys, or a cursor and a list: whatever the order.
    private static func sameKeys(_ ours: RESPValue, _ theirs: RESPValue) -> Bool {
        guard case .array(let a) = ours, case .array(let b) = theirs else { return ours == theirs }
        if a.count == 2, b.count == 2, case .array = a[1] {
            return a[0] == b[0] && sameKeys(a[1], b[1])
        }
        return a.count == b.count && Set(a) == Set(b)
    }

    private static func near(_ ours: RESPValue, _ theirs: RESPValue, by tolerance: Int64) -> Bool {
        guard let a = ours.integer, let b = theirs.integer, a >= 0, b >= 0 else { return ours == theirs }
        return abs(a - b) <= tolerance
    }

    /// Cuts replies that follow one another apart, each with its value.
    static func split(_ bytes: [UInt8]) -> [(bytes: [UInt8], value: RESPValue)] {
        var replies: [(bytes: [UInt8], value: RESPValue)] = []
        var start = 0
        while start < bytes.count {
            var parser = ReplyParser()
            let rest = Array(bytes[start...])
            guard case .value(let value, let consumed)? = try? parser.next(rest.span.bytes) else {
                replies.append((rest, .error("broken reply")))
                return replies
            }
            replies.append((Array(rest.prefix(consumed)), value))
            start += consumed
        }
        return replies
    }

    /// Nil when they are alike, else both as text.
    func difference(
        _ ours: (bytes: [UInt8], value: RESPValue), _ theirs: (bytes: [UInt8], value: RESPValue)
    ) -> String? {
        let isAlike =
            switch self {
            case .exact: ours.bytes == theirs.bytes
            case .alike(_, let rule): rule(ours.value, theirs.value)
            }
        if isAlike { return nil }
        return "got \(Harness.shown(Array(ours.bytes.prefix(200)))) "
            + "instead of \(Harness.shown(Array(theirs.bytes.prefix(200))))"
    }
}
