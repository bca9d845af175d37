import FakeServer
import MartletBase
import MartletNode
import MartletRing
import MartletServer
import MartletVersions
import Testing

/// Errors that are Martlet's own, field by field.
@Suite struct FailureTests {
    static func reply(_ failure: RequestFailure, to line: String, failing key: String? = nil) -> String {
        let harness = Harness()
        harness.backend.fails = { key == nil || $0.key == Blob(key!) ? failure : nil }
        return harness.ask(line)
    }

    /// Up to the sentence.
    static func fields(_ reply: String) -> Substring { reply.prefix { $0 != ":" } }

    static let unavailable = RequestFailure.unavailable(
        .write, .all, required: 3, alive: 2, up: ["n1", "n2"], down: ["n3"])

    @Test func eachFailureNamesItsFields() {
        let timeout = RequestFailure.timeout(
            .read, .quorum, required: 2, acknowledged: 0, acked: [], unknown: ["n2", "n3"], version: nil,
            after: .seconds(2))
        let cases: [(RequestFailure, String, String)] = [
            (
                Self.unavailable, "SET a 1",
                "-UNAVAILABLE op=write level=ALL required=3 alive=2 up=n1,n2 down=n3: nothing was sent; "
            ),
            (
                timeout, "GET a",
                "-TIMEOUT op=read level=QUORUM required=2 acknowledged=0 acked= unknown=n2,n3 after_ms=2000: "
            ),
            (
                .overloaded(node: "n1", limit: "in_flight_max"), "GET a",
                "-OVERLOADED node=n1 limit=in_flight_max: refused before any work; "
            ),
            (
                .skew(node: "n2", aheadMilliseconds: 812, maxMilliseconds: 500), "SET a 1",
                "-SKEW node=n2 ahead_ms=812 max_ms=500: "
            ),
            (
                .loading(waits: ["n3"]), "GET a",
                "-LOADING waits=n3: nothing was sent; they have not been heard since this node started|"
            ), (.stopping, "GET a", "-STOPPING node=n1: "),
            (.noSuchKeyspace(3), "GET a", "-ERR the selected"),
            (.badLevel(.any), "GET a", "-ERR ANY is a write level: "),
            (.localRead("disk"), "VGET a LOCAL", "-ERR this node's copy can not be read: disk|"),
        ]
        for (failure, line, start) in cases {
            let reply = Self.reply(failure, to: line)
            #expect(reply.hasPrefix(start), "\(reply)")
            #expect(reply.filter { $0 == "|" }.count == 1)
        }
    }

    /// The version that a timeout names can be sent again.
    @Test func aTimeoutNamesTheVersion() {
        let stamp = Stamp(
            time: HybridTime(WallTime(milliseconds: 1_700_000_000_000)),
            writer: Writer(node: 9, boot: 1, shard: 0))
        let harness = Harness()
        harness.backend.fails = { _ in
            .timeout(
                .write, .quorum, required: 2, acknowledged: 1, acked: ["n1"], unknown: ["n2", "n3"],
                version: stamp, after: .seconds(2))
        }
        let token = VersionToken.encode(stamp, key: Blob("a").span)
        let reply = harness.ask("SET a 1")
        #expect(
            reply == "-TIMEOUT op=write level=QUORUM required=2 acknowledged=1 acked=n1 unknown=n2,n3 "
                + "version=\(token) after_ms=2000: the write may have happened; repair will finish it|")
        harness.backend.fails = nil
        #expect(harness.ask("VSET a 1 VERSION \(token)").contains(token))
    }

    @Test func manyKeysTellTheFirstThatFailed() {
        let harness = Harness()
        let failing: Set<Blob> = [Blob("c"), Blob("b d")]
        harness.backend.fails = { failing.contains($0.key) ? Self.unavailable : nil }
        let reply = harness.ask(["MSET", "a", "1", "b d", "2", "c", "3"].map { Blob($0) })
        #expect(
            Self.fields(reply)
                == "-UNAVAILABLE op=write level=ALL required=3 alive=2 up=n1,n2 down=n3 keys_failed=2 "
                + "key=b\\x20d"
        )
        #expect(harness.ask("GET a") == "$1|1|")
        #expect(harness.ask("MGET c a").contains(" keys_failed=1 key=c: "))
        #expect(harness.ask("DEL a c").contains(" keys_failed=1 key=c: "))
        #expect(!harness.ask("DEL c").contains("keys_failed"))
        #expect(harness.ask("EXISTS a") == ":0|")
        let long = String(repeating: "k", count: 100)
        harness.backend.fails = { _ in .loading(waits: []) }
        #expect(
            harness.ask("MGET \(long) \u{E9}=:").hasPrefix(
                "-LOADING waits= keys_failed=2 key=\(long.prefix(64))...: "))
    }

    /// A command of two steps whose second fails, fails; its first alone changes nothing.
    @Test func theSecondStepCanFail() {
        let harness = Harness()
        harness.ask("SET a 1")
        harness.backend.fails = {
            if case .put = $0.operation { return Self.unavailable }
            return nil
        }
        for line in ["DEL a", "EXPIRE a 5", "PERSIST a", "SET a 2 GET", "SET a 2 KEEPTTL"] {
            let reply = harness.ask(line)
            #expect(reply.hasPrefix("-UNAVAILABLE") || (line == "PERSIST a" && reply == ":0|"), "\(line)")
        }
        harness.backend.fails = nil
        #expect(harness.ask("GET a") == "$1|1|")
        #expect(harness.ask("TTL a") == ":-1|")
    }

    @Test func tooLargeIsRefusedAndTheConnectionStays() {
        let harness = Harness {
            $0.valueBytesMax = 1_000
            $0.keyBytesMax = 10
        }
        let big = String(repeating: "v", count: 1_001)
        CommandTests.check(
            [
                ("SET a \(big.dropLast())", "+OK|"),
                ("LLEN", "-ERR unknown command 'LLEN', with args beginning with: |"),
                ("EXISTS a", ":1|"),
            ], harness)
        #expect(
            harness.ask("SET a \(big)").hasPrefix(
                "-TOOLARGE what=value bytes=1001 max=1000 key=a: nothing was done; "))
        #expect(harness.ask("GET 12345678901").hasPrefix("-TOOLARGE what=key bytes=11 max=10: "))
        #expect(harness.ask("MGET a 12345678901").hasPrefix("-TOOLARGE what=key bytes=11 max=10: "))
        #expect(harness.ask("GET \(big)").hasPrefix("-TOOLARGE what=key bytes=1001 max=10: "))
        #expect(harness.ask("MSET a 1 b \(big)").hasPrefix("-TOOLARGE what=value bytes=1001 max=1000"))
        #expect(harness.ask("VSET a \(big)").hasPrefix("-TOOLARGE what=value bytes=1001 max=1000"))
        #expect(harness.ask("EXISTS a b") == ":1|")
        #expect(!harness.client.isFinished)
        #expect(
            harness.ask("MARTLET METRICS").contains(
                "martlet_commands_total{command=\"set\",outcome=\"toolarge\"} 1"))
    }

    @Test func slowReadersAreCutOff() {
        let harness = Harness { $0.clientOutputMax = 10_000 }
        harness.ask("SET a \(String(repeating: "v", count: 1_000))")
        for _ in 0..<12 { harness.send([Blob("GET"), Blob("a")]) }
        #expect(harness.server.sessionCount == 0)
        #expect(harness.ask("PING") == "")
        let next = harness.server.open(peer: "127.0.0.1:1", local: "127.0.0.1:7379")!
        #expect(harness.ask("INFO stats", on: next).contains("client_output_buffer_limit_disconnections:1|"))
    }

    @Test func clientsAreCounted() {
        let harness = Harness { $0.clientsMax = 2 }
        let second = harness.server.open(peer: "127.0.0.1:1", local: "127.0.0.1:7379")
        #expect(second != nil)
        #expect(harness.server.open(peer: "127.0.0.1:2", local: "127.0.0.1:7379") == nil)
        harness.server.close(second!)
        #expect(harness.server.open(peer: "127.0.0.1:2", local: "127.0.0.1:7379") != nil)
        #expect(harness.ask("INFO stats").contains("rejected_connections:1|"))
    }
}
