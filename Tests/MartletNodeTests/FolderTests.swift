import MartletBase
import MartletNode
import MartletRing
import MartletVersions
import MartletWire
import Testing

/// Data folders that aren't what they were, and who notices.
@Suite struct FolderTests {
    private func formed(_ count: Int = 3) -> ScriptedCluster {
        let cluster = ScriptedCluster(nodes: count)
        cluster.start()
        cluster.advance(.seconds(5))
        return cluster
    }

    private func age(_ epoch: UInt64, _ boot: UInt32, run: UInt64 = 1, time: UInt64 = 0) -> FolderAge {
        FolderAge(epoch: epoch, boot: boot, run: run, time: HybridTime(bits: time))
    }

    @Test func aFolderIsOlderByItsStartsOrByItsTime() {
        let known = age(3, 7, time: 100)
        // The same process connects again: what was heard since its start says nothing.
        #expect(!age(3, 7, time: 0).isOlder(than: known))
        #expect(!age(3, 8, run: 2, time: 100).isOlder(than: known))
        #expect(!age(4, 8, run: 2, time: 101).isOlder(than: known))
        // Started again since it was copied.
        #expect(age(2, 9, run: 2, time: 200).isOlder(than: known))
        #expect(age(3, 7, run: 2, time: 200).isOlder(than: known))
        #expect(age(3, 6, run: 2, time: 200).isOlder(than: known))
        // Not started again, but heard.
        #expect(age(4, 8, run: 2, time: 99).isOlder(than: known))
    }

    /// What a peer answers to a node's hello.
    private func farewell(_ cluster: ScriptedCluster, to hello: Hello) -> Farewell? {
        var refused: Farewell?
        cluster.onRefusal = { refused = $0 }
        cluster.inject(0, .hello(LinkID(2_000), hello))
        return refused
    }

    @Test func aCopyOfARunningFolderIsKnownByWhatWasHeardSince() throws {
        let cluster = formed()
        let before = cluster.members[2].ceiling
        cluster.advance(.seconds(10))
        _ = cluster.put(0, "k", "v", .all)
        let remembered = cluster.members[0].node.remembered(cluster.members[2].configuration.id)
        let known = try #require(remembered)
        #expect(known.time > before && known.time <= cluster.members[2].ceiling)
        var hello = cluster.members[2].node.hello
        hello.folder = FolderAge(
            epoch: known.epoch + 1, boot: known.boot + 1, run: known.run &+ 1, time: before)
        let refused = try #require(farewell(cluster, to: hello))
        #expect(refused.reason == .rolledBack)
        #expect(refused.known?.folder == known)
        hello.folder.time = cluster.members[2].ceiling
        #expect(farewell(cluster, to: hello) == nil)
    }

    @Test func aNodeThatIsToldSoStopsToBeRebuiltAboveAllThatIsKnown() throws {
        let cluster = formed()
        let own = cluster.members[2].configuration
        let known = age(40, 50, time: cluster.members[2].ceiling.bits + 5)
        let farewell = Farewell(
            .rolledBack, "older", known: Farewell.Known(id: own.id, folder: known))
        cluster.inject(2, .refusedByPeer(ScriptedCluster.address(0), farewell))
        guard case .rebuild(let order, _)? = cluster.members[2].stopped else {
            Issue.record("it goes on")
            return
        }
        #expect(order.id == own.id && order.epoch == 41 && order.ceiling == known.time)
        #expect(order.boot >= RebuildOrder.bootNumber(cluster.time.wall))
    }

    @Test func anotherNodesNumbersAreNoReasonToRebuild() {
        let cluster = formed()
        let farewell = Farewell(
            .rolledBack, "older",
            known: Farewell.Known(id: cluster.members[1].configuration.id, folder: age(40, 50)))
        cluster.inject(2, .refusedByPeer(ScriptedCluster.address(0), farewell))
        guard case .identity? = cluster.members[2].stopped else {
            Issue.record("it took another's epoch")
            return
        }
    }

    @Test func aLostFolderTakesTheIdThatTheRingKnows() throws {
        let cluster = formed()
        let id = cluster.members[2].configuration.id
        cluster.kill(2)
        cluster.advance(.seconds(20))
        cluster.replaceWithEmptyFolder(2)
        cluster.advance(.seconds(5))
        guard case .rebuild(let order, let text)? = cluster.members[2].stopped else {
            Issue.record("a wiped node goes on under an id of its own")
            return
        }
        #expect(order.id == id && order.epoch > 1)
        #expect(text.contains("lost or replaced"))
        #expect(cluster.put(0, "k", "v")?.stamp != nil)
    }

    @Test func theNameOfALivingNodeIsNotGivenAway() throws {
        let cluster = formed()
        var hello = cluster.members[2].node.hello
        var random = Random(seed: 3)
        hello = Hello(cluster: hello.cluster, id: NodeID(random: &random), name: "n3", folder: age(1, 1))
        #expect(farewell(cluster, to: hello)?.reason == .nameTaken)
        cluster.kill(2)
        cluster.advance(.seconds(20))
        #expect(farewell(cluster, to: hello)?.reason == .lostFolder)
    }

    /// Until the others vouch for it, a node answers no reads; after a while it does without the silent ones.
    @Test func aNodeWaitsToBeVouchedFor() {
        let cluster = formed()
        #expect(cluster.put(0, "k", "v", .all)?.stamp != nil)
        cluster.kill(0)
        cluster.kill(1)
        cluster.kill(2)
        cluster.restart(2)
        // Not UNAVAILABLE: it doesn't know yet who is there.
        #expect(cluster.get(2, "k", .one)?.failure == .loading(waits: ["n1", "n2"]))
        #expect(cluster.put(2, "k", "w", .all)?.failure == .loading(waits: ["n1", "n2"]))
        cluster.advance(Limits.vouchingMax + .milliseconds(20))
        #expect(cluster.get(2, "k", .one)?.value == "v")
        guard
            case .unavailable(.read, .all, required: 3, alive: 1, ["n3"], ["n1", "n2"])? =
                cluster.get(2, "k", .all)?.failure
        else {
            Issue.record("it doesn't say who is missing")
            return
        }
    }

    @Test func whatIsKnownOfFoldersSurvivesTheWire() throws {
        let known = Farewell.Known(
            id: NodeID(short: 1, middle: 2, low: 3), folder: age(4, 5, run: 6, time: 7))
        for message in [
            Message.farewell(Farewell(.lostFolder, "text", known: known)),
            .farewell(Farewell(.leaving, "text")), .viewWanted,
        ] {
            var writer = ByteWriter()
            Frame(time: .zero, message: message).write(to: &writer)
            guard case .frame(let frame, _) = try Frame.scan(writer.bytes.span.bytes) else {
                Issue.record("half a frame")
                continue
            }
            #expect(frame.message == message)
        }
    }
}
