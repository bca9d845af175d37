import FakeServer
import MartletBase
import MartletGossip
import MartletNode
import MartletRing
import MartletServer
import Testing

/// The JSON of `status` and `ring`, the metrics, and help.
@Suite struct ShownTests {
    static let ids = (1...3).map { NodeID(short: UInt64($0), middle: 0, low: 0) }

    static func entry(_ number: Int) -> RingEntry {
        RingEntry(
            id: ids[number - 1], incarnation: 1, name: "n\(number)",
            address: IPAddress(v4: 127, 0, 0, UInt8(number)),
            ports: NodePorts(peers: 7_600, redis: 7_379, redisCluster: 7_380, http: 7_680),
            tokens: [Slot(number * 5_000)], state: .normal, version: "0.1.0")
    }

    static func harness() throws -> Harness {
        let harness = Harness { $0.nodeID = ids[0] }
        harness.backend.statusShown.members = (1...2).map {
            NodeStatus.Member(
                entry: entry($0), liveness: $0 == 1 ? .up : .suspect, ownsPercent: 200 / 3.0,
                clockOffset: $0 == 1 ? .zero : .microseconds(-1_234), isLinked: nil, isReachable: true)
        }
        let ring = try Ring((1...3).map(entry))
        harness.backend.placementShown = Placement(
            ring: ring, keyspace: KeyspaceDefinition(id: 0, name: "default", stamp: 1, replication: .count(2))
        )
        return harness
    }

    /// A bulk string's text.
    static func text(_ reply: String) -> String { String(reply.drop { $0 != "|" }.dropFirst().dropLast()) }

    @Test func statusIsTheContractsJSON() throws {
        let harness = try Self.harness()
        let node = {
            (number: Int, liveness: String, bytes: String, hints: String, uptime: String, offset: String) in
            "{\"id\":\"\(Self.ids[number - 1])\",\"name\":\"n\(number)\",\"address\":\"127.0.0.\(number)\","
                + "\"ports\":{\"peers\":7600,\"redis\":7379,\"redis_cluster\":7380,\"http\":7680},"
                + "\"zone\":\"default\",\"datacenter\":\"default\",\"state\":\"normal\","
                + "\"liveness\":\"\(liveness)\","
                + "\"tokens\":1,\"owns_percent\":66.67,\"bytes\":\(bytes),\"hint_bytes\":\(hints),"
                + "\"uptime_s\":\(uptime),\"version\":\"0.1.0\",\"clock_offset_ms\":\(offset),"
                + "\"configured\":null}"
        }
        #expect(
            Self.text(harness.ask("MARTLET STATUS"))
                == "{\"format\":1,\"cluster\":\"test\",\"ring\":\"formed\","
                + "\"ring_digest\":\"0000000000001234\","
                + "\"agreed\":true,\"asked\":\"n1\",\"nodes\":["
                + node(1, "up", "4096", "0", "12", "0.0") + ","
                + node(2, "suspect", "null", "null", "null", "-1.2") + "],\"purges\":[]}")
        harness.backend.statusShown.isFormed = false
        harness.backend.statusShown.waits = ["n2", "n\"3"]
        let forming = Self.text(harness.ask("MARTLET STATUS"))
        #expect(forming.contains("\"ring\":\"forming\""))
        #expect(forming.hasSuffix("],\"waits\":[\"n2\",\"n\\\"3\"]}"))
    }

    @Test func ringIsTheContractsJSON() throws {
        let harness = try Self.harness()
        let plain = Self.text(harness.ask("MARTLET RING"))
        #expect(
            plain == "{\"format\":1,\"keyspace\":\"default\",\"replication_factor\":2,"
                + "\"ring_digest\":\"0000000000001234\",\"tokens\":[{\"slot\":5000,\"node\":\"n1\"},"
                + "{\"slot\":10000,\"node\":\"n2\"},{\"slot\":15000,\"node\":\"n3\"}],\"ranges\":["
                + "{\"first\":0,\"last\":5000,\"replicas\":[\"n1\",\"n2\"]},"
                + "{\"first\":5001,\"last\":10000,\"replicas\":[\"n2\",\"n3\"]},"
                + "{\"first\":10001,\"last\":15000,\"replicas\":[\"n3\",\"n1\"]},"
                + "{\"first\":15001,\"last\":16383,\"replicas\":[\"n1\",\"n2\"]}]}")
        let ofKey = Self.text(harness.ask("MARTLET RING foo"))
        #expect(
            ofKey.hasPrefix(
                String(plain.dropLast()) + ",\"key\":\"foo\",\"encoding\":\"utf8\",\"slot\":12182,"))
        #expect(ofKey.hasSuffix("\"replicas\":[\"n3\",\"n1\"]}"))
        let odd = Self.text(harness.ask([Blob("MARTLET"), Blob("RING"), Blob([0xFF, 0xFE])]))
        #expect(odd.contains("\"key\":\"//4=\",\"encoding\":\"base64\""))
        harness.backend.placementShown = nil
        harness.backend.statusShown.waits = ["n3"]
        #expect(harness.ask("MARTLET RING").hasPrefix("-LOADING waits=n3: "))
        #expect(harness.ask("MARTLET RING a b").hasPrefix("-ERR wrong number of arguments"))
    }

    @Test func hintsAreTheContractsJSON() throws {
        #expect(
            Self.text(try Self.harness().ask("MARTLET HINTS"))
                == "{\"format\":1,\"nodes\":[{\"node\":\"n1\",\"overflow_total\":0,\"targets\":[]}]}")
        let harness = try Self.harness()
        let id = harness.server.settings.nodeID
        harness.backend.hintsShown = HintStatus(
            dropped: 2,
            targets: [
                HintStatus.Target(
                    id: id, name: "n2", hints: 9, bytes: 900, countedBytes: 0,
                    oldestAge: .milliseconds(4_210),
                    bytesPerSecond: 300.5, eta: .seconds(3), waitsFor: .foreground),
                HintStatus.Target(
                    id: id, name: "n3", hints: 1, bytes: 80, countedBytes: 80, oldestAge: nil,
                    bytesPerSecond: 0, eta: nil, waitsFor: .targetDown),
            ])
        let text = Self.text(harness.ask("MARTLET HINTS"))
        #expect(text.contains("\"overflow_total\":2,"))
        #expect(
            text.contains(
                "{\"target\":\"n2\",\"hints\":9,\"bytes\":900,\"oldest_age_s\":4.2,"
                    + "\"rate_bytes_per_s\":300,\"eta_s\":3.0,\"waits_for\":\"foreground\"}"))
        #expect(
            text.contains(
                "\"oldest_age_s\":null,\"rate_bytes_per_s\":0,\"eta_s\":null,"
                    + "\"waits_for\":\"target_down\"}"))
    }

    /// What `promtool check metrics` checks, and more: see `PrometheusRules`.
    @Test func metricsAreWellFormed() throws {
        let harness = try Self.harness()
        for line in ["SET a 1", "GET a", "GET", "nope", "PING", "MGET a b", "DBSIZE"] { harness.ask(line) }
        let other = harness.server.open(peer: "127.0.0.1:1", local: "127.0.0.1:7379")!
        other.receive(Blob("*1\r\n!3\r\n").span)
        let text = Self.text(harness.ask("MARTLET METRICS"))
        #expect(PrometheusRules.broken(by: text) == [])
        for line in [
            "martlet_commands_total{command=\"set\",outcome=\"ok\"} 1",
            "martlet_commands_total{command=\"get\",outcome=\"ok\"} 1",
            "martlet_commands_total{command=\"get\",outcome=\"error\"} 1",
            "martlet_commands_total{command=\"unknown\",outcome=\"error\"} 2",
            "martlet_protocol_errors_total{kind=\"expected_dollar\"} 1", "martlet_clients 2",
            "martlet_client_requests_total{op=\"write\",level=\"QUORUM\",outcome=\"ok\"} 1",
            "martlet_client_requests_total{op=\"read\",level=\"QUORUM\",outcome=\"ok\"} 3",
            "martlet_client_request_seconds_bucket{op=\"read\",level=\"QUORUM\",le=\"+Inf\"} 3",
            "martlet_command_seconds_count{command=\"mget\"} 1",
            "martlet_keyspace_hits_total 2", "martlet_keyspace_misses_total 1",
            "martlet_peer_liveness{peer=\"n2\",liveness=\"suspect\"} 1",
            "martlet_peer_liveness{peer=\"n2\",liveness=\"up\"} 0",
            "martlet_peer_reachable{peer=\"n2\"} 1",
            "martlet_lww_contended_total 0", "martlet_nodes{liveness=\"up\"} 1",
            "martlet_info{cluster=\"test\",node=\"n1\",version=\"0.1.0\"} 1",
        ] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
    }

    @Test func resettingStatisticsLeavesTheMetrics() {
        let harness = Harness()
        harness.ask("PING")
        harness.ask("CONFIG RESETSTAT")
        #expect(harness.ask("INFO stats").contains("total_commands_processed:1|"))
        #expect(harness.ask("MARTLET METRICS").contains("{command=\"ping\",outcome=\"ok\"} 1\n"))
    }

    @Test func helpListsEveryCommand() {
        let harness = Harness()
        let text = Self.text(harness.ask("MARTLET HELP"))
        for line in [
            "GET key\n    Get the value of a key.\n", "MARTLET RING [key]\n", "CLIENT ID\n", "VGET key [CONS",
        ] {
            #expect(text.contains(line), "\(line)")
        }
        #expect(Self.text(harness.ask("MARTLET HELP config")).contains("CONFIG GET pattern [pattern ...]\n"))
        #expect(harness.ask("MARTLET HELP nope").hasPrefix("-ERR no such command"))
        #expect(
            harness.ask("CONFIG HELP").hasPrefix(
                "*9|+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:|"))
    }

    @Test func commandShowsTheTable() {
        let harness = Harness()
        let count = Int(harness.ask("COMMAND COUNT").dropFirst().dropLast())!
        #expect(harness.ask("COMMAND").hasPrefix("*\(count)|*10|$4|ping|:-1|"))
        #expect(!harness.ask("COMMAND LIST").contains("|multi|"))
        #expect(harness.ask("COMMAND LIST FILTERBY PATTERN v*") == "*3|$4|vget|$4|vset|$4|vdel|")
        #expect(harness.ask("COMMAND LIST FILTERBY ACLCAT string").contains("$4|mget|"))
        #expect(harness.ask("COMMAND GETKEYS VSET k v") == "*1|$1|k|")
        #expect(
            harness.ask("COMMAND DOCS ping")
                == "*2|$4|ping|*6|$7|summary|$15|Ping the server|$5|since|$5|1.0.0|$5|group|$10|connection|")
    }
}
