import FakeServer
import MartletBase
import MartletServer
import Testing

/// INFO, section by section, as Redis 7.0.15 has it.
@Suite struct InfoTests {
    private static func titles(_ reply: String) -> [String] {
        ShownTests.text(reply).split(separator: "|").filter { $0.hasPrefix("# ") }.map {
            String($0.dropFirst(2))
        }
    }

    private static let usual = [
        "Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Errorstats",
        "Cluster", "Keyspace", "Martlet",
    ]

    @Test func sections() {
        let harness = Harness()
        #expect(Self.titles(harness.ask("INFO")) == Self.usual)
        #expect(Self.titles(harness.ask("INFO default")) == Self.usual)
        let all = Self.titles(harness.ask("INFO everything"))
        #expect(all == Self.titles(harness.ask("INFO all")))
        #expect(all.filter { !Self.usual.contains($0) } == ["Commandstats", "Latencystats"])
        #expect(Self.titles(harness.ask("INFO CPU clients nope")) == ["Clients", "CPU"])
        #expect(harness.ask("INFO nope") == "$0||")
        #expect(harness.ask("INFO keyspace") == "$12|# Keyspace||")
    }

    @Test func everyLineIsANameAndAValue() {
        let harness = Harness()
        for line in ShownTests.text(harness.ask("INFO everything")).split(separator: "|")
        where !line.hasPrefix("# ") {
            let name = line.prefix { $0 != ":" }
            #expect(!name.isEmpty && line.contains(":") && !name.contains(" "), "\(line)")
        }
    }

    @Test func commandsErrorsAndLatencies() {
        let harness = Harness()
        for line in ["SET a 1", "GET a", "GET b", "GET", "SET a 1 EX 0", "HELLO 9", "nope"] {
            harness.ask(line)
        }
        let commands = harness.ask("INFO commandstats")
        #expect(commands.contains("|cmdstat_get:calls=2,usec=0,usec_per_call=0.00,rejected_calls=1,"))
        #expect(commands.contains("|cmdstat_set:calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,"))
        #expect(commands.contains("rejected_calls=0,failed_calls=1|"))
        #expect(harness.ask("INFO errorstats").contains("|errorstat_ERR:count=3|errorstat_NOPROTO:count=1|"))
        #expect(
            harness.ask("INFO latencystats").contains(
                "|latency_percentiles_usec_get:p50=1.000,p99=1.000,p99.9=1.000|"))
        let statistics = harness.ask("INFO stats")
        #expect(statistics.contains("|keyspace_hits:1|keyspace_misses:1|total_error_replies:4|"))
        harness.ask("CONFIG RESETSTAT")
        #expect(!harness.ask("INFO commandstats").contains("cmdstat_get"))
        #expect(harness.ask("INFO stats").contains("|keyspace_hits:0|keyspace_misses:0|"))
    }

    @Test func timeOfACommandIsUntilItsReply() {
        let harness = Harness()
        harness.backend.isImmediate = false
        harness.send(["GET", "a"].map { .init($0) })
        harness.backend.now.monotonic = harness.backend.now.monotonic + .microseconds(1_500)
        var random = Random(seed: 1)
        harness.backend.finish(&random)
        harness.backend.isImmediate = true
        #expect(
            harness.ask("INFO commandstats").contains("cmdstat_get:calls=1,usec=1500,usec_per_call=1500.00,"))
        #expect(
            harness.ask("MARTLET METRICS").contains(
                "martlet_client_request_seconds_sum{op=\"read\",level=\"QUORUM\"} 0.0015\n"))
    }
}
