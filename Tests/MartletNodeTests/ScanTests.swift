import MartletBase
import MartletNode
import MartletRing
import MartletVersions
import MartletWire
import Testing

/// Pages of keys and counts, over replicas that agree and replicas that don't.
@Suite struct ScanTests {
    private func formed(
        nodes: Int = 3, _ change: (inout NodeConfiguration) -> Void = { _ in }
    ) -> ScriptedCluster {
        let cluster = ScriptedCluster(nodes: nodes, change: change)
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    private func scan(
        _ wanted: Scan.Wanted, _ range: ClosedRange<Token> = Token.all, _ level: ConsistencyLevel = .quorum
    ) -> ClientRequest {
        ClientRequest(
            keyspace: 0, key: .empty, operation: .scan(Scan(range, wanted)), level: level)
    }

    private func scanned(_ cluster: ScriptedCluster, _ i: Int, _ request: ClientRequest) -> KeyPage? {
        guard case .scanned(let page) = cluster.reply(i, cluster.ask(i, request)) else { return nil }
        return page
    }

    /// Walks from page to page; the keys as text, in the order in which they came.
    private func walk(_ cluster: ScriptedCluster, _ i: Int, about: Int) throws -> [String] {
        var keys: [String] = []
        var position = Token.all.lowerBound
        while true {
            let page = try #require(
                scanned(cluster, i, scan(.keys(about: about), position...Token.all.upperBound)))
            #expect(page.count == page.keys.count)
            keys += page.keys.map { $0.text ?? "?" }
            guard let next = page.next else { return keys }
            #expect(next > position)
            position = next
        }
    }

    /// Counts from page to page.
    private func count(_ cluster: ScriptedCluster, _ i: Int, _ range: ClosedRange<Token> = Token.all) throws
        -> Int
    {
        var count = 0
        var position = range.lowerBound
        while true {
            let page = try #require(scanned(cluster, i, scan(.count, position...range.upperBound)))
            #expect(page.keys.isEmpty)
            count += page.count
            guard let next = page.next else { return count }
            #expect(next > position)
            position = next
        }
    }

    private func names(_ count: Int) -> [String] { (0..<count).map { "key \($0)" } }

    private func inRingOrder(_ keys: [String]) -> [String] {
        keys.sorted { Token(key: Blob($0)) < Token(key: Blob($1)) }
    }

    @Test(arguments: [1, 3, 5])
    func aWalkListsEveryKeyOnceInTheOrderOfTokens(nodes: Int) throws {
        let cluster = formed(nodes: nodes)
        let keys = names(200)
        // More nodes than copies of a replication factor of three; with one node, ONE is all there is.
        let level: ConsistencyLevel = nodes == 1 ? .one : .quorum
        for key in keys { _ = cluster.put(0, key, "v", level) }
        guard nodes > 1 else {
            let page = try #require(scanned(cluster, 0, scan(.keys(about: 1_000), Token.all, .one)))
            #expect(page.keys.map(\.text) == inRingOrder(keys))
            return
        }
        for i in 0..<nodes { #expect(try walk(cluster, i, about: 7) == inRingOrder(keys)) }
        #expect(try count(cluster, 1) == 200)
    }

    @Test func anEmptyStoreIsOnePage() {
        let cluster = formed()
        #expect(scanned(cluster, 0, scan(.keys(about: 10))) == KeyPage(keys: [], count: 0, next: nil))
        #expect(scanned(cluster, 0, scan(.count)) == KeyPage(keys: [], count: 0, next: nil))
    }

    @Test func deletedAndExpiredKeysAreNotListed() throws {
        let cluster = formed()
        for key in names(20) { _ = cluster.put(0, key, "v") }
        _ = cluster.reply(
            0,
            cluster.ask(0, ClientRequest(keyspace: 0, key: Blob("key 3"), operation: .put(Put(.tombstone)))))
        let soon = cluster.time.wall.milliseconds + 500
        _ = cluster.ask(
            0,
            ClientRequest(
                keyspace: 0, key: Blob("key 4"), operation: .put(Put(.value(Blob("v"), expiry: soon)))))
        #expect(try count(cluster, 1) == 19)
        cluster.advance(.seconds(1))
        #expect(try count(cluster, 1) == 18)
        let left = names(20).filter { $0 != "key 3" && $0 != "key 4" }
        #expect(try walk(cluster, 2, about: 4) == inRingOrder(left))
    }

    /// Node 2 missed half of the writes and all of the deletions.
    private func diverge(_ cluster: ScriptedCluster) {
        for key in names(40) { _ = cluster.put(0, key, "old") }
        cluster.drops = { _, to, message in to == 2 && message.kind == .merge }
        for i in 40..<80 { _ = cluster.put(0, "key \(i)", "new") }
        for i in 0..<10 {
            _ = cluster.ask(
                0, ClientRequest(keyspace: 0, key: Blob("key \(i)"), operation: .put(Put(.tombstone))))
        }
        cluster.drops = { _, _, _ in false }
    }

    @Test func whereReplicasDifferTheKeysAreReadAndRepaired() throws {
        let cluster = formed()
        diverge(cluster)
        let expected = inRingOrder(Array(names(80).dropFirst(10)))
        #expect(try walk(cluster, 2, about: 1_000) == expected)
        #expect(cluster.members[2].node.currentMetrics().scanReads == 50)
        for key in expected { #expect(cluster.stored(2, key) != nil, "\(key) was repaired") }
        let before = cluster.members[2].node.currentMetrics().scanReads
        #expect(try walk(cluster, 2, about: 1_000) == expected)
        #expect(cluster.members[2].node.currentMetrics().scanReads == before, "nothing is in doubt any more")
    }

    @Test func countsAreExactWhereReplicasDiffer() throws {
        let cluster = formed()
        diverge(cluster)
        #expect(try count(cluster, 2) == 70)
        #expect(try count(cluster, 0) == 70)
    }

    @Test func aPageGoesOnWhenAReplicaDies() throws {
        let cluster = formed()
        for key in names(50) { _ = cluster.put(0, key, "v") }
        cluster.holds = { from, _, message in from == 1 && message.kind == .scanAnswer }
        let ticket = cluster.ask(0, scan(.keys(about: 1_000)))
        let isOtherAsked = cluster.reply(0, ticket) != nil
        cluster.kill(1)
        guard case .scanned(let page) = cluster.reply(0, ticket) else {
            Issue.record("no page, though two replicas live")
            return
        }
        #expect(page.keys.count == 50)
        #expect(isOtherAsked || cluster.members[2].node.currentMetrics().replicaScans > 0)
    }

    @Test func aSilentReplicaIsNotWaitedForUntilTheEnd() throws {
        let cluster = formed()
        for key in names(50) { _ = cluster.put(0, key, "v") }
        for silent in [1, 2] {
            cluster.holds = { from, _, message in from == silent && message.kind == .scanAnswer }
            let ticket = cluster.ask(0, scan(.keys(about: 1_000)))
            cluster.advance(Limits.scanPatience + .milliseconds(20))
            guard case .scanned(let page) = cluster.reply(0, ticket) else {
                Issue.record("no page, though node \(silent) alone is silent")
                return
            }
            #expect(page.keys.count == 50)
        }
        #expect(cluster.members[0].node.currentMetrics().speculativeScans == 1, "one of them was asked first")
    }

    @Test func manyTombstonesAndLargeValuesArePassedInBounds() throws {
        let cluster = formed()
        for key in names(400) {
            _ = cluster.ask(
                0,
                ClientRequest(keyspace: 0, key: Blob(key), operation: .put(Put(.tombstone)), level: .quorum))
        }
        for key in names(3) { _ = cluster.put(0, "live " + key, String(repeating: "v", count: 100)) }
        var answers = 0
        var questions = 0
        cluster.watch = { _, _, message in
            if message.kind == .scanAnswer { answers += 1 }
            if message.kind == .scan { questions += 1 }
        }
        cluster.storageScans = 0
        #expect(try walk(cluster, 0, about: 1).count == 3)
        #expect(cluster.storageScans < 100, "\(cluster.storageScans) questions to the storage")
        // Each list ends where it has passed as much as it may.
        let large = String(repeating: "v", count: Limits.scanPassedBytesMax / 4 + 1)
        for key in names(9) { _ = cluster.put(0, "large " + key, large) }
        questions = 0
        #expect(try walk(cluster, 0, about: 1_000).count == 12)
        #expect(try count(cluster, 0) == 12)
        #expect(questions > 2, "\(questions) questions, \(answers) answers")
    }

    @Test func tooFewReplicasAreUnavailable() {
        let cluster = formed()
        cluster.kill(1)
        cluster.kill(2)
        cluster.advance(.seconds(30))
        let ticket = cluster.ask(0, scan(.keys(about: 10)))
        guard
            case .unavailable(.read, .quorum, 2, 1, ["n1"], ["n2", "n3"])? = cluster.reply(0, ticket)?.failure
        else {
            Issue.record("\(String(describing: cluster.reply(0, ticket)))")
            return
        }
        #expect(scanned(cluster, 0, scan(.keys(about: 10), Token.all, .one)) != nil)
    }

    @Test func aPageThatWaitsTooLongTimesOutAndSaysForWhom() {
        let cluster = formed()
        cluster.drops = { _, _, message in message.kind == .scanAnswer }
        let ticket = cluster.ask(0, scan(.count))
        cluster.advance(.seconds(3))
        guard
            case .timeout(.read, .quorum, 2, 1, ["n1"], let unknown, nil, _)? = cluster.reply(0, ticket)?
                .failure
        else {
            Issue.record("\(String(describing: cluster.reply(0, ticket)))")
            return
        }
        #expect(unknown == ["n2", "n3"])
    }

    @Test func aListWaitsUntilWhatItShowsIsDurable() {
        let cluster = formed()
        _ = cluster.put(0, "a", "1")
        cluster.members[0].holdsSync = true
        _ = cluster.put(0, "b", "2", .one)
        let ticket = cluster.ask(0, scan(.keys(about: 10)))
        #expect(cluster.reply(0, ticket) == nil)
        cluster.sync(0)
        guard case .scanned(let page)? = cluster.reply(0, ticket) else {
            Issue.record("no page after the sync")
            return
        }
        #expect(page.keys.count == 2)
    }

    @Test func keysOfOneTokenAreNeverSplit() throws {
        // Keys that share a token can't be made; those of one leaf can, and a page of one key a time must
        // still come to an end.
        let cluster = formed()
        let keys = (0..<30).map { "{tag} \($0)" }
        for key in keys { _ = cluster.put(0, key, "v") }
        #expect(try walk(cluster, 0, about: 1) == inRingOrder(keys))
        let slot = Token(key: Blob("{tag}")).slot
        #expect(try count(cluster, 0, Token.bounds(of: slot)) == 30)
        let other = Token.bounds(of: Slot((Int(slot.index) + 1) % Limits.slots))
        #expect(try count(cluster, 0, other) == 0)
    }

    /// What no replica says: it is dropped, counted, and another one asked.
    @Test(arguments: [
        ScanAnswer.Outcome.keys([Blob("b"), Blob("a"), Blob("b")], next: nil), .keys([], next: 0),
        .keys([Blob("a"), Blob("a")], next: nil),
        .counts([], next: nil), .counts([LeafCount(leaf: .max, count: 1, sum: 1)], next: nil),
        .refused(.invalid),
    ])
    func aPeersNonsenseIsDropped(_ outcome: ScanAnswer.Outcome) throws {
        let cluster = formed()
        for key in names(5) { _ = cluster.put(0, key, "v") }
        var asked: (node: Int, request: UInt64)?
        cluster.watch = { _, to, message in
            if case .scan(let request) = message, asked == nil { asked = (to, request.request) }
        }
        cluster.holds = { _, _, message in message.kind == .scanAnswer }
        let ticket = cluster.ask(0, scan(.keys(about: 10)))
        let (node, request) = try #require(asked)
        cluster.forge(
            0, from: node, overOwnLink: true, .scanAnswer(ScanAnswer(request: request, outcome: outcome)))
        #expect(cluster.reply(0, ticket) == nil, "the third node is asked")
        cluster.release()
        guard case .scanned(let page)? = cluster.reply(0, ticket) else {
            Issue.record("\(String(describing: cluster.reply(0, ticket)))")
            return
        }
        #expect(page.keys.count == 5)
    }

    @Test func scansOverTheirLimitAreRefused() {
        let cluster = formed()
        cluster.holds = { _, _, message in message.kind == .scanAnswer }
        for _ in 0..<Limits.scansMax { _ = cluster.ask(0, scan(.count)) }
        let ticket = cluster.ask(0, scan(.count))
        guard case .overloaded("n1", let limit)? = cluster.reply(0, ticket)?.failure else {
            Issue.record("\(String(describing: cluster.reply(0, ticket)))")
            return
        }
        #expect(limit == "scans_max")
        cluster.release()
        #expect(scanned(cluster, 0, scan(.count)) != nil)
    }

    @Test func anyIsNoLevelForAScan() {
        let cluster = formed()
        #expect(cluster.reply(0, cluster.ask(0, scan(.count, Token.all, .any)))?.failure == .badLevel(.any))
    }
}
