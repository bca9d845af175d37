import MartletBase
import MartletNode
import MartletRing
import MartletVersions
import MartletWire
import Testing

/// What a quorum read promises when answers come late, replicas die, or peers say what can't be.
@Suite struct ReadRepairTests {
    private func formed(_ change: (inout NodeConfiguration) -> Void = { _ in }) -> ScriptedCluster {
        let cluster = ScriptedCluster(nodes: 3, change: change)
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    /// Node 0 holds "1", node 1 "2" and node 2 "3", each newer than the one before.
    private func diverge(_ cluster: ScriptedCluster, _ key: String) {
        _ = cluster.put(0, key, "1")
        for i in 1...2 {
            cluster.advance(.milliseconds(10))
            cluster.drops = { from, _, message in message.kind == .merge && from == i }
            _ = cluster.put(i, key, "\(i + 1)", .one)
        }
        cluster.drops = { _, _, _ in false }
    }

    /// Keys that node 0 reads from node `i` before the other one.
    private func keys(preferring i: Int, in cluster: ScriptedCluster) -> [String] {
        (0..<40).map { "key \($0)" }.filter { key in
            var isAsked = false
            cluster.watch = { from, to, message in
                if from == 0, to == i, message.kind == .read { isAsked = true }
            }
            _ = cluster.get(0, key)
            cluster.watch = { _, _, _ in }
            return isAsked
        }
    }

    private func read(_ key: String) -> ClientRequest {
        ClientRequest(keyspace: 0, key: Blob(key), operation: .get, level: .quorum)
    }

    @Test func anAnswerThatComesWhileTheRepairIsUnderWayIsNotShown() throws {
        let cluster = formed { $0.speculation = .after(.milliseconds(10)) }
        let key = try #require(keys(preferring: 1, in: cluster).first)
        diverge(cluster, key)
        // Node 1 is slow, so node 2 is asked for its record too, and is slower still.
        var isFirst = true
        cluster.holds = { from, _, message in
            guard message.kind == .readAnswer, from == 2 || isFirst else { return false }
            if from == 1 { isFirst = false }
            return true
        }
        let ticket = cluster.ask(0, read(key))
        cluster.advance(.milliseconds(20))
        cluster.members[0].holdsSync = true
        cluster.release(from: 1)
        #expect(cluster.reply(0, ticket) == nil, "the repair of node 0 isn't durable yet")
        cluster.release(from: 2)
        cluster.sync(0)
        let shown = try #require(cluster.reply(0, ticket)?.stamp)
        let holders = (0..<3).filter { (cluster.stored($0, key)?.stamp ?? .zero) >= shown }
        #expect(holders.count >= 2, "what was shown is held by \(holders) alone: the next read goes back")
    }

    @Test func anIdleNodeDoesNotWaitForASilentReplicaUntilTheEnd() throws {
        let cluster = formed { _ in }
        let key = try #require(keys(preferring: 1, in: cluster).first)
        _ = cluster.put(0, key, "v")
        cluster.drops = { from, _, message in from == 1 && message.kind == .readAnswer }
        let ticket = cluster.ask(0, read(key))
        cluster.advance(Limits.speculationDelayDefault + .milliseconds(10))
        #expect(cluster.reply(0, ticket)?.value == "v")
    }

    /// Reads that waited before they asked another replica say how long we wait, not how long reads take: the
    /// next one must not wait longer for it.
    @Test func aSilentReplicaDoesNotTeachUsPatience() throws {
        let cluster = formed { _ in }
        let key = try #require(keys(preferring: 1, in: cluster).first)
        _ = cluster.put(0, key, "v")
        cluster.drops = { from, _, message in from == 1 && message.kind == .readAnswer }
        for _ in 0..<600 {
            let ticket = cluster.ask(0, read(key))
            cluster.advance(Limits.speculationDelayDefault + .milliseconds(10), step: .milliseconds(60))
            guard cluster.reply(0, ticket)?.value == "v" else {
                Issue.record("\(String(describing: cluster.reply(0, ticket)))")
                return
            }
        }
    }

    @Test func aRepairWhoseReplicaDiesGoesToAnother() throws {
        let cluster = formed { $0.speculation = .off }
        let key = try #require(keys(preferring: 1, in: cluster).first)
        cluster.drops = { from, to, message in message.kind == .merge && to != 0 }
        let stamp = try #require(cluster.put(0, key, "new", .one)?.stamp)
        cluster.drops = { _, _, message in message.kind == .merge }
        let ticket = cluster.ask(0, read(key))
        #expect(cluster.reply(0, ticket) == nil, "node 1 hasn't got the repair")
        cluster.drops = { _, _, _ in false }
        cluster.kill(1)
        #expect(cluster.reply(0, ticket)?.stamp == stamp, "node 2 takes the repair in its place")
        #expect(cluster.stored(2, key)?.stamp == stamp)
    }

    @Test func onlyReplicasThatWereSentTheRepairCountForIt() throws {
        let cluster = formed { $0.speculation = .off }
        let key = try #require(keys(preferring: 1, in: cluster).first)
        cluster.drops = { from, to, message in message.kind == .merge && to != 0 }
        _ = cluster.put(0, key, "new", .one)
        var number: UInt64?
        cluster.watch = { from, _, message in
            if case .merge(let it) = message, from == 0 { number = it.request }
        }
        let ticket = cluster.ask(0, read(key))
        let request = try #require(number)
        let answer = MergeAnswer(request: request, outcome: .merged)
        cluster.forge(0, from: 2, overOwnLink: true, .mergeAnswer(answer))
        #expect(cluster.reply(0, ticket) == nil)
    }

    @Test func aDigestOfARecordThatIsNotThereIsNoTrap() throws {
        let cluster = formed { $0.speculation = .off }
        let key = try #require(keys(preferring: 1, in: cluster).first)
        cluster.drops = { _, _, message in message.kind == .read }
        var number: UInt64?
        cluster.watch = { from, _, message in
            if case .read(let it) = message, from == 0 { number = it.request }
        }
        let ticket = cluster.ask(0, read(key))
        let request = try #require(number)
        for outcome in [ReadAnswer.Outcome.digest(5), .record(nil)] {
            cluster.forge(
                0, from: 1, overOwnLink: true, .readAnswer(ReadAnswer(request: request, outcome: outcome)))
        }
        #expect(cluster.reply(0, ticket)?.value == "-")
    }

    /// At EACH_QUORUM another data centre's replica is of no use for the one that is missing.
    @Test func aLostAnswerOfADataCentreIsReplacedByAnotherOfIt() throws {
        let far = ["n4", "n5", "n6"]
        let keyspace = KeyspaceDefinition(
            id: 0, name: "default", stamp: 0,
            replication: .perDataCenter([
                .init(name: "far", count: 3), .init(name: "near", count: 3),
            ]))
        let cluster = ScriptedCluster(nodes: 6, keyspace: keyspace) {
            $0.dataCenter = far.contains($0.name) ? "far" : "near"
            $0.founders = $0.founders.map {
                .init(name: $0.name, address: $0.address, dataCenter: far.contains($0.name) ? "far" : "near")
            }
            $0.speculation = .off
        }
        cluster.start()
        cluster.advance(.seconds(2))
        let stamp = try #require(cluster.put(0, "k", "v", .all)?.stamp)
        // The spare replica of the near data centre is the closer one.
        for _ in 0..<3 { _ = cluster.get(0, "k", .all) }
        var victim: Int?
        cluster.drops = { _, to, message in
            guard to > 2, message.kind == .read, victim == nil || victim == to else { return false }
            victim = to
            return true
        }
        let ticket = cluster.ask(
            0, ClientRequest(keyspace: 0, key: Blob("k"), operation: .get, level: .eachQuorum))
        #expect(cluster.reply(0, ticket) == nil)
        cluster.kill(try #require(victim))
        #expect(cluster.reply(0, ticket)?.stamp == stamp)
    }
}
