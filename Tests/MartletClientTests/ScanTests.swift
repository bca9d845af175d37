import MartletClient
import Testing

/// Scans over nodes that change meanwhile.
@Suite struct ScanTests {
    private func fill(_ cluster: FakeCluster) async -> Set<String> {
        let keys = Set((0..<200).map { "key:\($0)" })
        for key in keys { await cluster.put(key, "x") }
        return keys
    }

    private func keys(_ scan: KeyScan) async throws -> [String] {
        var out: [String] = []
        for try await key in scan { out.append(key.string ?? "") }
        return out
    }

    @Test(arguments: [true, false]) func eachKeyIsShownOnce(isCluster: Bool) async throws {
        let cluster = try await FakeCluster.start(isCluster: isCluster)
        let all = await fill(cluster)
        let client = try await connect(cluster)
        let shown = try await keys(client.scan(pageSize: 7))
        #expect(shown.count == all.count && Set(shown) == all)
        await client.close()
    }

    @Test func whatIsAskedForIsTold() async throws {
        let cluster = try await FakeCluster.start(nodes: 1)
        let client = try await connect(cluster)
        #expect(try await keys(client.scan(matching: "a*", pageSize: 3)).isEmpty)
        #expect(await cluster.requests.map(\.words) == [["SCAN", "0", "MATCH", "a*", "COUNT", "3"]])
        await client.close()
    }

    @Test func slotsThatMoveMeanwhileAreScannedWhereTheyAre() async throws {
        let cluster = try await FakeCluster.start()
        let all = await fill(cluster)
        let client = try await connect(cluster)
        var shown = Set<String>()
        for try await key in client.scan(pageSize: 5) {
            shown.insert(key.string ?? "")
            if shown.count == 20 { await cluster.give(to: [2, 0, 1]) }
        }
        #expect(shown == all)
        await client.close()
    }

    @Test func aNodeThatDiesMeanwhileIsReplaced() async throws {
        let cluster = try await FakeCluster.start()
        let all = await fill(cluster)
        let client = try await connect(cluster)
        var shown = Set<String>()
        for try await key in client.scan(pageSize: 5) {
            shown.insert(key.string ?? "")
            if shown.count == 20 {
                await cluster.kill(0)
                await cluster.give(to: [1, 2])
            }
        }
        #expect(shown == all)
        await client.close()
    }

    @Test func aScanEndsWithItsTask() async throws {
        let cluster = try await FakeCluster.start(nodes: 1) { _ in .silence }
        let client = try await connect(cluster)
        let task = Task { try await keys(client.scan()) }
        try await until("it was asked") { await cluster.requests.count == 1 }
        task.cancel()
        await #expect(throws: MartletError.self) { try await task.value }
        await client.close()
    }
}
