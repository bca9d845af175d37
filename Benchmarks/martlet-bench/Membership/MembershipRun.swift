import MartletBase
import MartletGossip
import MartletSimulator

/// What ails a tenth of the members, who are alive all the same.
package enum Ailment: String, CaseIterable, Sendable {
    case none
    /// Whatever reaches them, timers too, they handle up to 1.5 s late.
    case slow
    /// They stand still for 4 of each 8 seconds.
    case paused
}

package struct MembershipCase: Hashable, Sendable {
    package var nodes: Int
    /// Of datagrams, in percent.
    package var loss: Int
    package var ailment: Ailment
    package var hasLifeguard: Bool

    package init(nodes: Int, loss: Int, ailment: Ailment = .none, hasLifeguard: Bool = true) {
        self.nodes = nodes
        self.loss = loss
        self.ailment = ailment
        self.hasLifeguard = hasLifeguard
    }
}

/// One case, over all its tries. Times are medians; the worst of them where it says so.
package struct MembershipResult: Sendable {
    package let membership: MembershipCase
    /// From a kill to the first who held the member down, and to the last.
    package let detection: Interval
    package let spread: Interval
    package let spreadWorst: Interval
    /// From a newcomer's start until all held it up.
    package let arrival: Interval
    /// How often a healthy member held another one down that was healthy, an hour of each observer's time;
    /// and one that only ailed.
    package let healthyHeldDown: Double
    package let ailingHeldDown: Double
    /// Of a healthy member while nothing changed, with the headers of IP, UDP and TCP: the mean, and the
    /// member that sent most.
    package let bytesPerSecond: Double
    package let bytesPerSecondMost: Double
    /// Tries in which somebody hadn't heard of the kill, or of the newcomer, after two minutes.
    package let unfinished: Int
}

/// Runs members' gossip in a simulated network.
package struct MembershipRun {
    private static let watched = Interval.seconds(120)
    private static let settleMax = 120
    private static let waitMax = Interval.seconds(120)
    private static let pauseCycle = 8
    private static let pauseLasts = 4

    private let seed: UInt64
    private let tries: Int

    package init(seed: UInt64, tries: Int) {
        self.seed = seed
        self.tries = tries
    }

    /// What one try saw.
    private struct Sight {
        var detection = waitMax
        var spread = waitMax
        var arrival = waitMax
        var healthyHeldDown = 0
        var ailingHeldDown = 0
        var bytes: [Int] = []
    }

    package func run(
        _ membership: MembershipCase, check: () throws(Failure) -> Void = {}
    ) throws(Failure) -> MembershipResult {
        var sights: [Sight] = []
        for attempt in 0..<tries {
            try check()
            sights.append(look(membership, seed: seed &+ UInt64(attempt)))
        }
        func median(_ value: (Sight) -> Interval) -> Interval { sights.map(value).sorted()[sights.count / 2] }
        let bytes = sights.flatMap(\.bytes).map { Double($0) / Self.watched.seconds }
        let observed = Double(bytes.count) * Self.watched.seconds / 3_600
        func anHour(_ value: (Sight) -> Int) -> Double {
            Double(sights.reduce(0) { $0 + value($1) }) / observed
        }
        return MembershipResult(
            membership: membership, detection: median(\.detection), spread: median(\.spread),
            spreadWorst: sights.map(\.spread).max() ?? .zero, arrival: median(\.arrival),
            healthyHeldDown: anHour(\.healthyHeldDown), ailingHeldDown: anHour(\.ailingHeldDown),
            bytesPerSecond: bytes.reduce(0, +) / Double(bytes.count), bytesPerSecondMost: bytes.max() ?? 0,
            unfinished: sights.count { max($0.spread, $0.arrival) >= Self.waitMax })
    }

    /// SWIM without Lifeguard: no local health, and one timeout for every suspicion, confirmed or not.
    private static func settings(_ membership: MembershipCase) -> GossipSettings {
        var settings = GossipSettings(clusterName: "bench")
        if !membership.hasLifeguard {
            settings.localHealthMax = 0
            settings.suspicionMaxMultiplier = 1
            settings.suspicionConfirmations = 0
            settings.secondOpinions = 0
        }
        return settings
    }

    private func look(_ membership: MembershipCase, seed: UInt64) -> Sight {
        var world = World(
            GossipNetwork(seed: seed, settings: Self.settings(membership)), membership.ailment)
        world.network.loss = Double(membership.loss) / 100
        world.found(membership.nodes, settleMax: Self.settleMax)
        world.ail()
        world.run(for: .seconds(Int64(2 * Self.pauseCycle))) { _ in false }

        var sight = Sight()
        world.network.changes = []
        for node in world.network.nodes.indices { world.network.nodes[node].bytesSent = 0 }
        world.run(for: Self.watched) { _ in false }
        for change in world.network.changes where change.liveness == .down && world.isHealthy(change.observer)
        {
            guard let member = world.network.number(change.member) else { continue }
            if world.isHealthy(member) {
                sight.healthyHeldDown += 1
            } else {
                sight.ailingHeldDown += 1
            }
        }
        sight.bytes = world.healthy.map { world.network.nodes[$0].bytesSent }

        let newcomer = world.add()
        let began = world.network.now
        world.network.changes = []
        world.network.start(newcomer, seeds: [0, 1, 2])
        sight.arrival = world.time(of: newcomer, .up, since: began, waitMax: Self.waitMax).last
        let victim = world.healthy[world.network.random.below(world.healthy.count)]
        world.network.changes = []
        let killed = world.network.now
        world.kill(victim)
        (sight.detection, sight.spread) = world.time(
            of: victim, .down, since: killed, waitMax: Self.waitMax)
        return sight
    }

    /// A network, and who in it ails.
    private struct World {
        var network: GossipNetwork
        private let ailment: Ailment
        private var ailing: Set<Int> = []
        private(set) var healthy: [Int] = []
        private var second = 0

        init(_ network: GossipNetwork, _ ailment: Ailment) {
            self.network = network
            self.ailment = ailment
        }

        func isHealthy(_ node: Int) -> Bool { !ailing.contains(node) }

        mutating func add() -> Int {
            let node = network.add()
            healthy.append(node)
            return node
        }

        mutating func kill(_ node: Int) {
            network.kill(node)
            healthy.removeAll { $0 == node }
        }

        /// Members that all know each other, who then have half a minute for what is left to say.
        mutating func found(_ count: Int, settleMax: Int) {
            for _ in 0..<count { _ = add() }
            for node in 0..<count { network.start(node, seeds: Array(0..<min(3, count))) }
            for _ in 0..<settleMax where !network.everybodyIsUpEverywhere { network.run(for: .seconds(1)) }
            network.run(for: .seconds(30))
        }

        /// The seeds stay well, so that a newcomer finds somebody.
        mutating func ail() {
            if ailment == .none { return }
            ailing = Set(network.nodes.indices.suffix((network.nodes.count + 9) / 10))
            healthy.removeAll { ailing.contains($0) }
            if ailment == .slow {
                for node in ailing { network.nodes[node].lag = .zero...(.milliseconds(1_500)) }
            }
        }

        /// Runs in steps of a second, at whose ends members are paused and resumed.
        mutating func run(for time: Interval, until isDone: (GossipNetwork) -> Bool) {
            let end = network.now + time
            while network.now < end {
                if ailment == .paused { turnOver() }
                second += 1
                if network.run(for: min(.seconds(1), end - network.now), until: isDone) != nil { return }
            }
        }

        private mutating func turnOver() {
            for node in ailing.sorted() {
                // Not all at once.
                switch (second + node) % MembershipRun.pauseCycle {
                case 0: network.pause(node)
                case MembershipRun.pauseLasts: network.resume(node)
                default: break
                }
            }
        }

        /// When the first and the last of the healthy members held that of it, by the changes since they were
        /// last cleared.
        mutating func time(
            of node: Int, _ liveness: Liveness, since began: Instant, waitMax: Interval
        ) -> (first: Interval, last: Interval) {
            let id = network.id(node)
            let observers = Set(healthy).subtracting([node])
            var missing = observers
            var seen = 0
            var first: Interval?
            run(for: waitMax) { network in
                for change in network.changes[seen...] where change.member == id {
                    if change.liveness == liveness {
                        first = first ?? (change.at - began)
                        missing.remove(change.observer)
                    } else if observers.contains(change.observer) {
                        missing.insert(change.observer)
                    }
                }
                seen = network.changes.count
                return missing.isEmpty
            }
            return (first ?? waitMax, missing.isEmpty ? network.now - began : waitMax)
        }
    }
}
