import MartletClient
import Testing

/// Nothing grows without a bound, and everything ends.
@Suite struct BoundTests {
    @Test func callsOverTheLimitAreRefused() async throws {
        let cluster = try await FakeCluster.start { _ in .hold("all") }
        let client = try await connect(cluster) { $0.callsMax = 10 }
        let tasks = (0..<10).map { _ in Task { try await client.get("a") } }
        try await until("all are under way") { try await client.status().callsUnderWay == 10 }
        #expect(
            await failure { () async throws(MartletError) in try await client.get("a") }
                == .tooManyCalls(max: 10))
        #expect(
            await failure { () async throws(MartletError) in try await client.getMany(["a", "b"]) }
                == .tooManyCalls(max: 10))
        await cluster.release("all")
        for task in tasks { #expect(try await task.value == nil) }
        #expect(try await client.status().callsUnderWay == 0)
        await client.close()
    }

    @Test func requestsWaitForRoomAndTheirQueueIsBounded() async throws {
        let cluster = try await FakeCluster.start(nodes: 1) { _ in .hold("all") }
        let client = try await connect(cluster) {
            $0.connectionsPerNode = 1
            $0.inFlightPerConnection = 4
            $0.waitingPerNode = 8
        }
        let tasks = (0..<12).map { _ in Task { try await client.get("a") } }
        try await until("all are under way or wait") {
            let node = try await client.status().nodes[0]
            return (node.inFlight, node.waiting) == (4, 8)
        }
        #expect(
            await failure { () async throws(MartletError) in try await client.get("a") }
                == .tooManyCalls(max: 8))
        await cluster.setScript { _ in .store }
        await cluster.release("all")
        for task in tasks { #expect(try await task.value == nil) }
        #expect(await cluster.inFlightMax <= 4 + 4)
        await client.close()
    }

    @Test func aFullPipelineOpensAnotherConnection() async throws {
        let cluster = try await FakeCluster.start(nodes: 1) { _ in .hold("all") }
        let client = try await connect(cluster) {
            $0.connectionsPerNode = 3
            $0.inFlightPerConnection = 4
        }
        let tasks = (0..<12).map { _ in Task { try await client.get("a") } }
        try await until("three connections are full") { await cluster.requests.count == 12 }
        #expect(await cluster.connectionsMade == [3])
        await cluster.release("all")
        for task in tasks { _ = try await task.value }
        await client.close()
    }

    @Test func closingEndsEveryCall() async throws {
        let cluster = try await FakeCluster.start { _ in .silence }
        let client = try await connect(cluster)
        let write = Task { try await client.set("a", "1") }
        let batch = Task { try await client.getMany(["a", "b", "c"]) }
        try await until("all are under way") { await cluster.requests.count == 4 }
        await client.close()
        guard case .failure(let error as MartletError) = await write.result, case .closed(let facts) = error
        else {
            Issue.record("the write has ended otherwise")
            return
        }
        #expect(facts.mayHaveHappened)
        for outcome in try await batch.value { #expect(throws: MartletError.self) { try outcome.get() } }
        let closed = MartletError.closed(.init(mayHaveHappened: false, version: nil, node: nil))
        #expect(await failure { () async throws(MartletError) in try await client.get("a") } == closed)
        #expect(await failure { () async throws(MartletError) in try await client.status() } == closed)
        await client.close()
    }

    @Test func callsThatRaceWithTheEndAreAnswered() async throws {
        let cluster = try await FakeCluster.start()
        for _ in 0..<20 {
            let client = try await connect(cluster) { $0.callsMax = 50 }
            let tasks = (0..<100).map { number in
                Task { await callUntilItEnds(client, "key:\(number)") }
            }
            tasks[0].cancel()
            _ = try? await client.get("a")
            await client.close()
            for (number, task) in tasks.enumerated() {
                switch await task.value {
                case .closed: continue
                case .cancelled where number == 0: continue
                case let error: Issue.record("\(error)")
                }
            }
        }
    }

    /// A task that closes a client holds a thread meanwhile, and there may be more of those than threads.
    @Test func manyThatCloseDoNotWaitForTasksThatHaveTheirAnswer() async throws {
        let cluster = try await FakeCluster.start()
        try await withThrowingTaskGroup { group in
            for _ in 0..<40 {
                group.addTask {
                    let client = try await connect(cluster)
                    let tasks = (0..<10).map { _ in
                        Task { while (try? await client.status()) != nil {} }
                    }
                    for _ in 0..<10 { _ = try await client.status() }
                    await client.close()
                    for task in tasks { await task.value }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func aClientThatIsDroppedEnds() async throws {
        let cluster = try await FakeCluster.start()
        for _ in 0..<20 {
            let client = try await connect(cluster)
            _ = try await client.get("a")
        }
        #expect(await cluster.requests.count == 20)
    }

    @Test func noSeedThatAnswersIsSaid() async throws {
        let cluster = try await FakeCluster.start(nodes: 1)
        await cluster.kill(0)
        let error = await failure { () async throws(MartletError) in
            var configuration = MartletClient.Configuration(seeds: cluster.addresses)
            configuration.connectTime = .milliseconds(200)
            return try await MartletClient.connect(to: configuration)
        }
        guard case .noNode(let why) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(why.contains(cluster.addresses[0]))
    }
}

/// Calls until one fails for another reason than that there are too many.
private func callUntilItEnds(_ client: MartletClient, _ key: String) async -> MartletError {
    while true {
        do throws(MartletError) {
            _ = try await client.get(key)
            _ = try await client.status()
        } catch .tooManyCalls {
            await Task.yield()
        } catch {
            return error
        }
    }
}
