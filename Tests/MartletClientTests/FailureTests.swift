import MartletClient
import Testing

/// Nodes that die, refuse, fall silent or lie, and what callers hear of it.
@Suite struct FailureTests {
    static let unavailable = "UNAVAILABLE op=write level=ALL required=3 alive=2 up=n1,n2 down=n3: no"
    static let timeout =
        "TIMEOUT op=write level=QUORUM required=2 acknowledged=1 acked=n1 unknown=n2,n3 version=abc "
        + "after_ms=2000: the write may have happened"

    @Test func aDeadNodesKeysAreAskedOfTheOthers() async throws {
        let cluster = try await FakeCluster.start()
        let client = try await connect(cluster)
        try await until("all are connected") { try await client.status().nodes.allSatisfy(\.isConnected) }
        await cluster.kill(1)
        for number in 0..<100 {
            try await client.set("key:\(number)", "x", version: WriteVersion(text: "v"))
            _ = try await client.get("key:\(number)")
        }
        #expect(await cluster.requests.suffix(50).allSatisfy { $0.node != 1 })
        await client.close()
    }

    @Test func aNodeThatIsBackIsConnectedToAgain() async throws {
        let cluster = try await FakeCluster.start(nodes: 1)
        let client = try await connect(cluster) { $0.retries.attemptsMax = 1 }
        await cluster.kill(0)
        try await until("it is gone") { try await client.status().nodes.allSatisfy { !$0.isConnected } }
        let error = await failure { () async throws(MartletError) in try await client.set("a", "b") }
        guard case .noNode = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        try await cluster.revive(0)
        try await until("it is back") { (try? await client.set("a", "b")) != nil }
        await client.close()
    }

    @Test func aReadWhoseConnectionIsLostIsAskedOfAnotherNode() async throws {
        let cluster = try await FakeCluster.start { $0.serial == 0 ? .drop : .store }
        let client = try await connect(cluster)
        await cluster.put("a", "1")
        #expect(try await client.get("a")?.string == "1")
        let asked = await cluster.requests.map(\.node)
        #expect(asked.count == 2 && asked[0] != asked[1])
        await client.close()
    }

    @Test func aWriteWhoseConnectionIsLostIsNotSentAgain() async throws {
        let cluster = try await FakeCluster.start { $0.serial == 0 ? .drop : .store }
        let client = try await connect(cluster)
        let error = await failure { () async throws(MartletError) in try await client.set("a", "1") }
        guard case .connectionLost(let facts) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(facts.mayHaveHappened && facts.version == nil && error?.mayHaveHappened == true)
        #expect(await cluster.requests.count == 1)
        await client.close()
    }

    @Test func unlessItHasAVersionOrMayHappenTwice() async throws {
        for hasVersion in [true, false] {
            let cluster = try await FakeCluster.start { $0.serial == 0 ? .drop : .store }
            let client = try await connect(cluster) {
                $0.retries.lostWrites = hasVersion ? .fail : .sendAgain
            }
            try await client.set("a", "1", version: hasVersion ? WriteVersion(text: "known") : nil)
            let requests = await cluster.requests
            #expect(requests.count == 2)
            #expect(requests.allSatisfy { $0.has("known") == hasVersion })
            await client.close()
        }
    }

    @Test func aTimedOutWriteIsSentAgainUnderItsVersion() async throws {
        let cluster = try await FakeCluster.start { $0.serial == 0 ? .error(FailureTests.timeout) : .store }
        let client = try await connect(cluster)
        #expect(try await client.set("a", "1").version.text == "abc")
        #expect(await cluster.requests.last?.words == ["VSET", "a", "1", "VERSION", "abc"])
        await client.close()
    }

    @Test func whatMayHaveHappenedIsNeverCalledUnsent() async throws {
        // First a timeout, then refusals: the write may have happened all the same.
        let cluster = try await FakeCluster.start {
            .error($0.serial == 0 ? FailureTests.timeout : FailureTests.unavailable)
        }
        let client = try await connect(cluster)
        let error = await failure { () async throws(MartletError) in try await client.set("a", "1") }
        guard case .timeout(let facts) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(facts.acknowledged == 1 && facts.unknown == ["n2", "n3"])
        #expect(error?.version?.text == "abc")
        #expect(await cluster.requests.count == 4)
        await client.close()
    }

    @Test func refusedWritesAreTriedAgainAndThenFail() async throws {
        let cluster = try await FakeCluster.start {
            $0.serial < 2 ? .error(FailureTests.unavailable) : .store
        }
        let client = try await connect(cluster)
        try await client.set("a", "1", level: .all)
        #expect(await cluster.requests.count == 3)
        await cluster.setScript { _ in .error(FailureTests.unavailable) }
        let error = await failure { () async throws(MartletError) in try await client.set("a", "1") }
        guard case .unavailable(let facts) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect((facts.required, facts.alive) == (3, 2))
        #expect(facts.down == ["n3"])
        #expect(await cluster.requests.count == 7)
        await client.close()
    }

    @Test func theBudgetBoundsRetries() async throws {
        let cluster = try await FakeCluster.start { _ in .error(FailureTests.unavailable) }
        let client = try await connect(cluster) {
            $0.retries.budgetPercent = 10
            $0.retries.budgetPerSecond = 0
            $0.retries.pauseMin = .milliseconds(1)
        }
        for _ in 0..<200 {
            _ = await failure { () async throws(MartletError) in try await client.set("a", "1") }
        }
        // What the bucket held at the beginning, and a tenth of the calls; and the client's own questions.
        #expect(await cluster.requests.count <= 200 + 10 + 20 + 5)
        await client.close()
    }

    @Test func aDeadlineEndsTheWaitAndALateAnswerIsNobodyElses() async throws {
        let cluster = try await FakeCluster.start(nodes: 1) { $0.words[1] == "slow" ? .hold("slow") : .store }
        let client = try await connect(cluster) { $0.connectionsPerNode = 1 }
        await cluster.put("slow", "late")
        await cluster.put("fast", "right")
        let error = await failure { () async throws(MartletError) in
            try await client.get("slow", within: .milliseconds(30))
        }
        #expect(
            error
                == .deadlineExceeded(.init(mayHaveHappened: false, version: nil, node: cluster.addresses[0])))
        async let next = client.get("fast")
        try await until("it was asked") { await cluster.requests.count == 2 }
        await cluster.release("slow")
        #expect(try await next?.string == "right")
        await client.close()
    }

    @Test func aCancelledTaskStopsWaiting() async throws {
        let cluster = try await FakeCluster.start { _ in .silence }
        let client = try await connect(cluster)
        let task = Task { try await client.set("a", "1") }
        try await until("it was asked") { await cluster.requests.count == 1 }
        task.cancel()
        let result = await task.result
        guard case .failure(let error as MartletError) = result, case .cancelled(let facts) = error else {
            Issue.record("\(result)")
            return
        }
        #expect(facts.mayHaveHappened)
        // Cancelled before it began: it is never sent.
        let never = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await client.set("a", "2")
        }
        guard case .failure(let error as MartletError) = await never.result else {
            Issue.record("a cancelled task has written")
            return
        }
        #expect(!error.mayHaveHappened)
        #expect(await cluster.requests.count == 1)
        #expect(try await client.status().callsUnderWay == 0)
        await client.close()
    }

    @Test func aSilentNodeIsGivenUp() async throws {
        let cluster = try await FakeCluster.start(nodes: 2) { $0.node == 0 ? .silence : .store }
        let client = try await connect(cluster) {
            $0.silenceMax = .milliseconds(100)
            // On a busy machine the other may seem silent for a while too.
            $0.retries.attemptsMax = 100
            $0.retries.budgetPerSecond = 100_000
        }
        await cluster.put("{0}", "1")
        // Both nodes are asked for something, so one of these has to be given up first.
        for key in ["a", "b", "c", "d", "e"] { _ = try await client.get(key) }
        #expect(await cluster.requests.contains { $0.node == 0 })
        await client.close()
    }

    @Test func aReadThatTakesLongAsksASecondNode() async throws {
        let cluster = try await FakeCluster.start { $0.serial == 0 ? .silence : .store }
        let client = try await connect(cluster) { $0.speculation = .after(.milliseconds(20)) }
        try await until("all are connected") { try await client.status().nodes.allSatisfy(\.isConnected) }
        await cluster.put("a", "1")
        #expect(try await client.get("a")?.string == "1")
        let asked = await cluster.requests.map(\.node)
        #expect(asked.count == 2 && asked[0] != asked[1])
        #expect(try await client.status().speculations == 1)
        await client.close()
    }

    /// A client to whose first node every request fails until its breaker is open.
    private func connectUntilOpen(_ cluster: FakeCluster, pause: Duration) async throws -> MartletClient {
        let client = try await connect(cluster) {
            // However slowly the requests come.
            $0.circuitBreaker.window = .seconds(3600)
            $0.circuitBreaker.pauseMin = pause
            $0.circuitBreaker.pauseMax = pause
            $0.retries.budgetPerSecond = 100_000
        }
        try await until("all are connected") { try await client.status().nodes.allSatisfy(\.isConnected) }
        try await until("the breaker has opened") {
            for number in 0..<50 { _ = try await client.get("key:\(number)") }
            return try await client.status().nodes[0].breaker != .closed
        }
        return client
    }

    static let overloaded = "OVERLOADED node=n1 limit=in_flight_max: no"

    @Test func aNodeThatKeepsFailingIsLeftAlone() async throws {
        let cluster = try await FakeCluster.start { $0.node == 0 ? .error(Self.overloaded) : .store }
        let client = try await connectUntilOpen(cluster, pause: .seconds(3600))
        let before = await cluster.requests.filter { $0.node == 0 }.count
        for number in 0..<50 { _ = try await client.get("key:\(number)") }
        #expect(await cluster.requests.filter { $0.node == 0 }.count == before)
        await client.close()
    }

    @Test func aNodeThatFailedIsAskedAgainWhenAProbeSucceeds() async throws {
        let cluster = try await FakeCluster.start { $0.node == 0 ? .error(Self.overloaded) : .store }
        let client = try await connectUntilOpen(cluster, pause: .milliseconds(1))
        await cluster.setScript { _ in .store }
        try await until("a probe has closed it") {
            for number in 0..<50 { _ = try await client.get("key:\(number)") }
            return try await client.status().nodes[0].breaker == .closed
        }
        await client.close()
    }
}
