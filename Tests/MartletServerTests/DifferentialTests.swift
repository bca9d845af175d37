import FakeServer
import Glibc
import MartletBase
import MartletServer
import RealRedis
import Testing

/// The same requests to a real redis-server and to a session: the same bytes back.
@Suite(.serialized) struct DifferentialTests {
    /// `MARTLET_DIFFERENTIAL_SEQUENCES=10000` runs as many, from the seed `MARTLET_DIFFERENTIAL_SEED` on; a
    /// failure names the seed of its sequence.
    static let sequences = number("MARTLET_DIFFERENTIAL_SEQUENCES") ?? 400
    static let firstSeed = number("MARTLET_DIFFERENTIAL_SEED") ?? 0
    static let requestsPerSequence = 40

    private static func number(_ variable: String) -> Int? {
        getenv(variable).flatMap { Int(String(cString: $0)) }
    }

    static func wallTime() -> WallTime {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return WallTime(microseconds: Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000)
    }

    /// What follows the reply of HELLO, whose last field is an empty array.
    static func last(_ bytes: [UInt8]) -> [UInt8] {
        let end = Array("modules\r\n*0\r\n".utf8)
        guard let start = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else { return [] }
        return Array(bytes[(start + end.count)...])
    }

    @Test func generatedSequencesAreAnsweredAlike() throws {
        guard let redis = try RealRedis.start() else { return }
        defer { redis.stop() }
        var differences = 0
        for seed in Self.firstSeed..<(Self.firstSeed + Self.sequences) where differences < 5 {
            _ = try redis.ask(Harness.request([Blob("FLUSHALL")]))
            guard let difference = try Self.difference(redis, seed: UInt64(seed)) else { continue }
            differences += 1
            Issue.record("MARTLET_DIFFERENTIAL_SEED=\(seed): \(difference)")
        }
    }

    /// The first reply of a sequence that isn't alike, with the requests that led there.
    private static func difference(_ redis: RealRedis, seed: UInt64) throws -> String? {
        var generator = RequestGenerator(random: Random(seed: seed &+ 77), isForRedis: true)
        var requests = (0..<requestsPerSequence).map { _ in generator.request() }
        requests.removeAll { Comparison.isOnlyForRedis($0) }
        if seed.isMultiple(of: 2) { requests.insert([Blob("HELLO"), Blob("3")], at: 0) }
        let harness = Harness { $0.clientOutputMax = 1 << 30 }
        harness.backend.keyspaces = (0..<16).map {
            .init(id: UInt32($0), name: "k\($0)", stamp: 1, replication: .count(3))
        }
        harness.backend.now.wall = wallTime()
        harness.backend.now.monotonic = Instant(nanoseconds: 200_000_000)
        var theirs = Comparison.split(try redis.ask(requests.flatMap(Harness.request)))[...]
        // Redis has answered by its own clock, somewhere in this time: much, where the processor is shared.
        let slack = wallTime().milliseconds - harness.backend.now.wall.milliseconds
        // A SET with an expiry that has passed leaves its key there in Redis until it is looked for.
        var isExpiredHeld = false
        for (index, request) in requests.enumerated() {
            harness.send(request)
            let comparison = Comparison.of(request, isExpiredHeld: isExpiredHeld, slack: slack)
            if request[0].text?.uppercased() == "SET", request.contains(Blob("1")) { isExpiredHeld = true }
            // A muted request has none.
            for ours in Comparison.split(harness.client.takeOutput()) {
                let other = theirs.popFirst() ?? ([], .error("no reply"))
                guard let text = comparison.difference(ours, other) else { continue }
                let before = requests[..<index].suffix(8).map { "\($0)" }.joined(separator: "\n")
                return "\(request): \(text)\nafter \(before)"
            }
        }
        return theirs.isEmpty ? nil : "\(theirs.count) replies more from Redis"
    }

    /// Page after page: the same keys, each at least once (and from Martlet exactly once).
    @Test func scansMeetTheSameKeys() throws {
        guard let redis = try RealRedis.start() else { return }
        defer { redis.stop() }
        for seed in 0..<20 {
            var random = Random(seed: UInt64(seed) &+ 9_000)
            let harness = Harness()
            _ = try redis.ask(Harness.request([Blob("FLUSHALL")]))
            for _ in 0..<random.below(400) {
                let key = Blob((0..<random.below(6)).map { _ in UInt8(97 + random.below(4)) })
                let request = [Blob("SET"), key, Blob("v")]
                harness.send(request)
                _ = try redis.ask(Harness.request(request))
            }
            _ = harness.client.takeOutput()
            let options = ["COUNT", "\(1 + random.below(30))", "MATCH", random.chance(0.5) ? "*" : "*[ab]?"]
            var both: [[Blob]] = []
            for isOurs in [true, false] {
                var (keys, cursor): ([Blob], Blob) = ([], Blob("0"))
                repeat {
                    let request = [Blob("SCAN"), cursor] + options.map { Blob($0) }
                    if isOurs { harness.send(request) }
                    let bytes = try isOurs ? harness.client.takeOutput() : redis.ask(Harness.request(request))
                    let page = Comparison.split(bytes).first?.value.elements ?? []
                    cursor = page.first?.blob ?? Blob("0")
                    keys += (page.last?.elements ?? []).compactMap(\.blob)
                } while cursor != Blob("0")
                both.append(keys)
            }
            #expect(Set(both[0]) == Set(both[1]), "seed \(seed)")
            #expect(Set(both[0]).count == both[0].count, "seed \(seed)")
        }
    }

    @Test func commandTableIsThatOfRedis() throws {
        guard let redis = try RealRedis.start() else { return }
        defer { redis.stop() }
        let names = [
            "ping", "echo", "hello", "auth", "quit", "reset", "select", "get", "set", "mget", "mset", "del",
            "unlink", "exists", "touch", "ttl", "pttl", "expiretime", "pexpiretime", "expire", "pexpire",
            "expireat", "pexpireat", "persist", "info", "client|id", "client|kill", "client|list",
            "client|reply", "client|getname", "client|setname", "client|no-evict", "client|info",
            "command|count", "command|docs", "command|info", "command|list", "command|getkeys", "config|set",
            "config|resetstat", "config|get", "time", "wait", "setex", "psetex", "getset",
            "getdel", "getex", "append", "getrange", "substr", "setrange", "strlen", "type",
            "object|encoding", "object|freq", "object|idletime", "object|refcount", "object|help",
            "memory|usage", "memory|help", "flushdb", "flushall", "dbsize", "scan", "keys", "randomkey",
        ]
        let harness = Harness()
        for version in ["2", "3"] {
            for name in names {
                let request =
                    Harness.request(["HELLO", version].map { Blob($0) })
                    + Harness.request(["COMMAND", "INFO", name].map { Blob($0) })
                let theirs = try redis.ask(request)
                harness.client.receive(Blob(request).span)
                let ours = harness.client.takeOutput()
                // What HELLO answers names the connection.
                let difference = Harness.difference(Self.last(ours), Self.last(theirs))
                #expect(difference == nil, "\(name) in RESP\(version): \(difference ?? "")")
            }
        }
    }

    @Test func patternsMatchAlike() throws {
        guard let redis = try RealRedis.start() else { return }
        defer { redis.stop() }
        var random = Random(seed: 5)
        func text(_ letters: String, _ most: Int) -> Blob {
            let letters = Array(letters.utf8)
            return Blob((0..<(1 + random.below(most))).map { _ in letters[random.below(letters.count)] })
        }
        let keys = (0..<60).map { _ in text("abcB-^]\\*", 5) }.filter { !$0.isEmpty }
        let set = Harness.request([Blob("MSET")] + keys.flatMap { [$0, Blob("")] })
        _ = try redis.ask(set)
        for _ in 0..<300 {
            let pattern = text("ab**??[]^-\\c", 7)
            let theirs = try redis.ask(Harness.request([Blob("KEYS"), pattern]))
            let matcher = GlobPattern(pattern.bytes)
            let ours = Set(keys.filter { matcher.matches($0.bytes) })
            let reply = Harness.shown(theirs)
            let isAlike =
                reply.hasPrefix("*\(ours.count)|")
                && ours.allSatisfy {
                    reply.contains("|$\($0.count)|\(String(decoding: $0.bytes, as: UTF8.self))|")
                }
            #expect(isAlike, "\(pattern): \(reply.prefix(200))")
        }
    }
}
