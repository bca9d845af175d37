import MartletBase
import MartletGossip
import Testing

/// The aims of membership, with default settings, in the network of `Network`. Each figure is over seeds; a failure
/// names the seed that replays it.
@Suite struct AimsTests {
    static func median(_ times: [Interval]) -> Interval { times.sorted()[times.count / 2] }

    /// How long until every living member holds a killed one down, for each seed.
    static func detections(nodes: Int, loss: Double, seeds: Range<UInt64>) -> [Interval] {
        seeds.map { seed in
            var network = Network.settled(nodes, seed: seed, loss: loss)
            #expect(network.everybodyIsUpEverywhere, "seed \(seed)")
            network.run(for: network.random.within(.zero...(.seconds(3))))
            let victim = network.random.below(nodes)
            network.kill(victim)
            let took = network.run(for: .seconds(60)) { $0.allLiving(believe: victim, .down) }
            return took ?? .seconds(60)
        }
    }

    @Test func explore() {
        var a = Self.detections(nodes: 30, loss: 0, seeds: 0..<40).sorted()
        print("30:", a.map { $0.milliseconds })
        a = Self.detections(nodes: 100, loss: 0.05, seeds: 0..<20).sorted()
        print("100:", a.map { $0.milliseconds })
        a = Self.detections(nodes: 3, loss: 0, seeds: 0..<40).sorted()
        print("3:", a.map { $0.milliseconds })
        a = Self.detections(nodes: 10, loss: 0, seeds: 0..<40).sorted()
        print("10:", a.map { $0.milliseconds })
    }
    @Test func exploreIdle() {
        for n in [3, 10, 30, 100] {
            var network = Network.settled(n, seed: 1)
            for i in network.nodes.indices { network.nodes[i].bytesSent = 0 }
            let before = network.eventsHandled
            network.run(for: .seconds(600))
            let total = network.nodes.reduce(0) { $0 + $1.bytesSent }
            print("idle", n, total / n / 600, "bytes/s", Double(network.eventsHandled - before) / 600 / Double(n))
        }
    }
}
