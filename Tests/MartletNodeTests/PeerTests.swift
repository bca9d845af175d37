import MartletBase
import MartletNode
import MartletRing
import MartletVersions
import MartletWire
import Testing

/// What peers may say without doing harm, and how what they say of one another settles.
@Suite struct PeerTests {
    private func formed(_ count: Int = 3) -> ScriptedCluster {
        let cluster = ScriptedCluster(nodes: count)
        cluster.start()
        cluster.advance(.seconds(2))
        return cluster
    }

    @Test func anEntryOfTheGreatestIncarnationStopsNobody() throws {
        let cluster = formed()
        var own = try #require(
            cluster.members[0].node.status().members.first { $0.entry.name == "n1" }?.entry)
        for incarnation in [
            UInt64.max, UInt64.max - 1, Limits.entryIncarnationMax, Limits.entryIncarnationMax - 1,
        ] {
            own.incarnation = incarnation
            cluster.forge(0, from: 1, .view(View(entries: [own.encoded()], keyspaces: [])))
            #expect(cluster.put(0, "k", "v")?.stamp != nil)
            cluster.kill(0)
            cluster.restart(0)
            cluster.advance(.seconds(1))
        }
    }

    /// While the answer can't be another one, a joiner asks ever more seldom; when it can, at once.
    @Test func aJoinerThatIsRefusedAsksEverMoreSeldom() throws {
        var third: NodeID?
        let cluster = ScriptedCluster(nodes: 4) { configuration in
            configuration.founders.removeLast()
            if configuration.name == "n3" { third = configuration.id }
            guard configuration.name == "n4" else { return }
            configuration.replaces = third
            configuration.seeds = [ScriptedCluster.address(0)]
        }
        var asked = 0
        cluster.watch = { from, _, message in
            if from == 3, case .join = message { asked += 1 }
        }
        cluster.start([0, 1, 2])
        cluster.advance(.seconds(2))
        cluster.start([3])
        cluster.advance(.seconds(60))
        #expect((8...24).contains(asked), "\(asked) times in a minute")
        let refusals = cluster.members[3].reports.count {
            if case .joinRefused(.replacedIsAlive) = $0 { true } else { false }
        }
        #expect(refusals == 1)
        asked = 0
        cluster.kill(2)
        let died = { cluster.members[0].node.status().members.contains { $0.liveness == .down } }
        for _ in 0..<600 where !died() { cluster.advance(.milliseconds(50)) }
        cluster.advance(.seconds(1))
        #expect(asked > 0)
        let id = try #require(third)
        #expect(cluster.members[0].node.status().members.contains { $0.entry.replaces == id })
    }

    /// Who has left the ring for good is dialled until its connection breaks, and no more.
    @Test func whoIsRemovedIsNotDialledAgain() throws {
        var keyspace = ScriptedCluster.keyspace
        keyspace.copies = Copies(.count(2))
        let cluster = ScriptedCluster(nodes: 3, keyspace: keyspace)
        cluster.start()
        cluster.advance(.seconds(2))
        let gone = cluster.members[2].configuration.id
        cluster.kill(2)
        cluster.advance(.seconds(20))
        let peer = try #require(cluster.members[0].peers.first { $0.value == 2 }?.key)
        cluster.inject(0, .linkDown(peer))
        #expect(cluster.members[0].peers[peer] == 2)
        let ticket = cluster.ask(
            0, ClientRequest(keyspace: 0, key: .empty, operation: .ring(.remove(gone))))
        cluster.advance(.seconds(5))
        guard case .acted? = cluster.reply(0, ticket) else {
            Issue.record("n3 isn't removed")
            return
        }
        cluster.inject(0, .linkDown(peer))
        #expect(cluster.members[0].peers[peer] == nil)
    }

    @Test func strangersGreetingsAreNotRememberedWithoutBound() {
        let cluster = formed(1)
        var random = Random(seed: 1)
        for i in 0..<(2 * Limits.epochsMax) {
            let hello = Hello(
                cluster: "test", id: NodeID(random: &random), name: "x", folder: FolderAge(epoch: 1))
            cluster.members[0].holdsSync = false
            cluster.inject(0, .hello(LinkID(UInt64(i) * 100), hello))
        }
        #expect(cluster.members[0].meta.count < Limits.epochsMax + 10)
    }

    /// Each restart changes the ring's digest at every node; those who missed the news must not keep the old
    /// one.
    @Test func ringDigestsSettleThoughNewsGetsLost() {
        let cluster = formed(6)
        var random = Random(seed: 5)
        for _ in 0..<3 {
            cluster.kill(0)
            cluster.restart(0)
            cluster.drops = { _, _, message in message.kind == .gossip && random.chance(0.6) }
            cluster.advance(.seconds(2))
        }
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(90))
        var datagrams = 0
        cluster.drops = { _, _, message in
            if message.kind == .gossip { datagrams += 1 }
            return false
        }
        cluster.advance(.seconds(20))
        for member in cluster.members { #expect(member.node.status().isAgreed) }
        // Six nodes that probe each second send 12 a second; news is on its way for a while, not for ever.
        #expect(datagrams < 20 * 6 * 4, "\(datagrams) datagrams in 20 s")
    }

    @Test func whoIsStoppedAnswersWhatIsUnderWay() throws {
        let cluster = formed()
        cluster.drops = { _, _, message in message.kind == .merge || message.kind == .read }
        let put = ClientRequest(
            keyspace: 0, key: Blob("k"), operation: .put(Put(.value(Blob("v"), expiry: nil))),
            timeout: .seconds(60))
        let get = ClientRequest(keyspace: 0, key: Blob("k"), operation: .get, timeout: .seconds(60))
        let tickets = [cluster.ask(0, put), cluster.ask(0, get)]
        cluster.shutDown(0)
        cluster.advance(.seconds(5))
        #expect(cluster.members[0].stopped == .drained)
        for ticket in tickets {
            guard case .timeout? = cluster.reply(0, ticket)?.failure else {
                Issue.record("a request was never answered")
                continue
            }
        }
    }

    @Test func deadlinesOfWhatHasEndedDoNotPileUp() {
        let cluster = ScriptedCluster(nodes: 1) {
            $0.keyspaces = [KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(1))]
            $0.inFlightMax = 10
        }
        cluster.start()
        cluster.advance(.seconds(1))
        let get = ClientRequest(keyspace: 0, key: Blob("k"), operation: .get, timeout: .seconds(3_600))
        for _ in 0..<(Limits.deadlinesKept + 100) { cluster.ask(0, get) }
        #expect(cluster.get(0, "k")?.value == "-")
    }
}
