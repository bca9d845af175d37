import Glibc
import MartletBase
import MartletRESP
import RealRedis
import Testing

/// Asks a real redis-server the same, when one is installed.
@Suite(.serialized) struct RedisServerTests {
    /// What of a request our model can answer as Redis does.
    static func answer(_ arguments: [Blob]) -> RESPValue? {
        let first = arguments[0]
        let name = CommandName(first.span)
        switch (name, arguments.count) {
        case ("PING", 1): return .simpleString("PONG")
        case ("PING", 2), ("ECHO", 2): return .bulkString(arguments[1])
        case ("EVAL", 3...) where arguments[1] == Blob("return ARGV") && arguments[2] == Blob("0"):
            return .array(arguments.dropFirst(3).map { .bulkString($0) })
        default: return nil
        }
    }

    /// Whether Redis's replies are what our parser's findings call for. The texts of errors that a command
    /// makes aren't compared: only that there is a reply.
    static func agrees(_ items: [Item], _ replies: [Seen]) -> Bool {
        guard items.count == replies.count else { return false }
        return zip(items, replies).allSatisfy { item, reply in
            switch (item, reply) {
            case (.protocolError(let line), .value(let value)): value == .error(line)
            case (.request(let arguments), .value(let value)):
                answer(arguments).map { $0 == value } ?? !value.isProtocolError
            default: false
            }
        }
    }

    /// What our parser finds that gets a reply. The web's methods make Redis close without one.
    static func found(_ input: [UInt8]) -> [Item] {
        var limits = RequestLimits()
        // Redis 7 waits for as many arguments as it is promised.
        limits.argumentCountMax = Int(Int32.max)
        return parseRequests(input, limits: limits)
    }

    @Test func theCorpusIsAnsweredAlike() throws {
        guard let redis = try RealRedis.start() else { return }
        defer { redis.stop() }
        for input in requestCorpus {
            let replies = try redis.ask(input)
            let seen = parseReplies(replies).seen
            #expect(Self.agrees(Self.found(input), seen), "\(Blob(input)): Redis answers \(Blob(replies))")
        }
    }

    @Test(arguments: [1, 2] as [UInt64])
    func mutatedRequestsAreAnsweredAlike(seed: UInt64) throws {
        guard let redis = try RealRedis.start() else { return }
        defer { redis.stop() }
        var mutator = Mutator(seed: seed)
        for round in 0..<1_000 {
            let base = requestCorpus[mutator.random.below(requestCorpus.count)]
            let input = mutator.mutate(base + requestCorpus[mutator.random.below(requestCorpus.count)])
            let replies = try redis.ask(input)
            let seen = parseReplies(replies).seen
            #expect(
                Self.agrees(Self.found(input), seen),
                "seed \(seed), round \(round): \(input) (\(Blob(input))): Redis answers \(Blob(replies))")
        }
    }

    @Test func linesAtTheLimitAreAnsweredAlike() throws {
        guard let redis = try RealRedis.start() else { return }
        defer { redis.stop() }
        for (mark, count) in [("A", 65_536), ("A", 65_537), ("*", 65_536), ("*", 65_537)] {
            let input = Array((mark + String(repeating: "1", count: count - 1)).utf8)
            let replies = try redis.ask(input)
            #expect(Self.agrees(Self.found(input), parseReplies(replies).seen), "\(mark) \(count)")
            let header = Array("*1\r\n".utf8) + input.map { $0 == 42 ? 36 : $0 }
            let answers = try redis.ask(header)
            #expect(Self.agrees(Self.found(header), parseReplies(answers).seen), "argument \(mark) \(count)")
        }
    }

    /// Our client side against the real server: RESP3's types, and a request of ours.
    @Test func repliesOfRedisAreRead() throws {
        guard let redis = try RealRedis.start() else { return }
        defer { redis.stop() }
        var writer = RequestWriter()
        writer.request(["HELLO", "3"])
        writer.request(["SET", "k", "v"])
        writer.request(["GET", "k"])
        writer.request(["GET", "none"])
        writer.request(["EVAL", "redis.setresp(3) return {double=1.5}", "0"])
        writer.request(["EVAL", "redis.setresp(3) return {map={a=1}}", "0"])
        writer.request(["EVAL", "redis.setresp(3) return true", "0"])
        writer.request(["EVAL", "redis.setresp(3) return {big_number='123456789012345678901'}", "0"])
        writer.request(["DEBUG", "PROTOCOL", "verbatim"])
        writer.request(["HGETALL", "none"])
        writer.request(["SMEMBERS", "none"])
        writer.request(["CLIENT", "TRACKING", "NOPE"])
        let seen = parseReplies(try redis.ask(writer.bytes)).seen
        #expect(seen.count == 12)
        guard case .value(.map(let hello))? = seen.first else { return #expect(Bool(false), "\(seen)") }
        #expect(hello.contains(.init(.bulkString(Blob("proto")), .integer(3))))
        let expected: [RESPValue] = [
            .simpleString("OK"), .bulkString(Blob("v")), .null, .double(1.5),
            .map([.init(.bulkString(Blob("a")), .integer(1))]), .boolean(true),
            .bigNumber("123456789012345678901"),
        ]
        #expect(Array(seen[1...7]) == expected.map { .value($0) })
        #expect(Array(seen[9...10]) == [.value(.map([])), .value(.set([]))])
        #expect(seen[11] == .value(.error("ERR syntax error")))
    }
}

extension RESPValue {
    var isProtocolError: Bool { errorText?.hasPrefix("ERR Protocol error") ?? false }
}
