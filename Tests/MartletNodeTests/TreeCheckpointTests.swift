import MartletBase
import MartletMerkle
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import Testing

/// A start believes what the last run wrote down of its trees when the store is where that run left it.
@Suite struct TreeCheckpointTests {
    private static let lastWrite = SequenceNumber(77)

    /// Two owners that have exchanged; the first has stopped, and this is what it left.
    private func stopped() throws -> (cluster: ScriptedCluster, trees: Blob, end: RunEnd) {
        let cluster = ScriptedCluster(nodes: 2) {
            $0.repairInterval = .seconds(2)
            $0.keepsHints = false
            // A floor that rises makes sums out of date.
            $0.purges = false
        }
        cluster.start()
        cluster.advance(.seconds(1))
        for i in 0..<100 {
            let key = Blob("k\(i)")
            let stamp = Stamp(
                time: HybridTime(WallTime(milliseconds: 1_600_000_000_000)),
                writer: Writer(node: 1, boot: 1, shard: 0))
            let record = Register(stamp: stamp, value: .present(key)).encoded()
            for member in cluster.members {
                member.disk[StorageKey(keyspace: 0, token: Token(key: key).value, key: key)] = record
            }
        }
        func complete() -> UInt64 {
            cluster.members.reduce(0) { $0 + $1.node.currentMetrics().exchangesComplete }
        }
        for _ in 0..<200 where complete() == 0 { cluster.advance(.milliseconds(50)) }
        try #require(complete() > 0 && cluster.members[0].node.currentMetrics().leavesDirty == 0)
        let boot = cluster.members[0].configuration.boot
        cluster.shutDown(0)
        cluster.advance(.seconds(5))
        try #require(cluster.members[0].stopped == .drained)
        let trees = cluster.members[0].node.treeCheckpoint(lastWrite: Self.lastWrite)
        cluster.kill(0)
        return (cluster, trees, RunEnd(boot: boot, lastWrite: Self.lastWrite))
    }

    private func leavesKnown(_ cluster: ScriptedCluster) -> UInt64 {
        cluster.members[0].node.currentMetrics().leavesRecovered
    }

    private func reason(_ cluster: ScriptedCluster) -> String? {
        for report in cluster.members[0].reports {
            if case .treesForgotten(let reason) = report { return reason.description }
        }
        return nil
    }

    @Test func aCleanStartKnowsWhatTheLastRunKnew() throws {
        let (cluster, trees, end) = try stopped()
        cluster.restart(0, end: end, trees: trees)
        #expect(leavesKnown(cluster) == UInt64(MerkleTree.leavesMax) && reason(cluster) == nil)
        let before = cluster.members[0].node.currentMetrics()
        cluster.advance(.seconds(10))
        let metrics = cluster.members[0].node.currentMetrics()
        let complete = metrics.exchangesComplete + cluster.members[1].node.currentMetrics().exchangesComplete
        #expect(complete > 0 && metrics.rescanRecords == before.rescanRecords)
    }

    @Test func anotherRunOrWriteIsNotBelieved() throws {
        for isLaterRun in [false, true] {
            let (cluster, trees, end) = try stopped()
            let other =
                isLaterRun
                ? RunEnd(boot: end.boot + 1, lastWrite: end.lastWrite)
                : RunEnd(boot: end.boot, lastWrite: SequenceNumber(78))
            cluster.restart(0, end: other, trees: trees)
            #expect(leavesKnown(cluster) == 0)
            #expect(reason(cluster) == "the checkpoint is of an earlier state of the store")
            cluster.advance(.seconds(10))
            #expect(cluster.members[0].node.currentMetrics().rescanRecords > 0)
        }
    }

    @Test func aDamagedOrMissingCheckpointIsRebuilt() throws {
        let (cluster, trees, end) = try stopped()
        var random = Random(seed: 4)
        var bad: [Blob?] = [nil, Blob(""), Blob("MTRE"), Blob(Array(trees.bytes.dropLast()))]
        for _ in 0..<10 {
            var bytes = trees.bytes
            bytes[random.below(bytes.count)] ^= UInt8(1 << random.below(8))
            bad.append(Blob(bytes))
        }
        for stored in bad {
            cluster.restart(0, end: end, trees: stored)
            #expect(leavesKnown(cluster) == 0)
            #expect(reason(cluster) == (stored == nil ? "no checkpoint" : "the checkpoint is damaged"))
            cluster.kill(0)
        }
        cluster.restart(0, end: end, trees: nil)
        cluster.advance(.seconds(10))
        #expect(cluster.members[0].node.currentMetrics().rescanRecords > 0)
    }
}
