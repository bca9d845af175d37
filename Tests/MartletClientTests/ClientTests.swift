import MartletBase
import MartletClient
import MartletRing
import Testing

/// Calls, their routes and their ends, against scripted nodes over real sockets.
@Suite struct ClientTests {
    @Test func readsAndWrites() async throws {
        let cluster = try await FakeCluster.start()
        let client = try await connect(cluster)
        #expect(try await client.get("a") == nil)
        let receipt = try await client.set("a", "1", expires: .after(.seconds(60)), level: .all)
        #expect(receipt.version.text == "v1")
        #expect(try await client.get("a")?.string == "1")
        #expect(try await client.get("a", level: .one)?.string == "1")
        #expect(try await client.getVersioned("a").context?.text == "c")
        #expect(try await client.exists("a"))
        #expect(try await client.timeToLive("a") == .left(.milliseconds(1_500)))
        #expect(try await client.expire("a", after: .seconds(1)))
        #expect(try await !client.persist("a"))
        try await client.delete("a", context: receipt.context, within: .seconds(9))
        #expect(try await client.get([0x61]) == nil)
        #expect(try await client.timeToLive("a") == .missing)
        #expect(try await client.send("GET", "a", key: "a") == .null)
        let words = await cluster.requests.map(\.words)
        #expect(words[1] == ["VSET", "a", "1", "CONSISTENCY", "ALL", "PX", "60000"])
        #expect(words[3] == ["VGET", "a", "CONSISTENCY", "ONE"])
        #expect(words[6] == ["PTTL", "a"])
        #expect(words[9].starts(with: ["VDEL", "a", "CONTEXT", "v1", "TIMEOUT"]))
        await client.close()
    }

    @Test func manyTasksShareOnePipelineAndGetTheirOwnAnswers() async throws {
        let cluster = try await FakeCluster.start()
        let client = try await connect(cluster) { $0.connectionsPerNode = 1 }
        for number in 0..<2_000 { await cluster.put("key:\(number)", "value:\(number)") }
        try await withThrowingTaskGroup { group in
            for number in 0..<2_000 {
                group.addTask { try await client.get("key:\(number)")?.string == "value:\(number)" }
            }
            for try await isRight in group { #expect(isRight) }
        }
        #expect(await cluster.connectionsMade == [1, 1, 1])
        #expect(await cluster.inFlightMax <= 256)
        await client.close()
    }

    @Test func everyConnectionSelectsTheKeyspaceBeforeItAsks() async throws {
        let cluster = try await FakeCluster.start()
        let client = try await connect(cluster) { $0.keyspace = "sessions" }
        for number in 0..<50 { try await client.set("key:\(number)", "1") }
        let made = await cluster.connectionsMade.reduce(0, +)
        #expect(await cluster.selected == Array(repeating: "sessions", count: made))
        await client.close()
        let error = await failure { () throws(MartletError) in
            var configuration = MartletClient.Configuration(seeds: cluster.addresses)
            configuration.keyspace = "nope"
            return try await MartletClient.connect(to: configuration)
        }
        #expect(error.map { "\($0)" }?.contains("there are default") == true, "\(String(describing: error))")
    }

    @Test func eachKeyIsAskedOfItsOwner() async throws {
        let cluster = try await FakeCluster.start()
        let client = try await connect(cluster)
        // Every node is connected to before the routes are looked at.
        try await until("all are connected") { try await client.status().nodes.allSatisfy(\.isConnected) }
        for number in 0..<300 { _ = try await client.get("key:\(number)") }
        for request in await cluster.requests {
            let slot = Int(Slot(key: Blob(request.words[1]).span).index)
            #expect(request.node == slot * 3 / Limits.slots, "\(request.words[1])")
        }
        let status = try await client.status()
        #expect(status.isTokenAware)
        #expect(status.nodes.compactMap(\.slots).reduce(0, +) == Limits.slots)
        await client.close()
    }

    @Test func whereNoTopologyIsToldTheSeedsAreAskedInTurn() async throws {
        let cluster = try await FakeCluster.start(isCluster: false)
        let client = try await connect(cluster)
        try await until("all are connected") { try await client.status().nodes.allSatisfy(\.isConnected) }
        for _ in 0..<30 { _ = try await client.get("one") }
        let asked = Set(await cluster.requests.map(\.node))
        #expect(asked == [0, 1, 2])
        #expect(try await !client.status().isTokenAware)
        await client.close()
    }

    @Test func aNewTopologyIsFollowed() async throws {
        let cluster = try await FakeCluster.start()
        let client = try await connect(cluster) { $0.topologyInterval = .milliseconds(20) }
        await cluster.giveAll(to: 1)
        try await until("the new owner is asked") {
            _ = try await client.get("foo")
            return await cluster.requests.last?.node == 1
        }
        try await until("the others are let go") { try await client.status().nodes.count == 1 }
        await cluster.give(to: [0, 2])
        try await until("they are back") {
            _ = try await client.get("foo")
            return await cluster.requests.last?.node == 2
        }
        await client.close()
    }

    @Test func bigValuesGoBothWays() async throws {
        let cluster = try await FakeCluster.start()
        let client = try await connect(cluster)
        var value = Array(UInt8.min...UInt8.max)
        while value.count < 16 << 20 { value += value }
        try await client.set("big", value)
        #expect(try await client.get("big")?.array == value)
        await client.close()
    }

    @Test func eachKeyOfABatchHasItsOwnOutcome() async throws {
        let cluster = try await FakeCluster.start { request in
            request.words[1] == "bad" ? .error("ERR no good") : .store
        }
        let client = try await connect(cluster)
        let written = try await client.setMany([("a", "1"), ("bad", "2"), ("c", "3")])
        #expect(written.map { (try? $0.get()) != nil } == [true, false, true])
        #expect(written[1] == .failure(.server(code: "ERR", text: "ERR no good")))
        let read = try await client.getMany(["c", "nothing", "bad", "a"])
        #expect(read[0] == .success("3") && read[1] == .success(nil) && read[3] == .success("1"))
        #expect(throws: MartletError.self) { try read[2].get() }
        #expect(try await client.getMany([String]()).isEmpty)
        await client.close()
    }

    @Test func theErrorsOfANodeAreTyped() async throws {
        let cluster = try await FakeCluster.start { _ in
            .error("TOOLARGE what=value bytes=9 max=8: nothing was done")
        }
        let client = try await connect(cluster)
        #expect(
            await failure { () throws(MartletError) in try await client.get("a") }
                == .tooLarge(what: "value", bytes: 9, max: 8))
        await client.close()
    }

    @Test func answersThatMakeNoSenseAreErrorsAndNotTraps() async throws {
        let cluster = try await FakeCluster.start { request in
            request.command == "GET" ? .value(.integer(1)) : .value(.array([.null]))
        }
        let client = try await connect(cluster)
        for call in ["get", "set", "scan", "ttl"] {
            let error = await failure { () async throws(MartletError) in
                switch call {
                case "get": _ = try await client.get("a")
                case "set": _ = try await client.set("a", "b")
                case "ttl": _ = try await client.timeToLive("a")
                default:
                    var keys = client.scan().makeAsyncIterator()
                    _ = try await keys.next(isolation: nil)
                }
            }
            guard case .unexpectedAnswer = error else {
                Issue.record("\(call): \(String(describing: error))")
                continue
            }
        }
        await client.close()
    }

    @Test func configurationsThatMakeNoSenseAreRefused() async throws {
        typealias Change = (inout MartletClient.Configuration) -> Void
        let changes: [Change] = [
            { $0.seeds = [] }, { $0.seeds = ["localhost"] }, { $0.callsMax = 0 }, { $0.callTime = .zero },
            { $0.speculation = .percentile(100) }, { $0.retries.attemptsMax = 0 },
            { $0.circuitBreaker.window = .seconds(-1) }, { $0.connectionsPerNode = 65 },
        ]
        for change in changes {
            var configuration = MartletClient.Configuration(seeds: ["127.0.0.1"])
            change(&configuration)
            let error = await failure { () async throws(MartletError) in
                try await MartletClient.connect(to: configuration)
            }
            guard case .invalidArgument = error else {
                Issue.record("\(configuration) was taken: \(String(describing: error))")
                continue
            }
        }
    }
}
