import MartletBase
import MartletNode
import MartletRing
import MartletVersions
import MartletWire
import Testing

@Suite struct CoordinatorTests {
    private func formed(_ count: Int = 3, change: (inout NodeConfiguration) -> Void = { _ in })
        -> ScriptedCluster
    {
        let cluster = ScriptedCluster(nodes: count, change: change)
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    @Test func nobodyServesBeforeAllHaveMet() throws {
        let cluster = ScriptedCluster(nodes: 3)
        cluster.start([0, 1])
        cluster.advance(.seconds(3))
        #expect(cluster.put(0, "k", "v")?.failure == .loading(waits: ["n3"]))
        cluster.start([2])
        cluster.advance(.seconds(30))
        for i in 0..<3 {
            let status = cluster.members[i].node.status()
            #expect(status.isFormed && status.isAgreed && status.members.count == 3)
        }
        #expect(cluster.put(0, "k", "v")?.stamp != nil)
    }

    @Test func whatOneNodeWritesAllNodesRead() throws {
        let cluster = formed()
        let stamp = try #require(cluster.put(0, "k", "v")?.stamp)
        for i in 0..<3 {
            #expect(cluster.get(i, "k")?.value == "v")
            #expect(cluster.get(i, "k", .all)?.stamp == stamp)
            #expect(cluster.stored(i, "k")?.stamp == stamp)
        }
        #expect(cluster.get(1, "other")?.value == "-")
    }

    @Test func unavailableNamesTheReplicasAndSendsNothing() throws {
        let cluster = formed()
        cluster.kill(2)
        #expect(cluster.put(0, "k", "v", .quorum)?.stamp != nil)
        let names = ["n1", "n2", "n3"]
        guard
            case .unavailable(.write, .all, required: 3, alive: 2, let up, let down)? =
                cluster.put(0, "k", "w", .all)?.failure
        else {
            Issue.record("ALL with a dead replica is unavailable")
            return
        }
        #expect(down == ["n3"])
        #expect((up + down).sorted() == names)
        #expect(cluster.get(1, "k", .quorum)?.value == "v", "nothing of the refused put was sent")
    }

    /// The closed answer comes first, and doesn't use up the once.
    @Test func aPutThatIsClosedAndThenDominatedIsStampedAboveBoth() throws {
        let cluster = formed()
        var asked: [(request: UInt64, stamp: Stamp)] = []
        cluster.watch = { _, to, message in
            guard case .merge(let merge) = message, to == 1, let view = try? RegisterView(merge.record.span)
            else { return }
            asked.append((merge.request, view.stamp))
        }
        cluster.drops = { _, _, message in
            if case .merge = message { true } else { false }
        }
        let put = Put(.value(Blob("v"), expiry: nil))
        let ticket = cluster.ask(
            0, ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(put), level: .quorum))
        func answer(_ outcome: MergeAnswer.Outcome) throws {
            let request = try #require(asked.last).request
            cluster.forge(
                0, from: 1, overOwnLink: true, .mergeAnswer(MergeAnswer(request: request, outcome: outcome)))
        }
        func later(_ stamp: Stamp) -> HybridTime { HybridTime(bits: stamp.time.bits + 5) }
        let first = try #require(asked.last).stamp
        try answer(.closed(later(first)))
        let second = try #require(asked.last).stamp
        #expect(second.time > later(first))
        let dominator = Stamp(time: later(second), writer: Writer(node: 1, boot: 1, shard: 0))
        try answer(.dominated(dominator))
        #expect(cluster.reply(0, ticket) == nil, "it is stamped anew first")
        let third = try #require(asked.last).stamp
        #expect(third > dominator)
        try answer(.merged)
        #expect(cluster.reply(0, ticket)?.stamp == third)
    }

    @Test func aPutThatTooFewAnswerTimesOutWithItsVersionAndCanBeRepeated() throws {
        let cluster = formed()
        cluster.drops = { _, _, message in message.kind == .merge }
        let ticket = cluster.ask(
            0,
            ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(Put(.value(Blob("v"), expiry: nil)))))
        #expect(cluster.reply(0, ticket) == nil)
        cluster.advance(.seconds(3))
        guard
            case .timeout(
                .write, .quorum, required: 2, acknowledged: 1, let acked, let unknown,
                .some(let version), _)? =
                cluster.reply(0, ticket)?.failure
        else {
            Issue.record("expected a timeout, got \(String(describing: cluster.reply(0, ticket)))")
            return
        }
        #expect(acked == ["n1"])
        #expect(unknown.sorted() == ["n2", "n3"])
        cluster.drops = { _, _, _ in false }
        let later = try #require(cluster.put(1, "k", "later")?.stamp)
        #expect(cluster.put(0, "k", "v", version: version)?.stamp == version)
        #expect(cluster.get(2, "k", .all)?.stamp == later, "the retry does not overtake the later write")
    }

    @Test func aWriteThatBeganLaterWinsThoughItsClockIsBehind() throws {
        let cluster = formed()
        cluster.members[1].wallOffset = .milliseconds(-200)
        let first = try #require(cluster.put(0, "k", "first")?.stamp)
        let second = try #require(cluster.put(1, "k", "second")?.stamp)
        #expect(second > first)
        #expect(cluster.get(2, "k", .all)?.value == "second")
    }

    @Test func aNodeWhoseClockIsAnHourAheadRefusesToStamp() throws {
        let cluster = formed()
        cluster.advance(.seconds(5))
        cluster.members[0].wallOffset = .seconds(3_600)
        guard case .skew(node: "n1", let ahead, maxMilliseconds: 500)? = cluster.put(0, "k", "v")?.failure
        else {
            Issue.record("a put on a clock an hour ahead")
            return
        }
        #expect(ahead > 3_500_000)
        #expect(cluster.put(1, "k", "v")?.stamp != nil, "the others go on")
        #expect(cluster.get(0, "k")?.value == "v", "and it still reads")
        cluster.members[0].wallOffset = .zero
        #expect(cluster.put(0, "k", "w")?.stamp != nil, "it heals with its clock")
    }

    @Test func aReadRepairsWhatDiffersBeforeItAnswers() throws {
        let cluster = formed()
        _ = cluster.put(0, "k", "old")
        cluster.drops = { from, to, message in message.kind == .merge && to != 1 && from != to }
        let ticket = cluster.ask(
            1,
            ClientRequest(
                keyspace: 0, key: Blob("k"), operation: .put(Put(.value(Blob("new"), expiry: nil))),
                level: .one))
        let stamp = try #require(cluster.reply(1, ticket)?.stamp)
        #expect(cluster.stored(0, "k")?.stamp != stamp)
        cluster.drops = { _, _, _ in false }
        #expect(cluster.get(1, "k", .quorum)?.value == "new")
        let holders = (0..<3).filter { cluster.stored($0, "k")?.stamp == stamp }
        #expect(holders.count >= 2, "N - R + 1 replicas hold what was shown")
    }

    @Test func nothingIsAcknowledgedOrShownBeforeItIsDurable() throws {
        let cluster = formed(1) {
            $0.keyspaces = [KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(1))]
        }
        cluster.members[0].holdsSync = true
        let put = cluster.ask(
            0,
            ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(Put(.value(Blob("v"), expiry: nil)))))
        let get = cluster.ask(0, ClientRequest(keyspace: 0, key: Blob("k"), operation: .get))
        #expect(cluster.reply(0, put) == nil)
        #expect(cluster.reply(0, get) == nil)
        cluster.sync(0)
        #expect(cluster.reply(0, put)?.stamp != nil)
        #expect(cluster.reply(0, get)?.value == "v")
    }

    @Test func aReadGoesOnWhenItsReplicaDies() throws {
        let cluster = formed()
        _ = cluster.put(0, "k", "v")
        cluster.drops = { _, to, message in to == 1 && message.kind == .read }
        let first = cluster.ask(0, ClientRequest(keyspace: 0, key: Blob("k"), operation: .get))
        cluster.kill(1)
        let second = cluster.ask(0, ClientRequest(keyspace: 0, key: Blob("k"), operation: .get))
        #expect(cluster.reply(0, first)?.value == "v")
        #expect(cluster.reply(0, second)?.value == "v")
    }

    @Test func aStoppingNodeFinishesWhatIsUnderWay() throws {
        let cluster = formed()
        cluster.members[0].holdsSync = true
        cluster.members[1].holdsSync = true
        cluster.members[2].holdsSync = true
        let put = cluster.ask(
            0,
            ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(Put(.value(Blob("v"), expiry: nil)))))
        cluster.shutDown(0)
        #expect(cluster.put(0, "k", "w")?.failure == .stopping)
        #expect(cluster.members[0].stopped == nil)
        for i in 0..<3 { cluster.sync(i) }
        #expect(cluster.reply(0, put)?.stamp != nil)
        cluster.advance(.seconds(2))
        #expect(cluster.members[0].stopped == .drained)
        #expect(
            cluster.members[1].node.status().members.contains {
                $0.entry.name == "n1" && $0.liveness == .left
            })
    }

    @Test func expiriesFollowTheValueTheyWereSetFor() throws {
        let cluster = formed()
        _ = cluster.put(0, "k", "v")
        guard case .read(.some(let record))? = cluster.get(0, "k") else {
            Issue.record("the key is gone")
            return
        }
        let later = try #require(cluster.put(1, "k", "w")?.stamp)
        let expire = ClientRequest(
            keyspace: 0, key: Blob("k"), operation: .put(Put(.expiry(of: record, 1_800_000_000_000))))
        #expect(cluster.reply(0, cluster.ask(0, expire))?.stamp != nil)
        let read = cluster.get(2, "k", .all)
        #expect(read?.stamp == later)
        #expect(read?.value == "w")
    }
}
