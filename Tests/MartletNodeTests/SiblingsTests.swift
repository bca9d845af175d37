import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire
import Testing

@Suite struct SiblingsTests {
    private func formed(
        _ count: Int = 3, copies: Int = 3, change: (inout NodeConfiguration) -> Void = { _ in }
    ) -> ScriptedCluster {
        let cluster = ScriptedCluster(
            nodes: count,
            keyspace: KeyspaceDefinition(
                id: 0, name: "default", stamp: 0, replication: .count(copies), conflict: .siblings),
            change: change)
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    private func request(
        _ value: String?, context: CausalContext = .empty, _ level: ConsistencyLevel = .quorum,
        version: Stamp? = nil
    ) -> ClientRequest {
        let content: Put.Content = value.map { .value(Blob($0), expiry: nil) } ?? .tombstone
        return ClientRequest(
            keyspace: 0, key: Blob("k"), operation: .put(Put(content, context: context, version: version)),
            level: level)
    }

    private func put(
        _ cluster: ScriptedCluster, _ i: Int, _ value: String?, context: CausalContext = .empty,
        _ level: ConsistencyLevel = .quorum, version: Stamp? = nil
    ) -> ClientReply? {
        cluster.reply(i, cluster.ask(i, request(value, context: context, level, version: version)))
    }

    private func values(_ record: Blob?) -> [String] {
        guard let record else { return [] }
        var values: [String] = []
        Record.forEachVersion(record.span) { version in
            if version.state == .present {
                values.append(Blob(copying: version.value(in: record.span)).text!)
            }
        }
        return values.sorted()
    }

    private func read(_ cluster: ScriptedCluster, _ i: Int, _ level: ConsistencyLevel = .quorum)
        -> (values: [String], context: CausalContext)
    {
        guard case .read(let record)? = cluster.get(i, "k", level) else { return (["?"], .empty) }
        return (values(record), record.map { Record.context(of: $0.span) } ?? .empty)
    }

    private func stored(_ cluster: ScriptedCluster, _ i: Int) -> [String] {
        let key = StorageKey(keyspace: 0, token: Token(key: Blob("k")).value, key: Blob("k"))
        return values(cluster.members[i].disk[key])
    }

    @Test func putsThatDidNotSeeEachOtherAreKept() {
        let cluster = formed()
        #expect(put(cluster, 0, "a")?.stamp != nil)
        let (_, seen) = read(cluster, 1)
        #expect(put(cluster, 1, "b", context: seen)?.stamp != nil)
        #expect(put(cluster, 2, "c", context: seen)?.stamp != nil)
        for i in 0..<3 { #expect(stored(cluster, i) == ["b", "c"]) }
        let (both, all) = read(cluster, 0)
        #expect(both == ["b", "c"])
        #expect(put(cluster, 0, "d", context: all)?.stamp != nil)
        for i in 0..<3 { #expect(stored(cluster, i) == ["d"]) }
        #expect(put(cluster, 1, nil, context: seen)?.stamp != nil)
        #expect(read(cluster, 2).values == ["d"], "a delete leaves what it has not seen")
        #expect(put(cluster, 1, nil, context: read(cluster, 1).context)?.stamp != nil)
        #expect(read(cluster, 2).values == [])
    }

    @Test func nothingLeavesBeforeItIsDurableHere() {
        let cluster = formed()
        cluster.members[0].holdsSync = true
        var sent = 0
        cluster.watch = { _, _, message in if case .merge = message { sent += 1 } }
        let first = cluster.ask(0, request("a"))
        // These wait for the round of the first, and share the next one.
        let others = ["b", "c"].map { cluster.ask(0, request($0)) }
        #expect(sent == 0 && cluster.reply(0, first) == nil)
        cluster.sync(0)
        #expect(cluster.reply(0, first)?.stamp != nil)
        let dots = others.compactMap { cluster.reply(0, $0)?.stamp }
        #expect(Set(dots).count == 2)
        for i in 0..<3 { #expect(stored(cluster, i) == ["a", "b", "c"]) }
    }

    @Test func aNodeThatOwnsNothingOfTheKeyLetsAnOwnerCoordinate() {
        let cluster = formed(4, copies: 2)
        let owners = (0..<4).filter { i in
            put(cluster, i, "x", .all)?.stamp != nil && !stored(cluster, i).isEmpty
        }
        #expect(owners.count == 2)
        let stranger = (0..<4).first { !owners.contains($0) }!
        let seen = read(cluster, stranger).context
        let dot = put(cluster, stranger, "y", context: seen, .all)?.stamp
        let coordinator = owners.first { cluster.members[$0].configuration.id.short == dot?.writer.node }
        #expect(coordinator != nil)
        for owner in owners { #expect(stored(cluster, owner) == ["y"]) }
        // Exact outcomes come back from the owner.
        cluster.kill(owners[0])
        guard
            case .unavailable(.write, .all, required: 2, alive: 1, _, let down)? =
                put(cluster, stranger, "z", .all)?.failure
        else {
            Issue.record("ALL with a dead owner is unavailable")
            return
        }
        #expect(down == ["n\(owners[0] + 1)"])
        #expect(put(cluster, stranger, "z", context: seen, .one)?.stamp != nil)
        cluster.kill(owners[1])
        guard case .unavailable? = put(cluster, stranger, "w", .one)?.failure else {
            Issue.record("no owner is there")
            return
        }
    }

    @Test func aForwardedPutWhoseOwnerDiesIsInDoubt() {
        let cluster = formed(4, copies: 1)
        let owner = (0..<4).first { i in
            _ = put(cluster, i, "x", .one)
            return !stored(cluster, i).isEmpty
        }!
        let stranger = (owner + 1) % 4
        cluster.holds = { _, _, message in if case .put = message { true } else { false } }
        let ticket = cluster.ask(stranger, request("y", .one))
        #expect(cluster.reply(stranger, ticket) == nil)
        cluster.kill(owner)
        guard
            case .timeout(.write, .one, required: 1, acknowledged: 0, _, let unknown, nil, _)? =
                cluster.reply(stranger, ticket)?.failure
        else {
            Issue.record("got \(String(describing: cluster.reply(stranger, ticket)))")
            return
        }
        #expect(unknown == ["n\(owner + 1)"])
    }

    @Test func aRetryUnderItsVersionAddsNothingWhereTheDotIsKnown() {
        let cluster = formed()
        cluster.drops = { from, _, message in message.kind == .mergeAnswer && from != 0 }
        let ticket = cluster.ask(0, request("a"))
        cluster.advance(.seconds(3))
        guard
            case .timeout(_, _, _, acknowledged: 1, _, _, .some(let version), _)? =
                cluster.reply(0, ticket)?.failure
        else {
            Issue.record("got \(String(describing: cluster.reply(0, ticket)))")
            return
        }
        cluster.drops = { _, _, _ in false }
        for i in 0..<3 { #expect(put(cluster, i, "a", version: version)?.stamp == version) }
        #expect(read(cluster, 0, .all).values == ["a"])
        // It has been replaced: it doesn't come back.
        _ = put(cluster, 1, "b", context: read(cluster, 1).context)
        #expect(put(cluster, 0, "a", version: version)?.stamp == version)
        #expect(read(cluster, 0, .all).values == ["b"])
    }

    @Test func aNodeIsAnotherActorAfterEachStart() {
        let cluster = formed()
        let before = put(cluster, 0, "a")?.stamp
        cluster.kill(0)
        cluster.restart(0)
        cluster.advance(.seconds(2))
        let after = put(cluster, 0, "b")?.stamp
        #expect(before?.writer.node == after?.writer.node)
        #expect(before?.writer != after?.writer)
        #expect(read(cluster, 1, .all).values == ["a", "b"])
    }

    @Test func tooManyVersionsAreRefused() {
        let cluster = formed { $0.siblingsMax = 3 }
        for value in ["a", "b", "c"] { #expect(put(cluster, 0, value)?.stamp != nil) }
        #expect(put(cluster, 1, "d")?.failure == .siblings(limit: "siblings_max", found: 3, max: 3))
        #expect(read(cluster, 2).values == ["a", "b", "c"])
        #expect(put(cluster, 1, "d", context: read(cluster, 1).context)?.stamp != nil)
        #expect(read(cluster, 2).values == ["d"])
        #expect(cluster.members[1].node.currentMetrics().siblingsRefused == 1)
    }

    @Test func aFullDiskRefusesAndLeavesNothing() {
        let cluster = formed()
        cluster.members[0].refusal = .diskFull
        #expect(put(cluster, 0, "a")?.failure == .overloaded(node: "n1", limit: "storage"))
        #expect(read(cluster, 1, .all).values == [])
        cluster.members[0].refusal = nil
        cluster.advance(.seconds(1))
        #expect(put(cluster, 0, "b")?.stamp != nil)
        #expect(read(cluster, 1, .all).values == ["b"])
    }

    /// A merge of siblings at a replica whose clock or memory of stamps is ahead loses against nothing.
    @Test func whatAReplicaRemembersDoesNotDominateSiblings() {
        let cluster = formed()
        for i in 0..<3 { #expect(put(cluster, i, "v\(i)")?.stamp != nil) }
        for i in 0..<3 { #expect(cluster.members[i].node.currentMetrics().contended == 0) }
        #expect(read(cluster, 0, .all).values == ["v0", "v1", "v2"])
    }
}
