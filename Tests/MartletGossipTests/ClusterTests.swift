import MartletBase
import MartletGossip
import MartletSimulator
import Testing

/// What happens to clusters: starts, partitions, restarts, goodbyes, facts that spread.
@Suite struct ClusterTests {
    static let seeds: Range<UInt64> = 0..<6

    static func key(_ n: UInt64) -> RumourKey { RumourKey(kind: 2, id: NodeID(short: n, middle: 0, low: 0)) }

    // MARK: Starting

    @Test(arguments: seeds) func membersStartInAnyOrderWithSeedsDown(_ seed: UInt64) {
        var network = GossipNetwork(seed: seed)
        for _ in 0..<8 { _ = network.add() }
        for node in 0..<8 { network.kill(node) }
        var order = Array(0..<8)
        network.random.shuffle(&order)
        for node in order {
            network.restart(node, incarnation: 1, seeds: [0, 1, 2])
            network.run(for: network.random.within(.zero...(.seconds(20))))
        }
        let took = network.run(for: .seconds(60)) { $0.everybodyIsUpEverywhere }
        #expect(took != nil, "seed \(seed)")
        #expect(network.nodes.allSatisfy { $0.gossip.members.count == 8 })
    }

    @Test func clustersStartedApartBecomeOneThroughTheirSeeds() {
        var network = GossipNetwork(seed: 1)
        for _ in 0..<6 { _ = network.add() }
        for node in 3..<6 { network.nodes[node].side = 1 }
        for node in 0..<6 { network.start(node, seeds: [0, 3]) }
        network.run(for: .seconds(30))
        #expect(network.nodes.allSatisfy { $0.gossip.members.count == 3 })
        for node in 3..<6 { network.nodes[node].side = 0 }
        #expect(network.run(for: .seconds(40)) { $0.everybodyIsUpEverywhere } != nil)
        #expect(network.nodes.allSatisfy { $0.gossip.members.count == 6 })
    }

    /// Who restarts knows nobody; two find each other, and so wait no longer for somebody to be known.
    @Test(arguments: seeds) func pairsRestartedApartBecomeOneAlthoughMostSeedsAreDown(_ seed: UInt64) {
        var network = GossipNetwork(seed: seed)
        for _ in 0..<9 { _ = network.add() }
        for node in 4..<9 { network.kill(node) }
        for node in 2..<4 { network.nodes[node].side = 1 }
        for node in 0..<4 { network.start(node, seeds: Array(0..<9)) }
        network.run(for: .minutes(1))
        #expect(network.nodes[..<4].allSatisfy { $0.gossip.members.count == 2 }, "seed \(seed)")
        for node in 2..<4 { network.nodes[node].side = 0 }
        let took = network.run(for: .minutes(2)) { $0.everybodyIsUpEverywhere }
        #expect(took.map { $0 <= .seconds(20) } == true, "seed \(seed): \(String(describing: took))")
    }

    @Test func someoneAloneSaysThatItWaits() {
        var network = GossipNetwork(seed: 1)
        for _ in 0..<2 { _ = network.add() }
        network.kill(1)
        network.start(0, seeds: [0, 1])
        network.run(for: .seconds(60))
        let waits = network.reports.filter { if case .joinWaiting = $0.report { true } else { false } }
        #expect((6...20).contains(waits.count), "\(waits.count) attempts in a minute")
    }

    // MARK: Partitions

    @Test(arguments: seeds, [3, 12, 30]) func aHealedPartitionRejoins(_ seed: UInt64, _ nodes: Int) {
        var network = GossipNetwork.settled(nodes, seed: seed)
        let cut = nodes / 3
        for node in 0..<cut { network.nodes[node].side = 1 }
        network.run(for: .minutes(3))
        for a in 0..<nodes {
            for b in 0..<nodes {
                let expected: Liveness = (a < cut) == (b < cut) ? .up : .down
                #expect(network.nodes[a].gossip.liveness(of: network.id(b)) == expected, "seed \(seed)")
            }
        }
        let healed = network.now
        for node in 0..<cut { network.nodes[node].side = 0 }
        let took = network.run(for: .minutes(2)) { $0.everybodyIsUpEverywhere }
        #expect(took.map { $0 <= .seconds(10) } == true, "seed \(seed): \(String(describing: took))")
        network.run(for: .minutes(1))
        #expect(network.everybodyIsUpEverywhere, "seed \(seed)")
        let flaps = network.changes.filter { $0.at > healed && $0.liveness == .down }
        #expect(flaps.isEmpty, "seed \(seed): nobody is declared down by the healing itself")
    }

    @Test func aDeafMemberDoesNotBringTheOthersDown() {
        // It sends but receives nothing: so it suspects everybody, and hears no refutation.
        var network = GossipNetwork.settled(10, seed: 7)
        let changes = network.changes.count
        network.nodes[0].isDeaf = true
        network.run(for: .minutes(1))
        let wronged = network.changes[changes...].filter {
            $0.liveness == .down && $0.observer != 0 && $0.member != network.id(0)
        }
        #expect(wronged.isEmpty, "\(wronged.count) times")
        #expect(network.nodes[0].gossip.localHealthScore > 0)
    }

    @Test(arguments: seeds) func theLastOfThreeIsNotLeftWaiting(_ seed: UInt64) {
        var network = GossipNetwork.settled(3, seed: seed)
        network.kill(1)
        network.kill(2)
        let took = network.run(for: .minutes(1)) {
            $0.allLiving(believe: 1, .down) && $0.allLiving(believe: 2, .down)
        }
        #expect(took.map { $0 <= .seconds(10) } == true, "seed \(seed): \(String(describing: took))")
        for node in 1...2 { network.restart(node, incarnation: 2, seeds: [0, 1, 2]) }
        #expect(network.run(for: .seconds(3)) { $0.everybodyIsUpEverywhere } != nil, "seed \(seed)")
    }

    // MARK: Restarts and goodbyes

    @Test(arguments: seeds) func aRestartWithAGreaterIncarnationIsUpAtOnce(_ seed: UInt64) {
        for away in [Interval.milliseconds(100), .seconds(2), .seconds(30)] {
            var network = GossipNetwork.settled(5, seed: seed)
            network.kill(3)
            network.run(for: away)
            network.restart(3, incarnation: 50, seeds: [0, 1])
            let took = network.run(for: .seconds(30)) { network in
                network.everybodyIsUpEverywhere
                    && network.nodes.allSatisfy { $0.gossip.member(network.id(3))?.incarnation ?? 0 >= 50 }
            }
            #expect(took.map { $0 <= .seconds(2) } == true, "seed \(seed): \(String(describing: took))")
        }
    }

    @Test(arguments: seeds) func aRestartWithAStaleIncarnationFindsOutAndRisesAboveIt(_ seed: UInt64) {
        var network = GossipNetwork.settled(5, seed: seed)
        network.kill(3)
        network.restart(3, incarnation: 70, seeds: [0])
        network.run(for: .seconds(10))
        network.kill(3)
        network.run(for: .seconds(30))
        network.restart(3, incarnation: 2, seeds: [0])
        let took = network.run(for: .seconds(30)) { $0.everybodyIsUpEverywhere }
        #expect(took.map { $0 <= .seconds(3) } == true, "seed \(seed): \(String(describing: took))")
        #expect(network.nodes[3].gossip.incarnation > 70)
    }

    @Test(arguments: seeds) func aGoodbyeIsKnownSoonAndIsNoFailure(_ seed: UInt64) {
        var network = GossipNetwork.settled(12, seed: seed)
        network.handle(5, .leave)
        let took = network.run(for: .seconds(30)) { $0.allLiving(believe: 5, .left) }
        #expect(took.map { $0 <= .seconds(2) } == true, "seed \(seed): \(String(describing: took))")
        network.run(for: .seconds(4))
        #expect(network.reports.contains { $0.node == 5 && $0.report == .goodbyeSpread }, "seed \(seed)")
        network.kill(5)
        network.run(for: .minutes(2))
        #expect(network.allLiving(believe: 5, .left))
        #expect(!network.changes.contains { $0.liveness == .suspect || $0.liveness == .down })
        network.restart(5, incarnation: 2, seeds: [0])
        #expect(network.run(for: .seconds(3)) { $0.everybodyIsUpEverywhere } != nil, "seed \(seed)")
    }

    @Test func aLastGoodbyeIsDoneAtOnce() {
        var network = GossipNetwork(seed: 1)
        _ = network.add()
        network.start(0, seeds: [])
        network.handle(0, .leave)
        #expect(network.reports.contains { $0.report == .goodbyeSpread })
    }

    // MARK: Facts

    @Test(arguments: seeds) func aFactReachesEverybodyAndLaterMembersToo(_ seed: UInt64) {
        var network = GossipNetwork.settled(20, seed: seed, loss: 0.05)
        network.publish(4, Self.key(1), 1)
        network.publish(5, Self.key(1), 2)
        network.publish(6, Self.key(2), 3, bytes: 300)
        network.run(for: .seconds(3))
        let new = network.add()
        network.start(new, seeds: [7])
        network.run(for: .seconds(3))
        for node in network.nodes {
            #expect(node.facts == [Self.key(1): 2, Self.key(2): 3], "seed \(seed)")
        }
    }

    @Test(arguments: seeds) func aFactTooLargeForAPacketGoesByPushPull(_ seed: UInt64) {
        var network = GossipNetwork.settled(12, seed: seed)
        network.publish(4, Self.key(1), 1, bytes: Limits.rumourBytesMax)
        network.run(for: .seconds(10))
        #expect(network.nodes.allSatisfy { $0.facts == [Self.key(1): 1] }, "seed \(seed)")
    }

    @Test func aFactMissedInAPartitionIsHealedByPushPull() {
        var network = GossipNetwork.settled(6, seed: 3)
        network.nodes[0].side = 1
        network.publish(0, Self.key(1), 5)
        network.publish(1, Self.key(1), 4)
        network.publish(2, Self.key(9), 1)
        network.run(for: .minutes(1))
        network.nodes[0].side = 0
        network.run(for: .seconds(45))
        #expect(network.nodes.allSatisfy { $0.facts == [Self.key(1): 5, Self.key(9): 1] })
    }

    @Test func aRetractedFactIsNoLongerTold() {
        var network = GossipNetwork.settled(3, seed: 1)
        network.publish(0, Self.key(1), 5)
        network.run(for: .seconds(5))
        for node in network.nodes.indices { network.handle(node, .retract(Self.key(1))) }
        let new = network.add()
        network.start(new, seeds: [0])
        network.run(for: .minutes(2))
        #expect(network.nodes[new].facts.isEmpty)
    }

    @Test func manyFactsAtOnceKeepTheirPacketsWithinTheBudget() {
        var network = GossipNetwork.settled(10, seed: 1)
        for n in UInt64(0)..<300 { network.publish(Int(n % 10), Self.key(n), n + 1, bytes: 8 + Int(n)) }
        network.run(for: .seconds(60))
        #expect(network.nodes.allSatisfy { $0.facts.count == 300 })
    }

    // MARK: Clocks

    @Test func probesSampleTheOthersClocks() {
        var network = GossipNetwork.settled(5, seed: 1)
        for node in network.nodes.indices {
            network.nodes[node].clockOffset = .milliseconds(Int64(node) * 700 - 900)
            network.nodes[node].worstClockError = .zero
        }
        network.run(for: .milliseconds(10))
        for node in network.nodes.indices { network.nodes[node].worstClockError = .zero }
        network.run(for: .seconds(60))
        for node in network.nodes {
            #expect(node.worstClockError > .zero && node.worstClockError <= .milliseconds(2))
        }
    }
}
