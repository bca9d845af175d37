import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire
import Testing

/// Hinted handoff, as scripts.
@Suite struct HintTests {
    private func formed(
        _ count: Int = 3, sloppy: Bool = false, change: (inout NodeConfiguration) -> Void = { _ in }
    )
        -> ScriptedCluster
    {
        var keyspace = ScriptedCluster.keyspace
        keyspace.sloppyQuorum = sloppy
        let cluster = ScriptedCluster(nodes: count, keyspace: keyspace, change: change)
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    /// The nodes that own the key, in the order of the preference list, and the others.
    private func owners(_ cluster: ScriptedCluster, _ key: String) throws -> (owners: [Int], others: [Int]) {
        let placement = try placement(cluster)
        let token = Token(key: Blob(key))
        let owners = placement.owners(of: token.slot).array.map { ordinal in
            cluster.members.firstIndex { $0.configuration.id == placement.members[ordinal].id }!
        }
        let others = placement.fallbacks(of: token.slot).map { ordinal in
            cluster.members.firstIndex { $0.configuration.id == placement.members[ordinal].id }!
        }
        return (owners, others)
    }

    private func placement(_ cluster: ScriptedCluster) throws -> Placement {
        let known = cluster.members[0].node.placement(keyspace: 0)
        return try #require(known).placement
    }

    private func hints(_ cluster: ScriptedCluster, _ i: Int) -> HintStatus {
        cluster.members[i].node.hintStatus()
    }

    private func checkNoHints(_ cluster: ScriptedCluster, _ sourceLocation: SourceLocation = #_sourceLocation)
    {
        for (i, member) in cluster.members.enumerated() where member.isUp {
            #expect(member.hints.isEmpty, "n\(i + 1) has hints on disk", sourceLocation: sourceLocation)
            let metrics = member.node.currentMetrics()
            #expect(metrics.hints == 0 && metrics.hintBytes == 0, sourceLocation: sourceLocation)
            #expect(metrics.inFlight == 0 && metrics.answeredPuts == 0, sourceLocation: sourceLocation)
        }
    }

    @Test func aReplicaThatWasDownGetsWhatItMissed() throws {
        let cluster = formed()
        cluster.kill(2)
        var stamps: [String: Stamp] = [:]
        for i in 0..<20 { stamps["k\(i)"] = try #require(cluster.put(0, "k\(i)", "v\(i)")?.stamp) }
        let status = hints(cluster, 0)
        #expect(status.targets.map(\.name) == ["n3"])
        #expect(status.targets[0].hints == 20 && status.targets[0].waitsFor == .targetDown)
        #expect(cluster.members[0].hints.count == 20)
        cluster.advance(.seconds(10))
        cluster.restart(2)
        cluster.advance(.seconds(3))
        for (key, stamp) in stamps { #expect(cluster.stored(2, key)?.stamp == stamp, "\(key)") }
        checkNoHints(cluster)
        #expect(cluster.members[0].node.currentMetrics().hintsDelivered == 20)
    }

    @Test func whenAllAnswerNothingIsKept() throws {
        let cluster = formed()
        for i in 0..<5 { #expect(cluster.put(i % 3, "k\(i)", "v")?.stamp != nil) }
        checkNoHints(cluster)
        #expect(cluster.members.allSatisfy { $0.node.currentMetrics().hintsKept == 0 })
    }

    @Test func anAnswerThatNeverComesIsAHintAtTheDeadline() throws {
        let cluster = formed()
        cluster.drops = { _, to, message in to == 2 && message.kind == .merge }
        #expect(cluster.put(0, "k", "v")?.stamp != nil)
        #expect(cluster.members[0].node.currentMetrics().answeredPuts == 1)
        cluster.advance(.milliseconds(1_900))
        #expect(cluster.members[0].hints.isEmpty)
        cluster.advance(.milliseconds(200))
        #expect(cluster.members[0].hints.count == 1)
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(5))
        #expect(cluster.stored(2, "k") != nil)
        checkNoHints(cluster)
    }

    @Test func aPutThatTimedOutIsFinishedByHints() throws {
        let cluster = formed()
        cluster.drops = { _, to, message in to != 0 && message.kind == .merge }
        let put = Put(.value(Blob("v"), expiry: nil))
        let ticket = cluster.ask(
            0, ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(put), timeout: .milliseconds(50)))
        cluster.advance(.milliseconds(100))
        guard case .timeout? = cluster.reply(0, ticket)?.failure else {
            Issue.record("expected a timeout")
            return
        }
        #expect(cluster.members[0].hints.isEmpty, "replicas have the node's own timeout to answer in")
        cluster.advance(.seconds(2))
        #expect(cluster.members[0].hints.count == 2)
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(5))
        for i in 0..<3 { #expect(cluster.stored(i, "k") != nil) }
        checkNoHints(cluster)
    }

    @Test func hintsSurviveARestartOfTheirNode() throws {
        let cluster = formed()
        cluster.kill(2)
        let stamp = try #require(cluster.put(0, "k", "v")?.stamp)
        cluster.kill(0)
        cluster.advance(.seconds(1))
        cluster.restart(0)
        cluster.advance(.seconds(3))
        #expect(hints(cluster, 0).targets.first?.hints == 1)
        #expect(cluster.put(0, "k2", "v")?.stamp != nil)
        #expect(hints(cluster, 0).targets.first?.hints == 2)
        cluster.restart(2)
        cluster.advance(.seconds(3))
        #expect(cluster.stored(2, "k")?.stamp == stamp)
        #expect(cluster.stored(2, "k2") != nil)
        checkNoHints(cluster)
    }

    @Test func aHintIsDeletedOnlyWhenItIsAcknowledged() throws {
        let cluster = formed()
        cluster.kill(2)
        #expect(cluster.put(0, "k", "v")?.stamp != nil)
        cluster.restart(2)
        cluster.members[2].holdsSync = true
        cluster.advance(.seconds(1))
        #expect(cluster.members[0].hints.count == 1, "not durable there")
        cluster.kill(2)
        cluster.advance(.seconds(1))
        cluster.members[2].disk = [:]
        cluster.restart(2)
        cluster.advance(.seconds(3))
        #expect(cluster.stored(2, "k") != nil)
        checkNoHints(cluster)
    }

    @Test func anOlderHintOverwritesNothing() throws {
        let cluster = formed()
        cluster.kill(2)
        _ = cluster.put(0, "k", "old")
        cluster.drops = { from, to, message in
            if case .merge(let request) = message {
                return from == 0 && !request.isFresh
            } else {
                return false
            }
        }
        cluster.restart(2)
        cluster.advance(.seconds(1))
        let later = try #require(cluster.put(1, "k", "new", .all)?.stamp)
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(6))
        #expect(cluster.stored(2, "k")?.stamp == later)
        checkNoHints(cluster)
    }

    @Test func anyIsMetByAHintAlone() throws {
        let cluster = formed()
        cluster.kill(1)
        cluster.kill(2)
        cluster.advance(.seconds(10))
        cluster.members[0].holdsSync = true
        let put = Put(.value(Blob("v"), expiry: nil))
        // Its own replica's disk is slow, and a hint at half time would be as slow: nothing is durable.
        let ticket = cluster.ask(
            0, ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(put), level: .any))
        #expect(cluster.reply(0, ticket) == nil)
        cluster.sync(0)
        #expect(cluster.reply(0, ticket)?.stamp != nil)
    }

    @Test func anyNeedsNoOwner() throws {
        let cluster = formed(5)
        let (owners, others) = try owners(cluster, "k")
        for owner in owners { cluster.kill(owner) }
        cluster.advance(.seconds(10))
        guard case .unavailable? = cluster.put(others[0], "k", "v", .one)?.failure else {
            Issue.record("ONE needs an owner")
            return
        }
        let stamp = try #require(cluster.put(others[0], "k", "v", .any)?.stamp)
        let status = hints(cluster, others[0])
        #expect(status.targets.count == 3)
        #expect(status.targets.allSatisfy { $0.hints == 1 && $0.countedBytes == $0.bytes })
        for owner in owners { cluster.restart(owner) }
        cluster.advance(.seconds(5))
        for owner in owners { #expect(cluster.stored(owner, "k")?.stamp == stamp) }
        checkNoHints(cluster)
    }

    @Test func anyWaitsNoLongerThanHalfItsTimeForAnOwner() throws {
        let cluster = formed(5)
        let (_, others) = try owners(cluster, "k")
        cluster.drops = { _, _, message in message.kind == .merge }
        let put = Put(.value(Blob("v"), expiry: nil))
        let ticket = cluster.ask(
            others[0], ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(put), level: .any))
        cluster.advance(.milliseconds(900))
        #expect(cluster.reply(others[0], ticket) == nil)
        cluster.advance(.milliseconds(200))
        #expect(cluster.reply(others[0], ticket)?.stamp != nil)
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(5))
        checkNoHints(cluster)
    }

    @Test func anyOnAFullDiskIsOverloaded() throws {
        let cluster = formed(5)
        let (owners, others) = try owners(cluster, "k")
        for owner in owners { cluster.kill(owner) }
        cluster.advance(.seconds(10))
        cluster.members[others[0]].refusal = .diskFull
        for _ in 0..<2 {
            guard case .overloaded? = cluster.put(others[0], "k", "v", .any)?.failure else {
                Issue.record("there is no room for a hint")
                return
            }
        }
        cluster.members[others[0]].refusal = nil
        cluster.advance(.seconds(1))
        #expect(cluster.put(others[0], "k", "v", .any)?.stamp != nil)
    }

    @Test func anyIsOverloadedWhenItsTargetsHaveTheirShare() throws {
        let cluster = formed(5) { $0.hintBytesMax = 100 }
        let (owners, others) = try owners(cluster, "k")
        for owner in owners { cluster.kill(owner) }
        cluster.advance(.seconds(10))
        #expect(cluster.put(others[0], "k", "v", .any)?.stamp != nil)
        guard
            case .overloaded(node: _, limit: "hint_bytes_max")? = cluster.put(others[0], "k", "w", .any)?
                .failure
        else {
            Issue.record("the second hint is over the limit")
            return
        }
    }

    @Test func aStrictQuorumCountsNoHint() throws {
        let cluster = formed()
        cluster.kill(1)
        cluster.kill(2)
        cluster.advance(.seconds(10))
        guard
            case .unavailable(.write, .quorum, required: 2, alive: 1, _, _)? = cluster.put(0, "k", "v")?
                .failure
        else {
            Issue.record("a strict quorum needs two owners")
            return
        }
        #expect(cluster.members[0].hints.isEmpty, "what is refused leaves nothing behind")
    }

    @Test func underASloppyQuorumTheNextNodesStandIn() throws {
        let cluster = formed(5, sloppy: true)
        let (owners, others) = try owners(cluster, "k")
        cluster.kill(owners[1])
        cluster.kill(owners[2])
        cluster.advance(.seconds(10))
        let stamp = try #require(cluster.put(owners[0], "k", "v", .all)?.stamp, "two others stand in")
        for other in others {
            #expect(cluster.members[other].hints.count == 1)
            #expect(cluster.stored(other, "k") == nil, "who stands in keeps a hint, not a copy")
        }
        #expect(cluster.members[owners[0]].hints.isEmpty, "who stands in has the hint")
        cluster.restart(owners[1])
        cluster.restart(owners[2])
        cluster.advance(.seconds(5))
        for owner in owners { #expect(cluster.stored(owner, "k")?.stamp == stamp) }
        checkNoHints(cluster)
    }

    @Test func aCoordinatorStandsInItself() throws {
        let cluster = formed(4, sloppy: true)
        let (owners, others) = try owners(cluster, "k")
        cluster.kill(owners[0])
        cluster.advance(.seconds(10))
        #expect(cluster.put(others[0], "k", "v", .all)?.stamp != nil)
        #expect(cluster.members[others[0]].hints.count == 1)
        cluster.kill(owners[1])
        guard
            case .unavailable(.write, .all, required: 3, alive: 2, let up, let down)? =
                cluster.put(others[0], "k", "w", .all)?.failure
        else {
            Issue.record("one node can't stand in for two")
            return
        }
        #expect(up.contains("n\(others[0] + 1)"), "it names who could stand in: \(up)")
        #expect(down.count == 2)
    }

    @Test func whoStandsInIsReplacedWhenItDies() throws {
        let cluster = formed(5, sloppy: true)
        let (owners, others) = try owners(cluster, "k")
        cluster.kill(owners[0])
        cluster.kill(owners[1])
        cluster.advance(.seconds(10))
        cluster.drops = { _, to, message in to == others[1] && message.kind == .hint }
        let put = Put(.value(Blob("v"), expiry: nil))
        let ticket = cluster.ask(
            owners[2], ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(put), level: .quorum))
        #expect(cluster.reply(owners[2], ticket)?.stamp != nil)
        cluster.advance(.seconds(3))
        #expect(cluster.members[owners[2]].hints.count == 1, "the stand-in that never answered needs a hint")
        for owner in owners.prefix(2) { cluster.restart(owner) }
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(5))
        for owner in owners { #expect(cluster.stored(owner, "k") != nil) }
        checkNoHints(cluster)
    }

    @Test func hintsOverTheLimitAreCountedAndTheirLeavesMarked() throws {
        let cluster = formed { $0.hintBytesMax = 1_000 }
        cluster.kill(2)
        for i in 0..<30 { _ = cluster.put(0, "k\(i)", "v") }
        let status = hints(cluster, 0)
        let kept = status.targets[0]
        #expect(kept.bytes <= 1_000 && kept.hints > 5)
        #expect(status.dropped == UInt64(30 - kept.hints))
        let leaves = cluster.members[0].node.takeDirtyLeaves(keyspace: 0)
        #expect(leaves.count == 30 - kept.hints)
        #expect(leaves == leaves.sorted())
        #expect(cluster.members[0].node.takeDirtyLeaves(keyspace: 0) == [])
    }

    @Test func hintsThatAreTooOldAreDroppedButNotThoseThatCount() throws {
        let cluster = formed(5) { $0.hintWindow = .seconds(20) }
        let (owners, others) = try owners(cluster, "k")
        cluster.kill(owners[2])
        cluster.advance(.seconds(8))
        _ = cluster.put(others[0], "k", "v")
        cluster.kill(owners[0])
        cluster.kill(owners[1])
        cluster.advance(.seconds(8))
        #expect(cluster.put(others[0], "k", "w", .any)?.stamp != nil)
        #expect(cluster.members[others[0]].hints.count == 4)
        cluster.advance(.seconds(30))
        let metrics = cluster.members[others[0]].node.currentMetrics()
        #expect(metrics.hints == 3 && metrics.hintsDropped == 1)
        #expect(cluster.members[others[0]].hints.count == 3)
        for owner in owners { cluster.restart(owner) }
        cluster.advance(.seconds(5))
        for owner in owners { #expect(cluster.stored(owner, "k") != nil) }
        checkNoHints(cluster)
    }

    @Test func withoutHintsOnlyThoseThatCountAreKept() throws {
        let cluster = formed { $0.keepsHints = false }
        cluster.kill(2)
        _ = cluster.put(0, "k", "v")
        #expect(cluster.members[0].hints.isEmpty)
        #expect(cluster.members[0].node.currentMetrics().hintsDropped == 1)
    }

    @Test func aHintForARemovedNodeGoesToThePresentOwners() throws {
        let cluster = formed(5)
        let (owners, others) = try owners(cluster, "k")
        for owner in owners { cluster.kill(owner) }
        cluster.advance(.seconds(10))
        let coordinator = others[0]
        let stamp = try #require(cluster.put(coordinator, "k", "v", .any)?.stamp)
        cluster.restart(owners[1])
        cluster.restart(owners[2])
        // An operator removes the first owner.
        let gone = cluster.members[owners[0]].configuration.id
        let entries = cluster.members[coordinator].node.ring.entries
        var entry = try #require(entries.first { $0.id == gone })
        entry.verdict = Verdict(kind: .removed, stamp: 1, by: cluster.members[coordinator].configuration.id)
        for i in cluster.members.indices where i != owners[0] {
            let from = i == coordinator ? owners[1] : coordinator
            cluster.forge(i, from: from, .view(View(entries: [entry.encoded()], keyspaces: [])))
        }
        cluster.advance(.seconds(8))
        let present = try self.owners(cluster, "k").owners
        #expect(!present.contains(owners[0]))
        for owner in present { #expect(cluster.stored(owner, "k")?.stamp == stamp, "n\(owner + 1)") }
        checkNoHints(cluster)
    }

    @Test func aFullDiskKeepsWhatItCannotDelete() throws {
        let cluster = formed()
        cluster.kill(2)
        for i in 0..<5 { _ = cluster.put(0, "k\(i)", "v") }
        cluster.members[0].refusal = .diskFull
        cluster.restart(2)
        cluster.advance(.seconds(3))
        for i in 0..<5 { #expect(cluster.stored(2, "k\(i)") != nil) }
        #expect(cluster.members[0].hints.count == 5)
        cluster.members[0].refusal = nil
        cluster.advance(.seconds(3))
        checkNoHints(cluster)
    }

    @Test func bytesThatAreNoHintsAreDeletedAndCounted() throws {
        let cluster = formed()
        cluster.kill(2)
        _ = cluster.put(0, "k", "v")
        cluster.kill(0)
        let key = try #require(cluster.members[0].hints.keys.first)
        cluster.members[0].hints[Blob("no key of ours")] = Blob("junk")
        cluster.members[0].hints[Blob(key.bytes.dropLast() + [77])] = Blob("junk")
        cluster.restart(0)
        cluster.restart(2)
        cluster.advance(.seconds(4))
        #expect(cluster.stored(2, "k") != nil)
        #expect(cluster.members[0].node.currentMetrics().hintsCorrupt == 2)
        checkNoHints(cluster)
    }

    @Test func whoIsAskedToKeepAHintForNobodyRefuses() throws {
        let cluster = formed(5)
        let (owners, others) = try owners(cluster, "k")
        let placement = try placement(cluster)
        var answers: [MergeAnswer.Outcome] = []
        cluster.watch = { _, _, message in
            if case .mergeAnswer(let answer) = message { answers.append(answer.outcome) }
        }
        let stamp = try #require(cluster.put(owners[0], "x", "v")?.stamp)
        answers = []
        let record = Register(stamp: stamp, value: .tombstone).encoded()
        var request = HintRequest(
            request: 7, placement: placement.digest(of: Token(key: Blob("k")).slot), keyspace: 0,
            target: cluster.members[others[1]].configuration.id, key: Blob("k"), record: record)
        cluster.forge(others[0], from: owners[0], .hint(request))
        #expect(answers == [.refused(.invalid)], "the target owns nothing of the key")
        request.target = NodeID(short: 1, middle: 2, low: 3)
        cluster.forge(others[0], from: owners[0], .hint(request))
        request.target = cluster.members[owners[1]].configuration.id
        request.placement ^= 1
        cluster.forge(others[0], from: owners[0], .hint(request))
        #expect(answers.suffix(2) == [.refused(.invalid), .refused(.stalePlacement)])
        request.placement ^= 1
        request.keyspace = 9
        cluster.forge(others[0], from: owners[0], .hint(request))
        #expect(answers.last == .refused(.stalePlacement))
        #expect(cluster.members[others[0]].hints.isEmpty)
    }

    @Test func aHintOfAKeyspaceThatIsGoneIsCountedAndTheRestDelivered() throws {
        let cluster = formed()
        cluster.kill(2)
        _ = cluster.put(0, "k", "v")
        let (key, value) = try #require(cluster.members[0].hints.first)
        cluster.kill(0)
        var other = value.bytes
        other[4] = 9
        cluster.members[0].hints[Blob(key.bytes.dropLast() + [77])] = Blob(other)
        cluster.restart(0)
        cluster.restart(2)
        cluster.advance(.seconds(4))
        #expect(cluster.stored(2, "k") != nil)
        #expect(cluster.members[0].node.currentMetrics().hintsUnowned == 1)
        checkNoHints(cluster)
    }

    @Test func manyHintsForManyTargetsAreDeliveredInTheirOrder() throws {
        let cluster = formed(5) { $0.hintBytesMax = 10 << 20 }
        let others = [1, 2, 3]
        for other in others { cluster.kill(other) }
        cluster.advance(.seconds(10))
        for i in 0..<700 { #expect(cluster.put(i % 2 == 0 ? 0 : 4, "k\(i)", "v\(i)", .any)?.stamp != nil) }
        var last: [Int: HybridTime] = [:]
        var descents: [Int: Int] = [:]
        cluster.watch = { from, to, message in
            guard case .merge(let request) = message, !request.isFresh else { return }
            let time = Register(decoding: request.record).stamp.time
            if time < last[from * 10 + to] ?? .zero { descents[from * 10 + to, default: 0] += 1 }
            last[from * 10 + to] = time
        }
        for other in others { cluster.restart(other) }
        cluster.advance(.seconds(10))
        // Those that count come first, then the others; each in their order.
        #expect(descents.values.allSatisfy { $0 == 1 }, "\(descents)")
        for i in 0..<700 {
            for owner in try owners(cluster, "k\(i)").owners {
                #expect(cluster.stored(owner, "k\(i)") != nil, "k\(i) on n\(owner + 1)")
            }
        }
        checkNoHints(cluster)
    }
}
