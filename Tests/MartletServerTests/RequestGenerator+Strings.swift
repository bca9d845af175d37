import MartletBase

/// The commands on parts of strings, on what values are like, and those that go over the keys.
extension RequestGenerator {
    mutating func string() -> [Blob] {
        switch random.below(11) {
        case 0: return [Blob(cased("SETEX")), key(), Blob(number()), value()]
        case 1: return [Blob(cased("PSETEX")), key(), Blob(number() + "000"), value()]
        case 2: return [Blob(cased("GETSET")), key(), value()]
        case 3: return [Blob(cased("GETDEL")), key()]
        case 4, 5: return getEx()
        case 6, 7: return [Blob(cased("APPEND")), key(), value()]
        case 8: return [Blob(cased(pick(["GETRANGE", "SUBSTR"]))), key(), Blob(index()), Blob(index())]
        case 9:
            let offset = pick(["0", "1", "5", "30", "-1", "x", "536870912", "9223372036854775807", "2000"])
            return [Blob(cased("SETRANGE")), key(), Blob(offset), value()]
        default: return [Blob(cased("STRLEN")), key()]
        }
    }

    private mutating func index() -> String {
        pick([
            "0", "1", "2", "5", "-1", "-2", "-5", "100", "-100", "9223372036854775807",
            "-9223372036854775808", "x", "", "1.0", "2147483648",
        ])
    }

    private mutating func getEx() -> [Blob] {
        var words = [Blob(cased("GETEX")), key()]
        for _ in 0..<(1 + random.below(2)) {
            switch random.below(7) {
            case 0, 1: words += [Blob(cased("EX")), Blob(number())]
            case 2: words += [Blob(cased("PX")), Blob(duration() + "000")]
            case 3: words += [Blob(cased("EXAT")), Blob(pick(["1", "99999999999", "0", "x"]))]
            case 4: words += [Blob(cased("PXAT")), Blob(pick(["1", "99999999999999", "-5"]))]
            case 5: words += [Blob(cased("PERSIST"))]
            default: words += [Blob(pick(["KEEPTTL", "GET", "NX", "EX", ""]))]
            }
            if random.chance(0.8) { break }
        }
        return words
    }

    mutating func fact() -> [Blob] {
        switch random.below(4) {
        case 0: return [Blob(cased("TYPE")), key()]
        case 1, 2:
            let word = pick(["ENCODING", "ENCODING", "FREQ", "IDLETIME", "REFCOUNT", "nope"])
            return [Blob(cased("OBJECT")), Blob(cased(word)), key()]
        default:
            var words = [Blob(cased("MEMORY")), Blob(cased("USAGE")), key()]
            if random.chance(0.3) { words += [Blob(cased("SAMPLES")), Blob(pick(["0", "5", "-1", "x"]))] }
            if random.chance(0.1) { words += [Blob("foo")] }
            return words
        }
    }

    mutating func walk() -> [Blob] {
        switch random.below(6) {
        case 0: return [Blob(cased("DBSIZE"))]
        case 1: return [Blob(cased("RANDOMKEY"))]
        case 2: return [Blob(cased("KEYS")), Blob(pattern())]
        default: return scan()
        }
    }

    private mutating func pattern() -> String {
        pick(["*", "?", "a*", "[a-c]", "[^a]", "*{*", "l?ng*", "", "\\a", "x", "**", "[", "*\u{0}*"])
    }

    /// All in one page, as the cursors of the two say different things.
    private mutating func scan() -> [Blob] {
        let cursor =
            random.chance(0.8) ? "0" : pick(["x", "-", "", " 0", "+0", "-0", "0x", "18446744073709551616"])
        var words = [Blob(cased("SCAN")), Blob(cursor), Blob(cased("COUNT"))]
        words.append(Blob(random.chance(0.8) ? "1000" : pick(["0", "-1", "x", "", "9223372036854775808"])))
        for _ in 0..<random.below(3) {
            switch random.below(4) {
            case 0, 1: words += [Blob(cased("MATCH")), Blob(pattern())]
            case 2: words += [Blob(cased("TYPE")), Blob(cased(pick(["STRING", "HASH", "nope"])))]
            default: words += [Blob(pick(["MATCH", "foo", "TYPE", "COUNT"]))]
            }
        }
        return words
    }

    mutating func refused() -> [Blob] {
        let lines = [
            "SETNX a 1", "MSETNX a 1 b 2", "INCR a", "INCRBY a 1", "INCRBYFLOAT a 1", "DECR a", "DECRBY a 1",
            "PUBLISH a b", "EVAL", "INCR", "SETNX a", "PUBLISH", "DECRBY a",
        ]
        return pick(lines).split(separator: " ").map { Blob(String($0)) }
    }

    mutating func server() -> [Blob] {
        let lines = [
            "TIME", "WAIT 0 0", "WAIT x 0", "WAIT 0 x", "WAIT 0 -1", "WAIT 99999999999999999999 0",
            "WAIT -1 1",
            "CONFIG RESETSTAT", "CONFIG GET appendonly save", "CONFIG GET maxmemory", "CONFIG GET nope*",
            "CONFIG SET maxclients x", "CONFIG SET maxclients 0", "CONFIG SET maxclients",
            "CONFIG SET nope 1 maxclients 100", "CONFIG SET maxclients 5000",
            "CONFIG SET maxclients 1 maxclients 2", "CONFIG SET save x", "CONFIG SET loglevel foo",
            "CONFIG SET client-output-buffer-limit foo", "CONFIG SET cluster-enabled yes",
            "CONFIG SET databases 3", "CONFIG SET loglevel notice",
            "CONFIG SET client-output-buffer-limit a,0,0,0", "CONFIG SET timeout 0", "CONFIG SET timeout x",
            "CONFIG SET maxmemory 0", "CONFIG SET maxmemory-policy noeviction",
            "CONFIG SET maxmemory-policy nope", "CONFIG SET appendonly nope", "FLUSHDB", "FLUSHDB ASYNC",
            "FLUSHDB SYNC", "FLUSHDB x", "FLUSHALL", "FLUSHALL SYNC x",
        ]
        return pick(lines).split(separator: " ").map { Blob(String($0).replacing(",", with: " ")) }
    }

    /// Any number of arguments of any kind.
    mutating func junk() -> [Blob] {
        let name = pick([
            "get", "set", "setex", "psetex", "getset", "getdel", "getex", "append", "getrange", "substr",
            "setrange", "strlen", "mget", "mset", "del", "unlink", "exists", "touch", "type", "ttl", "pttl",
            "expire", "pexpire", "expireat", "pexpireat", "expiretime", "pexpiretime", "persist", "object",
            "memory", "dbsize", "scan", "keys", "randomkey", "time", "echo", "ping", "select", "nope",
        ])
        return [Blob(cased(name))]
            + (0..<random.below(6)).map { _ in
                random.chance(0.4)
                    ? key()
                    : Blob(
                        pick(["0", "1", "GET", "EX", "usage", "MATCH", "COUNT", "*", "x", "encoding", "\r\n"])
                    )
            }
    }
}
