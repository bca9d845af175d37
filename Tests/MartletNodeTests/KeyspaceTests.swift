import MartletBase
import MartletNode
import MartletRing
import MartletVersions
import MartletWire
import Testing

@Suite struct KeyspaceTests {
    private func formed(_ count: Int = 3, change: (inout NodeConfiguration) -> Void = { _ in })
        -> ScriptedCluster
    {
        let cluster = ScriptedCluster(nodes: count, change: change)
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    private func names(_ cluster: ScriptedCluster, _ i: Int) -> [String] {
        cluster.members[i].node.keyspaceDefinitions.map(\.name)
    }

    private func definition(_ cluster: ScriptedCluster, _ i: Int, _ name: String) -> KeyspaceDefinition? {
        cluster.members[i].node.keyspaceDefinitions.first { $0.name == name }
    }

    private func put(
        _ cluster: ScriptedCluster, _ i: Int, _ keyspace: UInt32, _ key: String, _ value: String
    ) -> ClientReply? {
        cluster.reply(
            i,
            cluster.ask(
                i,
                ClientRequest(
                    keyspace: keyspace, key: Blob(key),
                    operation: .put(Put(.value(Blob(value), expiry: nil))))))
    }

    private func get(
        _ cluster: ScriptedCluster, _ i: Int, _ keyspace: UInt32, _ key: String
    ) -> ClientReply? {
        cluster.reply(i, cluster.ask(i, ClientRequest(keyspace: keyspace, key: Blob(key), operation: .get)))
    }

    private func count(_ cluster: ScriptedCluster, _ i: Int) -> Int? {
        let scan = Scan(Token.all, .count)
        let reply = cluster.reply(
            i, cluster.ask(i, ClientRequest(keyspace: 0, key: .empty, operation: .scan(scan))))
        guard case .scanned(let page)? = reply else { return nil }
        return page.count
    }

    // MARK: Definitions

    @Test func whatOneNodeCreatesAllNodesServe() throws {
        let cluster = formed()
        var options = KeyspaceOptions()
        options.ttl = .seconds(5)
        guard case .defined(let made)? = cluster.change(1, .create("cache", options)) else {
            Issue.record("a keyspace is created")
            return
        }
        #expect(made.count == 1 && made[0].id > KeyspaceDefinition.foundedIDMax)
        for i in 0..<3 {
            #expect(definition(cluster, i, "cache") == made[0], "it is everywhere when it is answered")
        }
        #expect(put(cluster, 0, made[0].id, "k", "there")?.stamp != nil)
        #expect(get(cluster, 2, made[0].id, "k")?.value == "there")
        #expect(cluster.get(2, "k")?.value == "-", "keyspaces are apart")
        // And after a restart.
        cluster.kill(2)
        cluster.restart(2)
        #expect(definition(cluster, 2, "cache") == made[0])
    }

    @Test func whatCantBeDoneIsRefusedWithItsReason() {
        let cluster = formed()
        func refusal(_ change: KeyspaceChange) -> KeyspaceRefusal? {
            guard case .keyspace(let refusal)? = cluster.change(0, change)?.failure else { return nil }
            return refusal
        }
        var options = KeyspaceOptions()
        #expect(refusal(.create("default", options)) == .exists("default"))
        #expect(refusal(.drop("default")) == .first("default"))
        #expect(refusal(.drop("nope")) == .unknown("nope", known: ["default"]))
        options.conflict = .siblings
        guard case .fixed("default", "conflict", _)? = refusal(.alter("default", options)) else {
            Issue.record("a conflict policy stays")
            return
        }
        options.conflict = nil
        options.replication = .count(4)
        #expect(refusal(.alter("default", options)) == .tooFewNodes(.count(4), nodes: 3))
        options.replication = .perDataCenter([.init(name: "mars", count: 1)])
        #expect(refusal(.create("far", options)) == .unknownDataCenter("mars", known: ["default"]))
        #expect(names(cluster, 0) == ["default"])
    }

    @Test func alteringTakesEffectEverywhere() {
        let cluster = formed()
        var options = KeyspaceOptions()
        options.write = .all
        guard case .defined? = cluster.change(2, .alter("default", options)) else {
            Issue.record("a keyspace is altered")
            return
        }
        cluster.kill(1)
        let ticket = cluster.ask(
            0, ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(Put(.tombstone))))
        guard case .unavailable(.write, .all, _, _, _, _)? = cluster.reply(0, ticket)?.failure else {
            Issue.record("the new level holds at once")
            return
        }
    }

    /// cluster.yaml says what a cluster is founded with; nobody votes on an edit of it.
    @Test(arguments: [1, 5])
    func anEditedFileAltersNothing(copies: Int) {
        let cluster = formed()
        for node in 0..<3 {
            cluster.kill(node)
            cluster.advance(.seconds(1))
            cluster.restart(node) { $0.keyspaces[0].copies = Copies(.count(copies)) }
            cluster.advance(.seconds(1))
        }
        for node in 0..<3 {
            #expect(definition(cluster, node, "default")?.replication == .count(3))
        }
    }

    /// An altered factor is a change of the ring: it waits while a voter is dead, and can be called off.
    @Test func anotherFactorTakesAHandover() {
        let cluster = formed()
        func alter(_ node: Int, _ copies: Int) -> ClientReply? {
            var options = KeyspaceOptions()
            options.replication = .count(copies)
            return cluster.change(node, .alter("default", options))
        }
        func copies(_ node: Int) -> Copies? { definition(cluster, node, "default")?.copies }
        guard case .defined? = alter(1, 2) else {
            Issue.record("a factor is altered")
            return
        }
        cluster.advance(.seconds(5))
        for node in 0..<3 {
            #expect(copies(node)?.factor == .count(2) && copies(node)?.wanted == nil)
            let status = cluster.members[node].node.handoverStatus()
            #expect(status == nil, "node \(node)")
        }
        cluster.kill(0)
        cluster.advance(.seconds(10))
        guard case .defined? = alter(1, 3) else {
            Issue.record("what needs a vote of the dead waits")
            return
        }
        cluster.advance(.seconds(5))
        let status = cluster.members[2].node.handoverStatus()
        #expect(status?.kind == .alter && status?.name == "default")
        #expect(copies(2)?.factor == .count(2) && copies(2)?.wanted == .count(3))
        // One at a time; the factor in force calls the other off.
        guard case .keyspace(.altering("default", .count(3)))? = alter(1, 1)?.failure else {
            Issue.record("a second factor beside the first")
            return
        }
        guard case .defined? = alter(2, 2) else {
            Issue.record("an alteration is called off")
            return
        }
        cluster.advance(.seconds(2))
        let after = cluster.members[1].node.handoverStatus()
        #expect(copies(1)?.wanted == nil && after == nil)
    }

    /// One who was away while a keyspace was made would hand its slots over, or take them, without what they
    /// hold.
    @Test func nobodyVotesForOneWhoKnowsOtherKeyspaces() {
        let cluster = formed()
        cluster.kill(0)
        cluster.advance(.seconds(10))
        var options = KeyspaceOptions()
        options.replication = .count(2)
        _ = cluster.change(1, .alter("default", options))
        cluster.advance(.seconds(1))
        var answers: [VoteAnswer] = []
        cluster.drops = { _, _, message in
            if case .voteAnswer(let answer) = message { answers.append(answer) }
            return false
        }
        let shape = cluster.members[2].node.ring.shape
        cluster.forge(2, from: 1, .vote(VoteRequest(shape: shape, keyspaces: 0)))
        cluster.advance(.milliseconds(10))
        #expect(answers.contains { $0.obstacle == .keyspaces })
        // A keyspace more: those who have voted are asked again, and all comes to its end when all know it.
        guard case .defined? = cluster.change(1, .create("more", KeyspaceOptions())) else {
            Issue.record("a keyspace is created while a change waits")
            return
        }
        cluster.restart(0)
        cluster.advance(.seconds(10))
        for node in 0..<3 {
            #expect(names(cluster, node).contains("more"))
            let status = cluster.members[node].node.handoverStatus()
            #expect(status == nil)
        }
    }

    /// A write that three of five owners hold is counted for all five. Of the three that stay one has it: two
    /// more must have it before those that go delete it, or a quorum of those that stay may not.
    @Test(arguments: [nil, PlantedBug.forgetLeavers])
    func whatOnlyThoseHoldWhoGoIsNotLost(plant: PlantedBug?) throws {
        var five = ScriptedCluster.keyspace
        five.copies = Copies(.count(5))
        let cluster = ScriptedCluster(nodes: 5, keyspace: five) {
            $0.keepsHints = false
            $0.planted = plant
        }
        cluster.start()
        cluster.advance(.seconds(1))
        let slot = Token(key: Blob("k")).slot
        let placement = cluster.members[0].node.placement(keyspace: 0)?.placement
        let owners = try #require(placement?.owners(of: slot).array)
        let names = try #require(placement?.members.map(\.name))
        let order = owners.map { owner in (0..<5).first { "n\($0 + 1)" == names[owner] }! }
        let unreached = Set(order[1...2])
        cluster.drops = { _, to, message in
            if case .merge = message { unreached.contains(to) } else { false }
        }
        guard case .written? = cluster.put(order[4], "k", "v", .quorum) else {
            Issue.record("three of five owners are enough")
            return
        }
        // With the bug the change needs no exchange; the usual ones, which would bring it too, come too late.
        cluster.drops = { _, _, message in
            if case .exchangeOpening = message { plant != nil } else { false }
        }
        var options = KeyspaceOptions()
        options.replication = .count(3)
        _ = cluster.change(order[0], .alter("default", options))
        cluster.advance(.seconds(5))
        #expect(definition(cluster, 0, "default")?.copies.factor == .count(3))
        func holds(_ node: Int) -> Bool {
            let request = ClientRequest(keyspace: 0, key: Blob("k"), operation: .getLocal)
            guard case .read(let record)? = cluster.reply(node, cluster.ask(node, request)) else {
                return false
            }
            return record != nil
        }
        #expect(order.map(holds) == [true, plant == nil, plant == nil, false, false])
    }

    @Test func twoOfOneNameSettleOnTheLater() throws {
        let cluster = formed()
        cluster.losesDatagrams = true
        cluster.drops = { from, to, _ in from == 2 || to == 2 }
        let first = cluster.ask(
            0,
            ClientRequest(keyspace: 0, key: .empty, operation: .change(.create("cache", KeyspaceOptions()))))
        cluster.advance(.milliseconds(20))
        let second = cluster.ask(
            2,
            ClientRequest(keyspace: 0, key: .empty, operation: .change(.create("cache", KeyspaceOptions()))))
        let early = try #require(definition(cluster, 0, "cache"))
        let late = try #require(definition(cluster, 2, "cache"))
        #expect(early.id != late.id)
        cluster.advance(.seconds(3))
        for (i, ticket) in [(0, first), (2, second)] {
            guard
                case .timeout(.define, .all, _, _, _, let unknown, _, _)? = cluster.reply(i, ticket)?.failure
            else {
                Issue.record("a change that a node doesn't acknowledge times out")
                continue
            }
            #expect(!unknown.isEmpty)
        }
        cluster.drops = { _, _, _ in false }
        cluster.losesDatagrams = false
        cluster.advance(.seconds(60), step: .milliseconds(100))
        for i in 0..<3 { #expect(definition(cluster, i, "cache")?.id == late.id, "n\(i + 1)") }
    }

    @Test func aDroppedKeyspaceIsGoneForGood() throws {
        let cluster = formed()
        guard case .defined(let made)? = cluster.change(0, .create("cache", KeyspaceOptions())) else {
            Issue.record("a keyspace is created")
            return
        }
        let id = made[0].id
        cluster.kill(2)
        #expect(put(cluster, 0, id, "k", "there")?.stamp != nil)
        cluster.advance(.seconds(5))
        #expect(cluster.members[0].hints.count + cluster.members[1].hints.count > 0)
        guard case .defined? = cluster.change(1, .drop("cache")) else {
            Issue.record("a keyspace is dropped")
            return
        }
        #expect(get(cluster, 0, id, "k")?.failure == .noSuchKeyspace(id))
        #expect(cluster.members[0].disk.isEmpty && cluster.members[1].disk.isEmpty)
        // A node that knew it brings nothing back, and hears of it.
        cluster.restart(2)
        cluster.advance(.seconds(60), step: .milliseconds(100))
        for i in 0..<3 {
            #expect(names(cluster, i) == ["default"])
            #expect(cluster.members[i].hints.isEmpty && cluster.members[i].disk.isEmpty)
        }
        // Its name is free again.
        guard case .defined(let again)? = cluster.change(2, .create("cache", KeyspaceOptions())) else {
            Issue.record("a name is free again")
            return
        }
        #expect(again[0].id != id)
        #expect(get(cluster, 0, again[0].id, "k")?.value == "-")
    }

    // MARK: FLUSHDB

    @Test func aFlushHidesAtOnceAndSweeps() throws {
        let cluster = formed()
        for i in 0..<20 { _ = cluster.put(0, "k\(i)", "old") }
        guard case .defined(let flushed)? = cluster.change(1, .truncate([0])) else {
            Issue.record("a keyspace is flushed")
            return
        }
        for i in 0..<3 {
            #expect(cluster.get(i, "k3", .one)?.value == "-")
            #expect(count(cluster, i) == 0)
        }
        let stamp = try #require(cluster.put(2, "k3", "new")?.stamp)
        #expect(stamp.time.bits > flushed[0].truncation)
        #expect(cluster.get(0, "k3")?.value == "new")
        #expect(count(cluster, 1) == 1)
        cluster.advance(.seconds(3))
        for i in 0..<3 { #expect(cluster.members[i].disk.count == 1, "n\(i + 1) has swept the rest") }
    }

    @Test func nothingComesBackByAHintOrANodeThatWasAway() throws {
        let cluster = formed()
        _ = cluster.put(0, "k", "old", .all)
        cluster.kill(2)
        _ = cluster.put(0, "k", "older than the flush")
        cluster.advance(.seconds(5))
        #expect(!cluster.members[0].hints.isEmpty)
        guard case .defined? = cluster.change(0, .truncate([0])) else {
            Issue.record("a keyspace is flushed while a node is down")
            return
        }
        cluster.restart(2)
        cluster.advance(.seconds(60), step: .milliseconds(100))
        for i in 0..<3 {
            #expect(cluster.get(i, "k", .one)?.value == "-")
            #expect(cluster.members[i].disk.isEmpty && cluster.members[i].hints.isEmpty, "n\(i + 1)")
        }
    }

    @Test func anExpirySetAfterAFlushDoesntReviveWhatWasReadBefore() throws {
        let cluster = formed()
        _ = cluster.put(0, "k", "old")
        guard case .read(let record?)? = cluster.get(0, "k") else {
            Issue.record("the value is read")
            return
        }
        _ = cluster.change(0, .truncate([0]))
        let ticket = cluster.ask(
            1,
            ClientRequest(
                keyspace: 0, key: Blob("k"), operation: .put(Put(.expiry(of: record, 2_000_000_000_000)))))
        #expect(cluster.reply(1, ticket)?.stamp != nil)
        #expect(cluster.get(2, "k")?.value == "-")
    }

    @Test func aPutStampedBelowTheFlushIsStampedAnew() throws {
        let cluster = formed { $0.clockSkewMax = .seconds(10) }
        // The clock of the flushing node is ahead, and what it says reaches the others' disks, not n3.
        cluster.members[0].wallOffset = .seconds(2)
        cluster.advance(.seconds(3))
        cluster.losesDatagrams = true
        cluster.drops = { from, to, _ in from == 2 || to == 2 }
        _ = cluster.ask(
            0, ClientRequest(keyspace: 0, key: .empty, operation: .change(.truncate([0])), level: .quorum))
        let truncation = try #require(definition(cluster, 0, "default")).truncation
        cluster.drops = { _, _, _ in false }
        let stamp = try #require(cluster.put(2, "k", "new")?.stamp)
        #expect(stamp.time.bits > truncation)
        for i in 0..<3 { #expect(cluster.get(i, "k")?.value == "new") }
    }

    @Test func aFlushNeedsAsManyOwnersAsAWrite() {
        let cluster = formed()
        _ = cluster.put(0, "k", "old")
        cluster.kill(1)
        cluster.kill(2)
        guard case .unavailable(.write, .quorum, _, _, _, _)? = cluster.change(0, .truncate([0]))?.failure
        else {
            Issue.record("too few owners live")
            return
        }
        #expect(definition(cluster, 0, "default")?.truncation == 0, "nothing was done")
        // Who is only suspected is waited for.
        cluster.advance(.seconds(20), step: .milliseconds(100))
        guard case .defined? = cluster.change(0, .truncate([0]), .one) else {
            Issue.record("one is enough at ONE")
            return
        }
        #expect(cluster.get(0, "k", .one)?.value == "-")
    }

    @Test func aFlushIsAcknowledgedWhenItIsDurable() {
        let cluster = formed()
        _ = cluster.put(0, "k", "old")
        cluster.members[1].holdsSync = true
        let ticket = cluster.ask(
            0, ClientRequest(keyspace: 0, key: .empty, operation: .change(.truncate([0]))))
        #expect(cluster.reply(0, ticket) == nil)
        cluster.sync(1)
        guard case .defined? = cluster.reply(0, ticket) else {
            Issue.record("it is acknowledged once all have it on disk")
            return
        }
    }

    @Test func aFlushAnswersItsOwnStampAndNoLaterOnes() throws {
        let cluster = formed()
        let flush = ClientRequest(keyspace: 0, key: .empty, operation: .change(.truncate([0])))
        cluster.losesDatagrams = true
        cluster.holds = { from, _, message in
            if case .mergeAnswer = message { from == 1 } else { false }
        }
        let first = cluster.ask(0, flush)
        let truncation = try #require(definition(cluster, 0, "default")).truncation
        cluster.drops = { _, to, message in
            if case .define = message { to == 1 } else { false }
        }
        let second = cluster.ask(0, flush)
        #expect(try #require(definition(cluster, 0, "default")).truncation > truncation)
        cluster.release()
        guard case .defined(let flushed)? = cluster.reply(0, first) else {
            Issue.record("all have the first flush on disk")
            return
        }
        #expect(flushed.map(\.truncation) == [truncation])
        #expect(cluster.reply(0, second) == nil, "n2 hasn't heard of the second one")
    }
}
