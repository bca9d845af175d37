import FakeServer
import MartletBase
import MartletGossip
import MartletNode
import MartletRing
import MartletServer
import Testing

/// Port 7380: a Redis Cluster to the letter of Redis 7.0.15's replies.
@Suite struct ClusterTests {
    /// A session on the cluster's port of n1, in the ring of three nodes of `ShownTests`.
    static func harness(
        liveness: [Liveness] = [.up, .up, .up]
    ) throws -> (harness: Harness, session: RedisSession) {
        let harness = try ShownTests.harness()
        show(liveness, harness)
        let session = try #require(
            harness.server.open(peer: "127.0.0.1:2", local: "127.0.0.1:7380", face: .cluster))
        return (harness, session)
    }

    static func show(_ liveness: [Liveness], _ harness: Harness) {
        harness.backend.statusShown.members = (1...3).map { number in
            NodeStatus.Member(
                entry: ShownTests.entry(number), liveness: liveness[number - 1], ownsPercent: 200 / 3.0,
                clockOffset: nil, isLinked: number == 1 ? nil : liveness[number - 1].isPresent,
                isReachable: liveness[number - 1].isPresent,
                acknowledgedBefore: number == 2 ? .milliseconds(400) : nil)
        }
    }

    private static let ids = ShownTests.ids.map(\.description)

    /// A slot range as CLUSTER SLOTS has it.
    private static func slots(_ first: Int, _ last: Int, _ node: Int) -> String {
        "*3|:\(first)|:\(last)|*4|$9|127.0.0.\(node)|:7380|$40|\(ids[node - 1])|"
    }

    @Test func slotsInBothProtocols() throws {
        let (harness, session) = try Self.harness()
        // The ranges of the ring are (n1, n2), (n2, n3), (n3, n1), (n1, n2); masters are even.
        #expect(
            harness.ask("CLUSTER SLOTS", on: session)
                == "*4|" + Self.slots(0, 5_000, 1) + "*0|" + Self.slots(5_001, 10_000, 2) + "*0|"
                + Self.slots(10_001, 15_000, 3) + "*0|" + Self.slots(15_001, 16_383, 2) + "*0|")
        harness.ask("HELLO 3", on: session)
        #expect(harness.ask("CLUSTER SLOTS", on: session).hasPrefix("*4|" + Self.slots(0, 5_000, 1) + "%0|"))
    }

    @Test func shards() throws {
        let (harness, session) = try Self.harness(liveness: [.up, .up, .down])
        let third =
            "*1|*14|$2|id|$40|\(Self.ids[2])|$4|port|:7380|$2|ip|$9|127.0.0.3|$8|endpoint|$9|127.0.0.3|"
            + "$4|role|$6|master|$18|replication-offset|:0|$6|health|$4|fail|"
        let shown = harness.ask("CLUSTER SHARDS", on: session)
        #expect(shown.hasPrefix("*3|*4|$5|slots|*4|:0|:5000|:10001|:15000|$5|nodes|*1|*14|"))
        #expect(shown.hasSuffix("*4|$5|slots|*0|$5|nodes|" + third))
        harness.ask("HELLO 3", on: session)
        #expect(
            harness.ask("CLUSTER SHARDS", on: session).hasSuffix(
                "%2|$5|slots|*0|$5|nodes|" + third.replacing("*14|", with: "%7|")))
    }

    @Test func nodes() throws {
        let (harness, session) = try Self.harness(liveness: [.up, .suspect, .down])
        let shown = harness.ask("CLUSTER NODES", on: session)
        let pong = harness.backend.now.wall.milliseconds - 400
        #expect(
            shown.split(separator: "|").last.map(String.init)
                == """
                \(Self.ids[0]) 127.0.0.1:7380@7600 myself,master - 0 0 1 connected 0-5000 10001-15000
                \(Self.ids[1]) 127.0.0.2:7380@7600 master,fail? - 0 \(pong) 1 connected 5001-10000 15001-16383
                \(Self.ids[2]) 127.0.0.3:7380@7600 master,fail - 0 0 1 disconnected

                """)
    }

    @Test func info() throws {
        let (harness, session) = try Self.harness(liveness: [.up, .suspect, .up])
        #expect(
            ShownTests.text(harness.ask("CLUSTER INFO", on: session))
                == "cluster_state:ok|cluster_slots_assigned:16384|cluster_slots_ok:10001|"
                + "cluster_slots_pfail:6383|cluster_slots_fail:0|cluster_known_nodes:3|cluster_size:3|"
                + "cluster_current_epoch:1|cluster_my_epoch:1|cluster_stats_messages_sent:0|"
                + "cluster_stats_messages_received:0|total_cluster_links_buffer_limit_exceeded:0|")
        // Slots 5001 to 10000 are n2's and n3's.
        Self.show([.up, .down, .down], harness)
        let broken = harness.ask("CLUSTER INFO", on: session)
        #expect(broken.contains("cluster_state:fail|"))
        #expect(broken.contains("cluster_slots_fail:5000|"))
        #expect(broken.contains("cluster_size:2|"))
    }

    @Test func aNodesDeathMovesItsSlotsAlone() throws {
        let (harness, session) = try Self.harness()
        let before = harness.ask("CLUSTER SLOTS", on: session)
        Self.show([.up, .suspect, .up], harness)
        #expect(harness.ask("CLUSTER SLOTS", on: session) == before)
        // One that is held alive, but can't be reached, is passed over as a dead one is.
        harness.backend.statusShown.members[1].isReachable = false
        let passedOver = harness.ask("CLUSTER SLOTS", on: session)
        #expect(harness.ask("CLUSTER NODES", on: session).contains("master,fail? - 0"))
        Self.show([.up, .down, .up], harness)
        #expect(harness.ask("CLUSTER SLOTS", on: session) == passedOver)
        #expect(
            passedOver
                == "*3|" + Self.slots(0, 5_000, 1) + "*0|" + Self.slots(5_001, 15_000, 3) + "*0|"
                + Self.slots(15_001, 16_383, 1) + "*0|")
        Self.show([.up, .up, .up], harness)
        #expect(harness.ask("CLUSTER SLOTS", on: session) == before)
    }

    @Test func masterRangesAreTheNodesOwn() throws {
        let (harness, _) = try Self.harness(liveness: [.up, .down, .up])
        let ranges = harness.server.masterRanges()
        #expect(ranges.map(\.lowerBound.slot.index) == [0, 15_001])
        #expect(ranges.map(\.upperBound.slot.index) == [5_000, 16_383])
        #expect(ranges.last?.upperBound == Token.all.upperBound)
    }

    @Test func beforeTheRingHasFormed() throws {
        let (harness, session) = try Self.harness()
        harness.backend.statusShown.isFormed = false
        harness.backend.placementShown = nil
        #expect(harness.ask("CLUSTER SLOTS", on: session) == "*0|")
        let info = harness.ask("CLUSTER INFO", on: session)
        #expect(info.contains("cluster_state:fail|cluster_slots_assigned:0|"))
        #expect(info.contains("cluster_size:0|"))
        #expect(harness.ask("CLUSTER NODES", on: session).contains("myself,master - 0 0 1 connected\n"))
        #expect(harness.server.masterRanges().isEmpty)
        harness.backend.fails = { _ in .loading(waits: ["n3"]) }
        #expect(harness.ask("GET a", on: session).hasPrefix("-LOADING waits=n3: "))
    }

    @Test func aNodeWithoutAClusterPortIsNotShown() throws {
        let (harness, session) = try Self.harness()
        harness.backend.statusShown.members[1].entry.ports.redisCluster = 0
        #expect(!harness.ask("CLUSTER NODES", on: session).contains("127.0.0.2"))
        #expect(
            harness.ask("CLUSTER SLOTS", on: session)
                == "*3|" + Self.slots(0, 5_000, 1) + "*0|" + Self.slots(5_001, 15_000, 3) + "*0|"
                + Self.slots(15_001, 16_383, 1) + "*0|")
    }

    @Test(arguments: [
        ("CLUSTER MYID", "$40|\(ids[0])|"), ("CLUSTER KEYSLOT foo", ":12182|"),
        ("CLUSTER KEYSLOT {foo}bar", ":12182|"),
        ("CLUSTER KEYSLOT", "-ERR wrong number of arguments for 'cluster|keyslot' command|"),
        ("CLUSTER FOO", "-ERR unknown subcommand 'FOO'. Try CLUSTER HELP.|"),
        ("CLUSTER", "-ERR wrong number of arguments for 'cluster' command|"),
        ("CLUSTER REPLICAS abc", "-ERR Unknown node abc|"), ("CLUSTER REPLICAS \(ids[1])", "*0|"),
        ("CLUSTER SLAVES \(ids[1])", "*0|"), ("READONLY", "+OK|"),
        ("READWRITE", "+OK|"), ("ASKING", "+OK|"),
        ("READONLY 1", "-ERR wrong number of arguments for 'readonly' command|"), ("SELECT 0", "+OK|"),
        ("SELECT 1", "-ERR SELECT is not allowed in cluster mode|"),
        ("SELECT -1", "-ERR SELECT is not allowed in cluster mode|"), ("SELECT sessions", "+OK|"),
        ("SELECT x", "-ERR no keyspace is named 'x': there are default, sessions|"),
    ])
    func asRedisClusterAnswers(line: String, reply: String) throws {
        let (harness, session) = try Self.harness()
        #expect(harness.ask(line, on: session) == reply)
    }

    @Test func keysOfASlot() throws {
        let (harness, session) = try Self.harness()
        for line in ["SET {foo}1 a", "SET {foo}2 b", "SET foo c", "SET bar d"] { harness.ask(line) }
        harness.ask("DEL {foo}1")
        #expect(harness.ask("CLUSTER COUNTKEYSINSLOT 12182", on: session) == ":2|")
        #expect(harness.ask("CLUSTER COUNTKEYSINSLOT 0", on: session) == ":0|")
        let all = harness.ask("CLUSTER GETKEYSINSLOT 12182 10", on: session)
        #expect(["*2|$3|foo|$6|{foo}2|", "*2|$6|{foo}2|$3|foo|"].contains(all))
        #expect(
            harness.ask("CLUSTER GETKEYSINSLOT 12182 1", on: session)
                == "*1|" + (all.hasPrefix("*2|$3") ? "$3|foo|" : "$6|{foo}2|"))
        #expect(harness.ask("CLUSTER GETKEYSINSLOT 12182 0", on: session) == "*0|")
        for line in ["CLUSTER COUNTKEYSINSLOT 16384", "CLUSTER COUNTKEYSINSLOT -1"] {
            #expect(harness.ask(line, on: session) == "-ERR Invalid slot|")
        }
        for line in ["CLUSTER GETKEYSINSLOT 5 -1", "CLUSTER GETKEYSINSLOT 16384 1"] {
            #expect(harness.ask(line, on: session) == "-ERR Invalid slot or number of keys|")
        }
        for line in ["CLUSTER COUNTKEYSINSLOT x", "CLUSTER GETKEYSINSLOT 5 x"] {
            #expect(harness.ask(line, on: session) == "-ERR value is not an integer or out of range|")
        }
        // Keys that share a token come together, and are still no more than were asked for.
        harness.backend.token = { _ in Token.bounds(of: Slot(7)).lowerBound }
        #expect(harness.ask("CLUSTER GETKEYSINSLOT 7 2", on: session).hasPrefix("*2|"))
    }

    /// The nodes' shares of the key space, asked one by one, make up the whole.
    @Test func keysAreThoseOfTheMasterSlots() throws {
        let (harness, session) = try Self.harness()
        for number in 0..<200 { harness.ask("SET key:\(number) x") }
        var total = 0
        for node in 1...3 {
            // What n1 shows when it is the only one alive of its slots, the two others in turn.
            Self.show((1...3).map { $0 == 1 || $0 == node ? .up : .down }, harness)
            let count = Int(harness.ask("DBSIZE", on: session).dropFirst().dropLast())
            let keys = harness.ask("KEYS *", on: session)
            #expect(keys.hasPrefix("*\(count ?? -1)|"))
            if node == 1 { total = count ?? 0 }
        }
        #expect(total > 100 && total < 200)
        #expect(harness.ask("DBSIZE") == ":200|")
        Self.show([.up, .up, .up], harness)
        var cursor = "0"
        var seen: Set<String> = []
        repeat {
            let lines = harness.ask("SCAN \(cursor) COUNT 17", on: session).split(separator: "|")
            cursor = String(lines[2])
            seen.formUnion(lines.dropFirst(3).filter { $0.hasPrefix("key:") }.map(String.init))
        } while cursor != "0"
        let masters = harness.server.masterRanges()
        #expect(
            seen
                == Set(
                    (0..<200).map { "key:\($0)" }.filter { key in
                        masters.contains { $0.contains(Token(key: Blob(key))) }
                    }))
        #expect(harness.ask("RANDOMKEY", on: session).contains("key:"))
    }

    @Test func aNodeWithoutMasterSlotsHasNoKeys() throws {
        let (harness, session) = try Self.harness()
        harness.ask("SET a 1")
        let ring = try Ring([ShownTests.entry(2), ShownTests.entry(3)])
        harness.backend.placementShown = Placement(
            ring: ring, keyspace: KeyspaceDefinition(id: 0, name: "default", stamp: 1, replication: .count(2))
        )
        #expect(harness.ask("DBSIZE", on: session) == ":0|")
        #expect(harness.ask("KEYS *", on: session) == "*0|")
        #expect(harness.ask("SCAN 0", on: session) == "*2|$1|0|*0|")
        #expect(harness.ask("RANDOMKEY", on: session) == "$-1|")
        #expect(harness.ask("GET a", on: session) == "$1|1|")
    }

    @Test func linksInBothProtocols() throws {
        let (harness, session) = try Self.harness(liveness: [.up, .up, .down])
        let link =
            "$9|direction|$2|to|$4|node|$40|\(Self.ids[1])|$11|create-time|:0|$6|events|$1|r|"
            + "$21|send-buffer-allocated|:0|$16|send-buffer-used|:0|"
        #expect(harness.ask("CLUSTER LINKS", on: session) == "*1|*12|" + link)
        harness.ask("HELLO 3", on: session)
        #expect(harness.ask("CLUSTER LINKS", on: session) == "*1|%6|" + link)
    }

    @Test func changesAreRefusedInWords() throws {
        let (harness, session) = try Self.harness()
        for line in [
            "CLUSTER MEET 127.0.0.1 7380", "CLUSTER ADDSLOTS 1", "CLUSTER FAILOVER", "CLUSTER RESET",
        ] {
            let words = line.split(separator: " ").prefix(2).joined(separator: " ")
            #expect(
                harness.ask(line, on: session).hasPrefix("-ERR \(words) is not supported: Martlet's nodes"))
        }
    }

    @Test(arguments: ["CLUSTER SLOTS", "CLUSTER HELP", "CLUSTER MEET a 1", "READONLY", "READWRITE", "ASKING"])
    func theSingleFaceHasNoClusterSupport(line: String) throws {
        let (harness, _) = try Self.harness()
        #expect(harness.ask(line) == "-ERR This instance has cluster support disabled|")
    }

    @Test func eachFaceSaysWhatItIs() throws {
        let (harness, session) = try Self.harness()
        #expect(harness.ask("HELLO").contains("$4|mode|$10|standalone|"))
        #expect(harness.ask("HELLO", on: session).contains("$4|mode|$7|cluster|"))
        #expect(harness.ask("INFO cluster") == "$30|# Cluster|cluster_enabled:0||")
        #expect(harness.ask("INFO cluster", on: session) == "$30|# Cluster|cluster_enabled:1||")
        #expect(harness.ask("INFO server", on: session).contains("redis_mode:cluster|"))
        #expect(harness.ask("INFO server", on: session).contains("tcp_port:7380|"))
        #expect(harness.ask("CONFIG GET cluster-enabled") == "*2|$15|cluster-enabled|$2|no|")
        #expect(harness.ask("CONFIG GET cluster-enabled", on: session) == "*2|$15|cluster-enabled|$3|yes|")
        #expect(harness.ask("CONFIG GET port", on: session) == "*2|$4|port|$4|7380|")
        #expect(harness.ask("MARTLET STATUS", on: session) == harness.ask("MARTLET STATUS"))
        #expect(harness.ask("MARTLET RING foo", on: session) == harness.ask("MARTLET RING foo"))
    }
}
