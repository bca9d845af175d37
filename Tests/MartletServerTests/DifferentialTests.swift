import FakeServer
import Glibc
import MartletBase
import MartletServer
import RealRedis
import Testing

/// The same requests to a real redis-server and to a session: the same bytes back.
@Suite(.serialized) struct DifferentialTests {
    static let sequences = 400

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
        for seed in 0..<Self.sequences where differences < 5 {
            var generator = RequestGenerator(random: Random(seed: UInt64(seed) &+ 77), isForRedis: true)
            var requests = (0..<40).map { _ in generator.request() }
            requests.removeAll { Self.isKnownToDiffer($0) }
            _ = try redis.ask(Harness.request([Blob("FLUSHALL")]))
            let harness = Harness { $0.clientOutputMax = 1 << 30 }
            harness.backend.keyspaces = (0..<16).map {
                .init(id: UInt32($0), name: "k\($0)", stamp: 1, replication: .count(3))
            }
            harness.backend.now.wall = Self.wallTime()
            harness.backend.now.monotonic = Instant(nanoseconds: 200_000_000)
            let theirs = try redis.ask(requests.flatMap(Harness.request))
            for request in requests { harness.send(request) }
            let ours = harness.client.takeOutput()
            guard let difference = Harness.difference(ours, theirs) else { continue }
            differences += 1
            Issue.record("seed \(seed): \(difference)")
        }
    }

    /// What is refused on purpose, or names the connection.
    static func isKnownToDiffer(_ request: [Blob]) -> Bool {
        let words = request.map { $0.description.uppercased() }
        switch words.first {
        case "SET": return words.dropFirst(3).contains { $0 == "NX" || $0 == "XX" }
        case "HELLO": return words.count == 1 || (words.count > 1 && words[1] == "2" && words.last == "N")
        case "INFO": return words.count == 1
        case "COMMAND": return words.count == 1 || (words[1] == "INFO" && words.count == 2)
        default: return false
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
            "command|count", "command|docs", "command|info", "command|list", "command|getkeys", "config|get",
            "config|set", "config|resetstat",
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
