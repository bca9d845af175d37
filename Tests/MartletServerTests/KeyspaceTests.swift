import FakeServer
import MartletBase
import MartletNode
import MartletServer
import Testing

/// FLUSHDB, FLUSHALL, MARTLET KEYSPACE.
@Suite struct KeyspaceTests {
    @Test func flushingEmptiesTheSelectedKeyspaceOrAll() {
        CommandTests.check(
            [
                ("SET a 1", "+OK|"), ("SELECT 1", "+OK|"), ("SET a 2", "+OK|"), ("FLUSHDB", "+OK|"),
                ("GET a", "$-1|"), ("SELECT 0", "+OK|"), ("GET a", "$1|1|"), ("FLUSHALL ASYNC", "+OK|"),
                ("GET a", "$-1|"), ("FLUSHDB SYNC", "+OK|"), ("FLUSHDB now", "-ERR syntax error|"),
                ("FLUSHALL SYNC x", "-ERR syntax error|"),
            ])
    }

    /// What a pipeline has before a flush is flushed, and what it has after it is not, in whatever order the
    /// core answers.
    @Test(arguments: 1...20)
    func aFlushHasItsPlaceInAPipeline(seed: UInt64) {
        let harness = Harness()
        harness.backend.isImmediate = false
        var random = Random(seed: seed)
        for line in ["SET a 1", "SET b 1", "FLUSHDB", "SET a 2", "MGET a b", "FLUSHALL", "DBSIZE"] {
            harness.send(line.split(separator: " ").map { Blob(String($0)) })
        }
        harness.backend.finish(&random)
        #expect(harness.output() == "+OK|+OK|+OK|+OK|*2|$1|2|$-1|+OK|:0|", "seed \(seed)")
    }

    @Test func keyspacesComeAndGo() {
        let harness = Harness()
        #expect(harness.ask("MARTLET KEYSPACE LIST").contains("\"index\":1,\"name\":\"sessions\",\"id\":7"))
        let made = harness.ask("MARTLET KEYSPACE CREATE cache ttl 2min READ one replication_factor a:2,b:1")
        #expect(made.contains("\"index\":2,\"name\":\"cache\""))
        #expect(made.contains("\"replication_factor\":{\"a\":2,\"b\":1}"))
        #expect(made.contains("\"read\":\"ONE\",\"write\":\"QUORUM\""))
        #expect(made.contains("\"ttl_ms\":120000"))
        #expect(harness.ask("SELECT cache") == "+OK|")
        #expect(harness.ask("MARTLET KEYSPACE ALTER cache write ALL").contains("\"write\":\"ALL\""))
        #expect(harness.ask("CONSISTENCY") == "*2|$3|ONE|$3|ALL|")
        #expect(harness.ask("SELECT 0") == "+OK|")
        // Indexes move up, and who has selected a keyspace stays with it.
        let other = harness.server.open(peer: "127.0.0.1:50001", local: "127.0.0.1:7379")
        #expect(harness.ask("SELECT 2") == "+OK|")
        #expect(harness.ask("MARTLET KEYSPACE DROP sessions", on: other) == "+OK|")
        #expect(harness.ask("CONSISTENCY") == "*2|$3|ONE|$3|ALL|")
        #expect(harness.ask("SELECT sessions").contains("there are default, cache"))
    }

    @Test func wrongUseSaysWhatIsRight() {
        CommandTests.check(
            [
                ("MARTLET KEYSPACE", "-ERR wrong number of arguments for 'martlet|keyspace' command|"),
                ("MARTLET KEYSPACE SHOW", "-ERR wrong number of arguments for 'martlet|keyspace show'|"),
                ("MARTLET KEYSPACE SHOW x", "-ERR no keyspace is named 'x': there are default, sessions|"),
                (
                    "MARTLET KEYSPACE CREATE x color red",
                    "-ERR no option of a keyspace is named 'color': there are replication_factor, conflict, "
                        + "read, write, sloppy_quorum, ttl|"
                ),
                ("MARTLET KEYSPACE CREATE x ttl", "-ERR ttl has no value|"),
                ("MARTLET KEYSPACE CREATE x ttl 1s ttl 2s", "-ERR ttl is given twice|"),
                (
                    "MARTLET KEYSPACE CREATE x sloppy_quorum maybe",
                    "-ERR sloppy_quorum: found 'maybe', allowed: true or false|"
                ),
                (
                    "MARTLET KEYSPACE CREATE 7x",
                    "-ERR a keyspace's name is 1 to 64 of a-z 0-9 _ -, the first a letter; found 7x|"
                ),
                ("MARTLET KEYSPACE DROP x", "-ERR no keyspace is named 'x': there are default, sessions|"),
            ])
    }

    @Test func aChangeThatNotAllHaveAcknowledgedNamesThem() {
        let harness = Harness()
        harness.backend.fails = { _ in
            .timeout(
                .define, .all, required: 3, acknowledged: 2, acked: ["n1", "n2"], unknown: ["n3"],
                version: nil,
                after: .seconds(2))
        }
        let fields = "op=define level=ALL required=3 acknowledged=2 acked=n1,n2 unknown=n3 after_ms=2000"
        #expect(harness.ask("FLUSHDB").hasPrefix("-TIMEOUT \(fields): "))
    }
}
