import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire
import Testing

/// Purge floors, as scripts. Owners that must exchange first are for the simulator.
@Suite struct PurgeTests {
    private static let single = KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(1))

    private func formed(_ count: Int = 3) -> ScriptedCluster {
        let cluster = ScriptedCluster(nodes: count, keyspace: Self.single) {
            $0.tombstoneGrace = .seconds(5)
            $0.repairInterval = .seconds(1)
        }
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    private func stored(_ cluster: ScriptedCluster) -> Int {
        cluster.members.reduce(0) { $0 + $1.disk.count }
    }

    private func delete(_ cluster: ScriptedCluster, _ key: String, _ node: Int = 0) -> Stamp? {
        let request = ClientRequest(keyspace: 0, key: Blob(key), operation: .put(Put(.tombstone)))
        return cluster.reply(node, cluster.ask(node, request))?.stamp
    }

    private func owner(_ cluster: ScriptedCluster, _ key: String) throws -> Int {
        let known = cluster.members[0].node.placement(keyspace: 0)
        let placement = try #require(known).placement
        let ordinal = placement.owners(of: Token(key: Blob(key)).slot).array[0]
        return try #require(
            cluster.members.firstIndex { $0.configuration.id == placement.members[ordinal].id })
    }

    @Test func whatWasDeletedLeavesTheDisk() {
        let cluster = formed()
        for i in 0..<60 { _ = cluster.put(0, "k\(i)", "v") }
        for i in 0..<50 { #expect(delete(cluster, "k\(i)") != nil) }
        #expect(stored(cluster) == 60)
        cluster.advance(.seconds(4))
        #expect(stored(cluster) == 60, "not before the grace is over")
        cluster.advance(.seconds(8))
        #expect(stored(cluster) == 10)
        #expect(cluster.get(1, "k3")?.value == "-" && cluster.get(1, "k55")?.value == "v")
        #expect(cluster.put(2, "k3", "again")?.stamp != nil)
        cluster.advance(.seconds(10))
        #expect(cluster.get(1, "k3")?.value == "again" && stored(cluster) == 11)
    }

    @Test func whatHasExpiredGoesToo() {
        let cluster = formed()
        let expiry = cluster.wall.milliseconds + 1_000
        let put = Put(.value(Blob("v"), expiry: expiry))
        cluster.ask(0, ClientRequest(keyspace: 0, key: Blob("a"), operation: .put(put)))
        cluster.advance(.seconds(14))
        #expect(stored(cluster) == 0 && cluster.get(0, "a")?.value == "-")
    }

    @Test func silenceKeepsTheFloorDown() {
        let cluster = formed()
        _ = cluster.put(0, "a", "v")
        cluster.kill(2)
        _ = delete(cluster, "a")
        let before = stored(cluster)
        cluster.advance(.seconds(20))
        #expect(stored(cluster) == before)
        let blockers = cluster.members[0].node.purgeStatus()[0].blockers
        #expect(blockers.map(\.name) == ["n3"] && blockers[0].obstacle == .silent)
        #expect(blockers[0].since > .seconds(5))
    }

    @Test func aHintOfThatAgeKeepsTheFloorDown() throws {
        let cluster = formed()
        cluster.holds = { _, _, message in if case .merge = message { true } else { false } }
        let key = try #require((0..<99).map { "k\($0)" }.first { (try? owner(cluster, $0)) == 1 })
        let request = ClientRequest(
            keyspace: 0, key: Blob(key), operation: .put(Put(.value(Blob("v"), expiry: nil))), level: .any)
        let ticket = cluster.ask(0, request)
        cluster.advance(.seconds(20))
        let stamp = try #require(cluster.reply(0, ticket)?.stamp)
        let floors = cluster.members.map { $0.node.purgeFloor(keyspace: 0, Token(key: Blob(key)).slot) }
        #expect(floors.allSatisfy { $0 < stamp.time }, "n1 keeps the only copy of a write")
        #expect(cluster.members[1].node.purgeStatus()[0].blockers.map(\.obstacle) == [.hints])
        cluster.holds = { _, _, _ in false }
        cluster.release()
        cluster.advance(.seconds(20))
        #expect(cluster.get(2, key)?.value == "v" && stored(cluster) == 1)
        #expect(cluster.members[1].node.purgeFloor(keyspace: 0, Token(key: Blob(key)).slot) > stamp.time)
    }

    /// A version below the floor, from whoever was away so long.
    private func old(_ time: HybridTime, _ value: String, expiryAt: HybridTime? = nil) -> Blob {
        let writer = Writer(node: 1, boot: 1, shard: 0)
        let stamp = Stamp(time: time, writer: writer)
        return Register(
            stamp: stamp, value: .present(Blob(value)),
            expiryStamp: expiryAt.map { Stamp(time: $0, writer: writer) },
            expiry: expiryAt.map { $0.milliseconds + 1_000_000 }
        ).encoded()
    }

    private func send(_ cluster: ScriptedCluster, _ key: String, _ record: Blob, isFresh: Bool) throws {
        let target = try owner(cluster, key)
        let sender = target == 0 ? 1 : 0
        var placement: UInt64 = 0
        let watched = cluster.watch
        cluster.watch = { _, _, message in if case .read(let read) = message { placement = read.placement } }
        _ = cluster.get(sender, key)
        cluster.watch = watched
        cluster.forge(
            target, from: sender,
            .merge(
                MergeRequest(
                    request: 77, placement: placement, keyspace: 0, isFresh: isFresh, key: Blob(key),
                    record: record)))
    }

    @Test func whatIsOlderThanTheFloorIsMergedOverItselfAlone() throws {
        let cluster = formed()
        let stamp = try #require(cluster.put(0, "a", "v")?.stamp)
        _ = cluster.put(0, "b", "v")
        _ = delete(cluster, "b")
        cluster.advance(.seconds(15))
        #expect(stored(cluster) == 1)
        var answers: [MergeAnswer.Outcome] = []
        cluster.watch = { _, _, message in
            if case .mergeAnswer(let answer) = message, answer.request == 77 {
                answers.append(answer.outcome)
            }
        }
        let now = HybridTime(cluster.wall)
        // A late write of "b", a late repair, and an expiry set by who read it before it was deleted.
        try send(cluster, "b", old(stamp.time, "old"), isFresh: true)
        try send(cluster, "b", old(stamp.time, "old"), isFresh: false)
        try send(cluster, "b", old(stamp.time, "old", expiryAt: now), isFresh: false)
        #expect(stored(cluster) == 1 && cluster.get(0, "b")?.value == "-")
        guard case .closed? = answers.first else {
            Issue.record("a put below the floor was answered \(answers)")
            return
        }
        #expect(Array(answers.dropFirst()) == [.merged, .merged])
        // The same expiry of a value that is there.
        var register = Register(stamp: stamp, value: .present(Blob("v")))
        register.expiryStamp = Stamp(time: now, writer: stamp.writer)
        register.expiry = now.milliseconds + 1_000_000
        try send(cluster, "a", register.encoded(), isFresh: false)
        guard case .read(let record?)? = cluster.get(0, "a") else {
            Issue.record("the value is gone")
            return
        }
        #expect(Register(decoding: record).expiry == register.expiry)
    }

    @Test func aFloorOutlivesARestart() throws {
        let cluster = formed()
        _ = cluster.put(0, "a", "v")
        cluster.advance(.seconds(15))
        let slot = Token(key: Blob("a")).slot
        let floor = cluster.members[0].node.purgeFloor(keyspace: 0, slot)
        #expect(floor > .zero)
        cluster.kill(0)
        cluster.restart(0)
        #expect(cluster.members[0].node.purgeFloor(keyspace: 0, slot) == floor)
    }
}
