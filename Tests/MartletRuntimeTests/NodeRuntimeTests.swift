import MartletBase
import MartletGossip
import MartletLoop
import MartletNode
import MartletRing
import MartletRuntime
import MartletStorage
import MartletVersions
import Testing

@Suite struct NodeRuntimeTests {
    private final class Replies {
        var replies: [UInt64: ClientReply] = [:]
        var stopped: StopReason?
        var runtime: NodeRuntime!
    }

    private func put(_ value: String) -> ClientRequest {
        ClientRequest(keyspace: 0, key: Blob("k"), operation: .put(Put(.value(Blob(value), expiry: nil))))
    }

    /// A node by itself, on a port that was just free; `body` runs once it serves.
    private func withNode(
        _ engine: FaultyEngine, _ body: @escaping (EventLoop, NodeRuntime) -> Void,
        onReply: @escaping (EventLoop, UInt64, ClientReply) -> Void = { _, _, _ in }
    ) throws -> StopReason? {
        let replies = Replies()
        try withLoop { loop in
            let free = try TCPListener(loop, Address(ip: .loopback, port: 0)) { _ in }
            let port = free.address.port
            free.close()
            var random = Random(seed: 11)
            let configuration = NodeConfiguration(
                cluster: "test", id: NodeID(random: &random), name: "n1", address: .loopback,
                ports: NodePorts(peers: port, redis: 0, redisCluster: 0, http: 0), version: "0.0.0", epoch: 1,
                boot: 1, seed: 1, founders: [.init(name: "n1", address: Address(ip: .loopback, port: port))],
                seeds: [],
                keyspaces: [KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(1))],
                gossip: GossipSettings(clusterName: "test"))
            let runtime = try NodeRuntime(
                loop, configuration, recovered: RecoveredState(), engine: engine, durability: .batch,
                reserve: { _ throws(StorageError) in },
                listeners: NodeRuntime.Listeners(
                    onReply: { [unowned loop] in onReply(loop, $0.number, $1) }, onReport: { _ in },
                    onStop: { [unowned replies, unowned loop] in
                        replies.stopped = $0
                        replies.runtime.close()
                        loop.stop()
                    }))
            replies.runtime = runtime
            runtime.start()
            body(loop, runtime)
        }
        return replies.stopped
    }

    @Test func putsOfOneLongTurnAreStampedWithTheTimeAtWhichTheyCame() throws {
        var stamps: [Stamp] = []
        var node: NodeRuntime?
        let reason = try withNode(FaultyEngine()) { _, runtime in
            node = runtime
            runtime.submit(ClientTicket(1), put("1"))
        } onReply: { loop, ticket, reply in
            if case .written(let stamp) = reply { stamps.append(stamp) }
            guard ticket == 1 else { return loop.stop() }
            // The process is stopped in the middle of a turn.
            let resumed = ContinuousClock.now + .milliseconds(40)
            while ContinuousClock.now < resumed {}
            // As a connection does when it has received something.
            loop.updateNow()
            node?.submit(ClientTicket(2), put("2"))
        }
        #expect(reason == nil)
        #expect(stamps.count == 2)
        #expect((stamps.last?.time.milliseconds ?? 0) - (stamps.first?.time.milliseconds ?? 0) >= 30)
    }

    @Test func aFailedSyncStopsTheNodeForItsStorage() throws {
        let engine = FaultyEngine()
        var replies = 0
        let reason = try withNode(engine) { _, runtime in
            engine.change { $0.sync = .failedSync("EIO") }
            runtime.submit(ClientTicket(1), put("1"))
        } onReply: { _, _, _ in
            replies += 1
        }
        guard case .storage(let text)? = reason else {
            Issue.record("the node went on after a failed fsync: \(String(describing: reason))")
            return
        }
        #expect(text.contains("EIO"))
        #expect(replies <= 1)
    }

    @Test func aShutDownNodeDrainsAndAnswersWhatComesAfterwards() throws {
        var after: ClientReply?
        let reason = try withNode(FaultyEngine()) { _, runtime in
            runtime.submit(ClientTicket(1), put("1"))
            runtime.shutDown()
            runtime.submit(ClientTicket(2), put("2"))
        } onReply: { _, ticket, reply in
            if ticket == 2 { after = reply }
        }
        #expect(reason == .drained)
        guard case .failed(.stopping)? = after else {
            Issue.record("a put after the shutdown: \(String(describing: after))")
            return
        }
    }
}
