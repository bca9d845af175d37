import MartletBase
import MartletGossip
import MartletSimulator
import Testing

/// The aims of membership, with default settings, in `GossipNetwork`. Each figure is over seeds, and a
/// failure names its seed.
@Suite struct AimsTests {
    static func median(_ times: [Interval]) -> Interval { times.sorted()[times.count / 2] }

    /// How long until every living member holds a killed one down, for each seed.
    static func detections(nodes: Int, loss: Double, seeds: Range<UInt64>) -> [Interval] {
        seeds.map { seed in
            var network = GossipNetwork.settled(nodes, seed: seed, loss: loss)
            #expect(network.everybodyIsUpEverywhere, "seed \(seed)")
            network.run(for: network.random.within(.zero...(.seconds(3))))
            let victim = network.random.below(nodes)
            network.kill(victim)
            let took = network.run(for: .seconds(60)) { $0.allLiving(believe: victim, .down) }
            return took ?? .seconds(60)
        }
    }

    @Test func aKilledMemberOf30IsKnownToAllWithin5SecondsInTheMedian() {
        let times = Self.detections(nodes: 30, loss: 0, seeds: 0..<30)
        #expect(Self.median(times) <= .seconds(5), "\(times.map(\.milliseconds)) ms")
        #expect(times.allSatisfy { $0 <= .seconds(10) }, "\(times.map(\.milliseconds)) ms")
    }

    @Test func aKilledMemberOf100IsKnownToAllWithin8SecondsDespiteLoss() {
        let times = Self.detections(nodes: 100, loss: 0.05, seeds: 0..<16).sorted()
        // When nobody happens to probe it for long, it takes longer; a broken connection would tell in time.
        #expect(times[13] <= .seconds(8), "\(times.map(\.milliseconds)) ms")
        #expect(times[15] <= .seconds(12), "\(times.map(\.milliseconds)) ms")
    }

    @Test func aKilledMemberOf3IsKnownToBothOthersSoon() {
        let times = Self.detections(nodes: 3, loss: 0, seeds: 0..<50)
        #expect(Self.median(times) <= .seconds(5), "\(times.map(\.milliseconds)) ms")
        #expect(times.allSatisfy { $0 <= .seconds(8) }, "\(times.map(\.milliseconds)) ms")
    }

    @Test func aBrokenConnectionSparesTheWaitForTheProbe() {
        for seed in UInt64(0)..<20 {
            var network = GossipNetwork.settled(3, seed: seed)
            network.kill(2)
            for other in 0...1 { network.handle(other, .connectionBroke(network.id(2))) }
            let took = network.run(for: .seconds(60)) { $0.allLiving(believe: 2, .down) } ?? .seconds(60)
            #expect(took <= .milliseconds(3_300), "seed \(seed): \(took.milliseconds) ms")
        }
    }

    @Test func aNewMemberIsKnownToAll30Within3Seconds() {
        for seed in UInt64(0)..<20 {
            var network = GossipNetwork.settled(29, seed: seed)
            let new = network.add()
            network.start(new, seeds: [0, 1, 2])
            let took = network.run(for: .seconds(60)) { $0.everybodyIsUpEverywhere } ?? .seconds(60)
            #expect(took <= .seconds(3), "seed \(seed): \(took.milliseconds) ms")
        }
    }

    @Test(arguments: [3, 30, 100])
    func anIdleMemberSendsUnder600BytesASecond(_ nodes: Int) {
        var network = GossipNetwork.settled(nodes, seed: 1)
        for node in network.nodes.indices { network.nodes[node].bytesSent = 0 }
        network.run(for: .seconds(300))
        for node in network.nodes {
            #expect(node.bytesSent / 300 < 300, "with the headers of IP, UDP and TCP")
        }
    }

    @Test(arguments: [
        (nodes: 30, seed: UInt64(1)), (nodes: 5, seed: 2), (nodes: 3, seed: 3), (nodes: 2, seed: 4),
    ])
    func noLivingMemberIsHeldDownInAnHourOfLoss(_ run: (nodes: Int, seed: UInt64)) {
        var network = GossipNetwork.settled(run.nodes, seed: run.seed, loss: 0.05)
        network.run(for: .hours(1))
        let down = network.changes.filter { $0.liveness >= .down }
        #expect(down.isEmpty, "seed \(run.seed): \(down.count) times")
        #expect(network.everybodyIsUpEverywhere)
    }

    @Test func noneOf100IsHeldDownInAnHourOfLoss() {
        var network = GossipNetwork.settled(100, seed: 5, loss: 0.05)
        network.run(for: .hours(1))
        #expect(!network.changes.contains { $0.liveness >= .down }, "seed 5")
    }

    @Test func heavyLossWithoutStreamsIsRiddenOutByIndirectProbes() {
        // A quarter of all datagrams is lost, so that two in five probes miss their ack at first.
        var network = GossipNetwork.settled(20, seed: 6, loss: 0.25)
        network.streamsFail = true
        network.run(for: .minutes(10))
        #expect(!network.changes.contains { $0.liveness >= .down }, "seed 6")
    }

    @Test func aMemberPausedFor20SecondsIsUpEverywhereSoonAfter() {
        for seed in UInt64(0)..<10 {
            var network = GossipNetwork.settled(seed % 2 == 0 ? 30 : 3, seed: seed)
            network.pause(1)
            network.run(for: .seconds(20))
            #expect(network.allLiving(except: 1, believe: 1, .down), "seed \(seed)")
            let changes = network.changes.count
            network.resume(1)
            let took = network.run(for: .seconds(60)) { $0.everybodyIsUpEverywhere } ?? .seconds(60)
            #expect(took <= .seconds(5), "seed \(seed): \(took.milliseconds) ms")
            // It can't know who answered while it didn't listen, and says so instead of suspecting everybody.
            let wronged = network.changes[changes...].filter {
                $0.liveness != .up && $0.member != network.id(1)
            }
            #expect(wronged.isEmpty, "seed \(seed)")
            #expect(network.reports.contains { $0.node == 1 && $0.report.isStall })
            network.run(for: .seconds(60))
            #expect(network.everybodyIsUpEverywhere, "seed \(seed)")
        }
    }

    @Test func aShortPauseIsForgiven() {
        for seed in UInt64(0)..<20 {
            var network = GossipNetwork.settled(5, seed: seed)
            for _ in 0..<10 {
                network.pause(2)
                network.run(for: .milliseconds(2_500))
                network.resume(2)
                network.run(for: .seconds(5))
            }
            #expect(!network.changes.contains { $0.liveness >= .down }, "seed \(seed)")
        }
    }

    @Test func theSameSeedGivesTheSameTrace() {
        func trace(_ seed: UInt64) -> UInt64 {
            var network = GossipNetwork.settled(10, seed: seed, loss: 0.1)
            network.publish(3, RumourKey(kind: 1, id: network.id(3)), 9)
            network.kill(4)
            network.run(for: .seconds(30))
            return network.trace
        }
        #expect(trace(1) == trace(1))
        #expect(trace(1) != trace(2))
    }
}

extension GossipReport {
    var isStall: Bool { if case .stalled = self { true } else { false } }
}
