import MartletBase
import MartletNode
import MartletRing
import MartletVersions
import MartletWire
import Testing

/// Where a node is the ring says; another zone is a handover.
@Suite struct ZoneTests {
    private func formed(_ zones: [String]) -> ScriptedCluster {
        let cluster = ScriptedCluster(nodes: zones.count) { configuration in
            configuration.zone = zones[Int(configuration.name.dropFirst())! - 1]
        }
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    private func act(_ cluster: ScriptedCluster, _ i: Int, _ act: RingAct) -> ClientReply? {
        cluster.reply(
            i, cluster.ask(i, ClientRequest(keyspace: 0, key: .empty, operation: .ring(act))))
    }

    private func acted(_ reply: ClientReply?) -> Bool { if case .acted? = reply { true } else { false } }

    private func entry(_ cluster: ScriptedCluster, of i: Int, at node: Int = 0) -> RingEntry? {
        cluster.members[node].node.ring[cluster.members[i].configuration.id]
    }

    private func reports(_ cluster: ScriptedCluster, _ i: Int) -> [String] {
        cluster.members[i].reports.compactMap {
            switch $0 {
            case .zoneDiffers(let file, let ring): "zone \(file), \(ring)"
            case .dataCenterDiffers(let file, let ring): "data centre \(file), \(ring)"
            default: nil
            }
        }
    }

    private func configured(_ cluster: ScriptedCluster, _ i: Int) -> String? {
        cluster.members[i].node.status().members.compactMap { $0.configured?.zone }.first
    }

    /// Every key is on its owners and nowhere else.
    private func checkPlaced(_ cluster: ScriptedCluster, _ keys: [String]) throws {
        let placement = try #require(cluster.members[0].node.placement(keyspace: 0)?.placement)
        for key in keys {
            let owners = placement.owners(of: Token(key: Blob(key)).slot).array
            let names = owners.map { placement.members[$0].name }.sorted()
            let holders = cluster.members.indices.filter { cluster.stored($0, key) != nil }
            #expect(holders.map { "n\($0 + 1)" } == names, "\(key)")
        }
    }

    @Test func aNodeMovesToAnotherZoneByAHandover() throws {
        let cluster = formed(["a", "a", "b", "b", "c"])
        let keys = (0..<40).map { "k\($0)" }
        for key in keys { #expect(cluster.put(0, key, key)?.stamp != nil) }
        // Nothing moves before what is gained has come.
        cluster.holds = { _, _, message in if case .exchangeOpening = message { true } else { false } }
        #expect(acted(act(cluster, 4, .move(tokens: nil, zone: "a"))))
        cluster.advance(.seconds(2))
        #expect(entry(cluster, of: 4)?.zone == "c")
        #expect(cluster.members[1].node.handoverStatus()?.kind == .move)
        #expect(acted(act(cluster, 4, .move(tokens: nil, zone: "a"))), "it is so already")
        guard case .ringAct(.changing)? = act(cluster, 4, .move(tokens: nil, zone: "b"))?.failure else {
            Issue.record("it is to be in two zones")
            return
        }
        for key in keys { #expect(cluster.put(1, key, "new \(key)")?.stamp != nil) }
        cluster.release()
        cluster.advance(.seconds(5))
        for node in 0..<5 {
            #expect(entry(cluster, of: 4, at: node)?.zone == "a")
            #expect(cluster.members[node].node.handoverStatus() == nil)
        }
        try checkPlaced(cluster, keys)
        for key in keys { #expect(cluster.get(2, key)?.value == "new \(key)") }
        #expect(reports(cluster, 4) == ["zone c, a"], "its file says where it was")
        // There and back.
        #expect(acted(act(cluster, 4, .move(tokens: nil, zone: "c"))))
        cluster.advance(.seconds(5))
        #expect(entry(cluster, of: 4)?.zone == "c" && configured(cluster, 4) == nil)
        try checkPlaced(cluster, keys)
    }

    @Test func aMoveIsCalledOff() throws {
        let cluster = formed(["a", "a", "b", "b", "c"])
        let before = try #require(entry(cluster, of: 4))
        cluster.drops = { _, _, message in if case .exchangeOpening = message { true } else { false } }
        #expect(cluster.put(0, "k", "v")?.stamp != nil)
        #expect(acted(act(cluster, 4, .move(tokens: nil, zone: "a"))))
        cluster.advance(.seconds(1))
        #expect(acted(act(cluster, 1, .abort(before.id))))
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(5))
        #expect(cluster.members[3].node.handoverStatus() == nil)
        #expect(entry(cluster, of: 4)?.position == before.position)
        try checkPlaced(cluster, ["k"])
        // It may be asked for again.
        #expect(acted(act(cluster, 4, .move(tokens: nil, zone: "a"))))
        cluster.advance(.seconds(5))
        #expect(entry(cluster, of: 4)?.zone == "a")
    }

    /// Of two changes that are asked for at once the later one waits.
    @Test func movesAreOneAfterTheOther() {
        let cluster = formed(["a", "a", "b", "b", "c"])
        cluster.holds = { _, _, message in if case .exchangeOpening = message { true } else { false } }
        #expect(cluster.put(0, "k", "v")?.stamp != nil)
        #expect(acted(act(cluster, 4, .move(tokens: nil, zone: "a"))))
        #expect(acted(act(cluster, 1, .move(tokens: nil, zone: "c"))))
        #expect(cluster.members[0].node.handoverStatus()?.waiting == 1)
        cluster.release()
        cluster.advance(.seconds(10))
        #expect(entry(cluster, of: 4)?.zone == "a" && entry(cluster, of: 1)?.zone == "c")
    }

    @Test func aFileThatSaysOtherwiseMovesNobody() {
        let cluster = formed(["a", "b", "c"])
        let before = cluster.members[0].node.ringDigest
        cluster.kill(2)
        cluster.restart(2) {
            $0.zone = "west"
            $0.dataCenter = "far"
        }
        cluster.advance(.seconds(5))
        #expect(cluster.members.allSatisfy { $0.node.ringDigest == before })
        #expect(reports(cluster, 2) == ["zone west, c", "data centre far, default"])
        #expect(configured(cluster, 2) == "west" && configured(cluster, 0) == nil)
        // Levels are counted by the data centre that the ring says.
        #expect(cluster.put(2, "k", "v", .localQuorum)?.stamp != nil)
        #expect(acted(act(cluster, 2, .move(tokens: nil, zone: "west"))))
        cluster.advance(.seconds(5))
        #expect(entry(cluster, of: 2)?.zone == "west")
        #expect(reports(cluster, 2).count == 2)
    }

    /// What its entry was only others know: a file that was edited since founds nothing anew.
    @Test func aLostFolderStaysWhereItsNodeWas() throws {
        let cluster = formed(["a", "b", "c"])
        let before = try #require(entry(cluster, of: 2))
        cluster.loseFolder(2) {
            $0.zone = "west"
            $0.tokensPerNode = 8
        }
        cluster.advance(.seconds(30), step: .milliseconds(100))
        #expect(cluster.members[2].stopped == nil)
        for node in 0..<3 {
            #expect(entry(cluster, of: 2, at: node)?.position == before.position, "at n\(node + 1)")
            #expect(entry(cluster, of: 2, at: node)?.shownState == "normal")
        }
    }
}
