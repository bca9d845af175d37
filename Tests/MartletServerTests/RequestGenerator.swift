import MartletBase

/// Draws requests that make sense often enough to meet each other, and are wrong often enough to meet every
/// error.
struct RequestGenerator {
    var random: Random
    /// Whether only what a Redis answers in the same words is drawn.
    var isForRedis: Bool

    private static let keys = ["a", "b", "c", "{a}1", "long-key-of-some-length", "d"]

    private mutating func pick<Element>(_ list: [Element]) -> Element { list[random.below(list.count)] }

    private mutating func key() -> String { pick(Self.keys) }

    private mutating func value() -> Blob {
        switch random.below(8) {
        case 0: Blob("")
        case 1: Blob((0..<random.below(40)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        case 2: Blob(String(repeating: "x", count: random.below(3_000)))
        default: Blob("\(random.below(100))")
        }
    }

    /// In any case of letters.
    private mutating func cased(_ word: String) -> String {
        switch random.below(3) {
        case 0: word
        case 1: word.lowercased()
        default: String(word.map { random.chance(0.5) ? Character($0.lowercased()) : $0 })
        }
    }

    private mutating func number() -> String {
        pick([
            "100", "1000", "500", "0", "-1", "x", "", "1.5", " 1", "+1", "01", "9223372036854775807",
            "9223372036854775808", "-9223372036854775808", "99999999999999", "300", "200",
        ])
    }

    mutating func request() -> [Blob] {
        var words = command()
        if random.chance(0.03) { words.append(Blob(pick(["", "foo", "GET", "1"]))) }
        // A shorter CLIENT LIST shows how far each connection is.
        if random.chance(0.02), words.count > 1, words[0] != Blob("CLIENT") { words.removeLast() }
        return words
    }

    private mutating func command() -> [Blob] {
        switch random.below(20) {
        case 0, 1, 2: return [Blob(cased("GET")), Blob(key())]
        case 3, 4, 5: return set()
        case 6:
            return [Blob(cased("MGET"))] + (0...random.below(6)).map { _ in Blob(key()) }
        case 7:
            return [Blob(cased("MSET"))]
                + (0...random.below(4)).flatMap { _ in [Blob(key()), value()] }
        case 8:
            return [Blob(cased(pick(["DEL", "UNLINK"])))] + (0...random.below(3)).map { _ in Blob(key()) }
        case 9:
            return [Blob(cased(pick(["EXISTS", "TOUCH"])))] + (0...random.below(4)).map { _ in Blob(key()) }
        case 10: return [Blob(cased("TTL")), Blob(key())]
        case 11, 12: return expire()
        case 13: return [Blob(cased("PERSIST")), Blob(key())]
        case 14: return connection()
        case 15:
            return [Blob(pick(["nope", "", "get ", "g\r\net", "COMMAND|INFO", "set\0"])), value(), value()]
        case 16: return many()
        case 17: return subcommand()
        default: return [Blob("GET"), Blob(key())]
        }
    }

    private mutating func set() -> [Blob] {
        var words = [Blob(cased("SET")), Blob(key()), value()]
        for _ in 0..<random.below(3) where random.chance(0.5) {
            switch random.below(8) {
            case 0, 1: words += [Blob(cased("EX")), Blob(number())]
            case 2: words += [Blob(cased("PX")), Blob("\(random.below(3) * 100_000)")]
            case 3: words += [Blob(cased("KEEPTTL"))]
            case 4: words += [Blob(cased("GET"))]
            case 5: words += [Blob(cased("EXAT")), Blob(pick(["1", "99999999999", "0"]))]
            case 6: words += [Blob(cased("PXAT")), Blob(pick(["1", "99999999999999", "-5"]))]
            default: words += [Blob(pick(["EX", "foo", ""]))]
            }
        }
        return words
    }

    private mutating func expire() -> [Blob] {
        let name = pick(["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"])
        let time = name == "EXPIRE" ? number() : pick(["1", "99999999999", "99999999999999", "x", "-1"])
        var words = [Blob(cased(name)), Blob(key()), Blob(time)]
        for _ in 0..<random.below(3) where random.chance(0.4) {
            words.append(Blob(cased(pick(["NX", "XX", "GT", "LT", "foo"]))))
        }
        return words
    }

    private mutating func connection() -> [Blob] {
        let lines = [
            "PING", "PING hello", "ECHO x", "HELLO 2 SETNAME n", "HELLO 4", "HELLO x", "SELECT 0", "SELECT 1",
            "SELECT -1", "SELECT 99", "SELECT x", "CLIENT GETNAME", "CLIENT SETNAME me", "RESET",
            "AUTH default x", "AUTH x", "AUTH x y", "CLIENT REPLY SKIP", "CLIENT NO-EVICT on", "HELLO 3 foo",
        ]
        return pick(lines).split(separator: " ").map { Blob(cased(String($0))) }
    }

    private mutating func subcommand() -> [Blob] {
        let lines = [
            "CLIENT", "CLIENT nope", "CLIENT GETNAME x", "CONFIG GET save", "CONFIG nope", "CONFIG GET",
            "COMMAND GETKEYS GET a", "COMMAND GETKEYS MSET a 1 b 2", "COMMAND GETKEYS nope a",
            "COMMAND GETKEYS PING a", "COMMAND GETKEYS GET a b", "COMMAND nope", "COMMAND INFO nope",
            "COMMAND GETKEYSANDFLAGS DEL a b", "CLIENT LIST nope", "CLIENT KILL nope",
            "CLIENT KILL ID 0", "CLIENT KILL FOO x", "CLIENT KILL TYPE x", "CONFIG SET nope 1",
            "COMMAND DOCS nope",
            "COMMAND LIST x", "COMMAND LIST FILTERBY x y", "INFO nope", "COMMAND INFO get",
            "COMMAND INFO del",
            "COMMAND INFO client|id", "COMMAND INFO ping",
        ]
        return pick(lines).split(separator: " ").map { Blob(String($0)) }
    }

    private mutating func many() -> [Blob] {
        if isForRedis || random.chance(0.8) { return [Blob("PING")] }
        // More keys than operations, most of them twice.
        return [Blob("MGET")] + (0..<random.below(300)).map { _ in Blob("\(random.below(100))") }
    }
}
