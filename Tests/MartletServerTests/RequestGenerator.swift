import MartletBase

/// Draws requests that make sense often enough to meet each other, and are wrong often enough to meet every
/// error.
struct RequestGenerator {
    var random: Random
    /// Whether only what a Redis answers in the same words is drawn.
    var isForRedis: Bool

    /// Times from now that were drawn: none is drawn twice, so that GT and LT never hang on the millisecond
    /// at which a server took the request.
    private var durations: Set<Int> = []

    init(random: Random, isForRedis: Bool) {
        self.random = random
        self.isForRedis = isForRedis
    }

    private static let keys: [Blob] =
        ["a", "b", "c", "{a}1", "long-key-of-some-length", "d", ""].map { Blob($0) }
        + [Blob([0, 13, 10, 255]), Blob([0xC3, 0x28])]

    mutating func pick<Element>(_ list: [Element]) -> Element { list[random.below(list.count)] }

    /// The first ones are drawn more often, so that commands meet.
    mutating func key() -> Blob { Self.keys[random.below(1 + random.below(Self.keys.count))] }

    mutating func value() -> Blob {
        switch random.below(10) {
        case 8: Blob(pick(["-1", "007", " 1", "9223372036854775807", "9223372036854775808", "-0", "1e3"]))
        case 9: Blob(String(repeating: "y", count: 40 + random.below(10)))
        case 0: Blob("")
        case 1: Blob((0..<random.below(40)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        case 2: Blob(String(repeating: "x", count: random.below(3_000)))
        default: Blob("\(random.below(100))")
        }
    }

    /// In any case of letters.
    mutating func cased(_ word: String) -> String {
        switch random.below(3) {
        case 0: word
        case 1: word.lowercased()
        default: String(word.map { random.chance(0.5) ? Character($0.lowercased()) : $0 })
        }
    }

    mutating func number() -> String {
        if random.chance(0.6) { return duration() }
        return pick([
            "0", "-1", "x", "", "1.5", " 1", "+1", "01", "9223372036854775807", "9223372036854775808",
            "-9223372036854775808", "-9223372036854775809",
        ])
    }

    /// Far enough from now that it doesn't pass meanwhile.
    mutating func duration() -> String {
        while true {
            let number = 1_000 + 1_000 * random.below(1_000_000)
            if durations.insert(number).inserted { return "\(number)" }
        }
    }

    mutating func request() -> [Blob] {
        var words = command()
        if random.chance(0.03) { words.append(Blob(pick(["", "foo", "GET", "1"]))) }
        // A shorter CLIENT LIST shows how far each connection is.
        if random.chance(0.02), words.count > 1, words[0] != Blob("CLIENT") { words.removeLast() }
        return words
    }

    private mutating func command() -> [Blob] {
        switch random.below(37) {
        case 0, 1, 2: return [Blob(cased("GET")), key()]
        case 3, 4, 5: return set()
        case 6:
            return [Blob(cased("MGET"))] + (0...random.below(6)).map { _ in key() }
        case 7:
            return [Blob(cased("MSET"))]
                + (0...random.below(4)).flatMap { _ in [key(), value()] }
        case 8:
            return [Blob(cased(pick(["DEL", "UNLINK"])))] + (0...random.below(3)).map { _ in key() }
        case 9:
            return [Blob(cased(pick(["EXISTS", "TOUCH"])))] + (0...random.below(4)).map { _ in key() }
        case 10: return [Blob(cased(pick(["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"]))), key()]
        case 11, 12: return expire()
        case 13: return [Blob(cased("PERSIST")), key()]
        case 14: return connection()
        case 15:
            return [Blob(pick(["nope", "", "get ", "g\r\net", "COMMAND|INFO", "set\0"])), value(), value()]
        case 16: return many()
        case 17: return subcommand()
        case 18...27: return string()
        case 28...30: return fact()
        case 31, 32: return walk()
        case 33: return refused()
        case 34: return server()
        case 35: return junk()
        default: return [Blob("GET"), key()]
        }
    }

    private mutating func set() -> [Blob] {
        var words = [Blob(cased("SET")), key(), value()]
        for _ in 0..<random.below(3) where random.chance(0.5) {
            switch random.below(8) {
            case 0, 1: words += [Blob(cased("EX")), Blob(number())]
            case 2: words += [Blob(cased("PX")), Blob(random.chance(0.2) ? "0" : duration() + "000")]
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
        let time =
            switch name {
            case "EXPIRE": number()
            case "PEXPIRE": random.chance(0.3) ? number() + "000" : duration() + "000"
            default: pick(["1", "99999999999", "99999999998", "99999999999999", "99999999999998", "x", "-1"])
            }
        var words = [Blob(cased(name)), key(), Blob(time)]
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
            "HELLO 3 AUTH default x", "HELLO 2 AUTH x y", "HELLO 3 SETNAME", "HELLO 3 AUTH default",
            "PING a b",
            "CLIENT REPLY ON", "CLIENT REPLY x", "CLIENT NO-EVICT x", "CLIENT SETNAME a\nb", "SELECT 15",
            "SELECT 1.0", "SELECT 99999999999999999999", "AUTH", "AUTH a b c", "ECHO", "HELLO 0", "HELLO 256",
            "CLIENT ID x", "CLIENT SETNAME", "HELLO 3 SETNAME a\nb", "RESET x",
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
            "COMMAND GETKEYS MEMORY USAGE a", "COMMAND GETKEYS OBJECT ENCODING a",
            "COMMAND GETKEYS GETEX a EX 1",
            "COMMAND GETKEYS OBJECT nope a", "COMMAND GETKEYS SCAN 0", "COMMAND GETKEYS client|id a",
            "COMMAND GETKEYSANDFLAGS GETDEL a", "COMMAND GETKEYSANDFLAGS APPEND a b", "COMMAND COUNT x",
            "COMMAND GETKEYS", "COMMAND GETKEYS GET", "CLIENT KILL ID x", "CLIENT KILL ID 99999",
            "CLIENT KILL 1.2.3.4:5", "CLIENT KILL ADDR 1.2.3.4:5", "CLIENT KILL USER nope",
            "CLIENT KILL SKIPME x", "CLIENT KILL TYPE pubsub", "CLIENT KILL ID 1 x", "CLIENT LIST TYPE x",
            "CLIENT LIST TYPE pubsub", "CLIENT LIST ID x", "CLIENT LIST ID 99999", "CLIENT LIST ID",
            "CLIENT LIST TYPE", "CONFIG RESETSTAT x", "CONFIG SET a", "CONFIG SET a 1 b", "OBJECT", "MEMORY",
            "MEMORY nope", "OBJECT ENCODING", "MEMORY USAGE", "OBJECT FREQ a b",
            "COMMAND INFO scan append nope getex", "COMMAND LIST FILTERBY MODULE x",
            "COMMAND LIST FILTERBY PATTERN nope*", "COMMAND LIST FILTERBY ACLCAT nope",
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
