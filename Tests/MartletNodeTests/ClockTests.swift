import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire
import Testing

/// Stamps: over restarts, ahead of the wall clock, from clocks that nobody has judged yet, and from forgers.
@Suite struct ClockTests {
    private func formed(_ change: (inout NodeConfiguration) -> Void = { _ in }) -> ScriptedCluster {
        let cluster = ScriptedCluster(nodes: 3, change: change)
        cluster.start()
        cluster.advance(.seconds(2))
        return cluster
    }

    private func put(_ key: String, _ value: String, above: Stamp? = nil) -> ClientRequest {
        ClientRequest(
            keyspace: 0, key: Blob(key), operation: .put(Put(.value(Blob(value), expiry: nil), above: above)))
    }

    /// A restarted node stamps above its old ceiling, which may be two seconds ahead of every clock.
    @Test func aWriteAfterARestartedCoordinatorsWriteWins() throws {
        let cluster = formed()
        cluster.kill(0)
        cluster.restart(0)
        cluster.advance(.milliseconds(100))
        cluster.drops = { _, to, message in to == 1 && message.kind == .merge }
        let first = try #require(cluster.put(0, "k", "first")?.stamp)
        cluster.drops = { _, _, _ in false }
        cluster.advance(.milliseconds(1_200))
        let second = try #require(cluster.put(1, "k", "second")?.stamp)
        #expect(second > first)
        #expect(cluster.get(2, "k", .all)?.value == "second")
    }

    /// What a replica merged before its own restart may be ahead of every clock too.
    @Test func aRestartedReplicaRemembersAsFarAsItsCeilingReaches() throws {
        let cluster = formed()
        cluster.kill(0)
        cluster.restart(0)
        cluster.advance(.milliseconds(100))
        cluster.drops = { _, to, message in to == 1 && message.kind == .merge }
        let first = try #require(cluster.put(0, "k", "first")?.stamp)
        cluster.drops = { _, _, _ in false }
        for i in [0, 2] {
            cluster.kill(i)
            cluster.restart(i)
        }
        cluster.advance(.milliseconds(1_200))
        let second = try #require(cluster.put(1, "k", "second")?.stamp)
        #expect(second > first)
    }

    @Test func aContextAboveTheCeilingIsStampedAboveWithoutDelay() throws {
        let cluster = formed()
        let wall = cluster.time.wall.milliseconds
        let writer = Writer(node: 9, boot: 1, shard: 0)
        let above = Stamp(time: HybridTime(WallTime(milliseconds: wall + 10_000)), writer: writer)
        let stamp = try #require(cluster.reply(0, cluster.ask(0, put("k", "v", above: above)))?.stamp)
        #expect(stamp > above)
    }

    @Test func aStampBeyondAllTimeIsRefusedAndStopsNobody() throws {
        let cluster = formed()
        let writer = Writer(node: 9, boot: 1, shard: 0)
        let record = Register(
            stamp: Stamp(time: HybridTime(bits: .max), writer: writer), value: .tombstone
        ).encoded()
        #expect(throws: WireError.self) { try Record.validate(record.span) }
        var answer: MergeAnswer.Outcome?
        var placement: UInt64 = 0
        cluster.watch = { from, to, message in
            if case .merge(let it) = message, to == 1 { placement = it.placement }
            if case .mergeAnswer(let it) = message, from == 1 { answer = it.outcome }
        }
        _ = cluster.put(0, "k", "v")
        cluster.forge(
            1, from: 0,
            .merge(
                MergeRequest(
                    request: 1, placement: placement, keyspace: 0, isFresh: true, key: Blob("k"),
                    record: record)))
        #expect(answer == .refused(.invalid))
        #expect(cluster.put(1, "k", "w")?.stamp != nil)
    }

    /// Nothing is stamped until the first sample has come, or the stamps of an hour ahead would be in every
    /// clock.
    @Test func aNodeThatStartsWithABadClockStampsNothingBeforeItIsJudged() throws {
        let cluster = formed()
        cluster.kill(0)
        cluster.members[0].wallOffset = .seconds(3_600)
        cluster.losesDatagrams = true
        cluster.restart(0)
        cluster.advance(.milliseconds(300))
        let ticket = cluster.ask(0, put("k", "v"))
        #expect(cluster.reply(0, ticket) == nil, "it waits for a sample")
        cluster.losesDatagrams = false
        cluster.advance(.seconds(2))
        guard case .skew? = cluster.reply(0, ticket)?.failure else {
            Issue.record("an unjudged clock stamped: \(String(describing: cluster.reply(0, ticket)))")
            return
        }
        #expect(cluster.members[1].node.hybridTime.milliseconds < cluster.time.wall.milliseconds + 10_000)
    }
}
