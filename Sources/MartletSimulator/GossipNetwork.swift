import MartletBase
import MartletGossip

/// A little deterministic network of members: a heap of deliveries and timers, one random source. Datagrams
/// are delayed and lost; streams are delayed, and fail when the target is dead or cut off. A paused member
/// receives nothing until it is resumed, and then everything at once, as a stopped process's sockets do.
///
/// What the tests of gossip and `martlet-bench membership` run; `SimulatedNetwork` is that of whole nodes.
package struct GossipNetwork {
    package struct Node {
        package var gossip: Gossip
        package let address: Address
        package fileprivate(set) var isAlive = true
        package fileprivate(set) var isPaused = false
        /// Nothing reaches it.
        package var isDeaf = false
        package var side = 0
        /// How late it handles what reaches it, as on a machine with too little processor time; nil: at once.
        package var lag: ClosedRange<Interval>?
        fileprivate var timerAt: Instant?
        /// What came while it was paused.
        fileprivate var held: [GossipEvent] = []
        /// The facts it holds: each is a number, and the greater is newer.
        package var facts: [RumourKey: UInt64] = [:]
        package var bytesSent = 0
        package var clockOffset: Interval = .zero
        package var worstClockError: Interval = .zero
    }

    /// An observer's belief changed.
    package struct Change {
        package let at: Instant
        package let observer: Int
        package let member: NodeID
        package let liveness: Liveness
    }

    private enum Action {
        case event(GossipEvent)
        case timer
    }

    private struct Entry {
        let at: Instant
        let sequence: UInt64
        let node: Int
        let action: Action
        func isBefore(_ other: Entry) -> Bool { (at, sequence) < (other.at, other.sequence) }
    }

    package var nodes: [Node] = []
    package private(set) var now = Instant.zero
    package var random: Random
    /// The chance that a datagram is lost.
    package var loss = 0.0
    /// Streams reach nobody, as behind a firewall.
    package var streamsFail = false
    package var delay: ClosedRange<Interval> = .microseconds(200)...(.milliseconds(2))
    package var changes: [Change] = []
    package private(set) var reports: [(node: Int, report: GossipReport)] = []
    package private(set) var refused: [String: Int] = [:]
    /// Of everything that happened, in order: equal for equal seeds.
    package private(set) var trace: UInt64 = 0
    private let settings: GossipSettings

    private var heap: [Entry] = []
    private var sequence: UInt64 = 0
    private var links: [(Int, Int)] = []
    private var places: [Address: Int] = [:]
    private var numbers: [NodeID: Int] = [:]
    private var effects: [GossipEffect] = []
    private var eventsHandled = 0

    /// Of IP and UDP; of IP and TCP with the packets that open and close a connection.
    private static let packetHeaders = 28
    private static let streamHeaders = 120

    package init(seed: UInt64, settings: GossipSettings = GossipSettings(clusterName: "test")) {
        random = Random(seed: seed)
        self.settings = settings
    }

    // MARK: Members

    package static func address(_ n: Int) -> Address {
        Address(ip: IPAddress(v4: 10, 0, UInt8(n >> 8), UInt8(n & 255)), port: 7600)
    }

    /// Adds a member that isn't started yet, and gives its number.
    package mutating func add() -> Int {
        let address = Self.address(nodes.count + 1)
        let gossip = Gossip(
            id: NodeID(random: &random), address: address, incarnation: 1, settings: settings,
            seed: random.next())
        places[address] = nodes.count
        numbers[gossip.id] = nodes.count
        nodes.append(Node(gossip: gossip, address: address))
        return nodes.count - 1
    }

    package mutating func start(_ node: Int, seeds: [Int]) {
        handle(node, .start)
        handle(node, .join(seeds: seeds.map { nodes[$0].address }))
    }

    /// `count` members that know each other.
    package static func settled(_ count: Int, seed: UInt64, loss: Double = 0) -> GossipNetwork {
        var network = GossipNetwork(seed: seed)
        network.loss = loss
        for _ in 0..<count { _ = network.add() }
        for node in 0..<count { network.start(node, seeds: Array(0..<min(3, count))) }
        network.run(for: .seconds(40))
        return network
    }

    package func id(_ node: Int) -> NodeID { nodes[node].gossip.id }

    /// Nil for an id that no member has.
    package func number(_ id: NodeID) -> Int? { numbers[id] }

    package mutating func kill(_ node: Int) { nodes[node].isAlive = false }

    /// The same id, a greater incarnation, an empty memory.
    package mutating func restart(_ node: Int, incarnation: UInt64, seeds: [Int]) {
        nodes[node].gossip = Gossip(
            id: id(node), address: nodes[node].address, incarnation: incarnation, settings: settings,
            seed: random.next())
        nodes[node].isAlive = true
        nodes[node].isPaused = false
        nodes[node].timerAt = nil
        nodes[node].facts = [:]
        start(node, seeds: seeds)
    }

    package mutating func pause(_ node: Int) { nodes[node].isPaused = true }

    package mutating func resume(_ node: Int) {
        nodes[node].isPaused = false
        let held = nodes[node].held
        nodes[node].held = []
        for event in held { handle(node, event) }
        handle(node, .timer)
    }

    package mutating func publish(_ node: Int, _ key: RumourKey, _ version: UInt64, bytes: Int = 8) {
        nodes[node].facts[key] = version
        var writer = ByteWriter()
        writer.u64(version)
        writer.raw([UInt8](repeating: 7, count: bytes - 8))
        handle(node, .publish(key, Blob(writer.bytes)))
    }

    // MARK: Questions

    package var living: [Int] { nodes.indices.filter { nodes[$0].isAlive } }

    package func allLiving(except excluded: Int? = nil, believe member: Int, _ liveness: Liveness) -> Bool {
        living.allSatisfy {
            $0 == excluded || $0 == member || nodes[$0].gossip.liveness(of: id(member)) == liveness
        }
    }

    package var everybodyIsUpEverywhere: Bool { living.allSatisfy { allLiving(believe: $0, .up) } }

    // MARK: Running

    /// - Returns: when it will be handled.
    @discardableResult
    private mutating func push(_ node: Int, at due: Instant, _ action: Action) -> Instant {
        sequence += 1
        let at = nodes[node].lag.map { due + random.within($0) } ?? due
        heap.append(Entry(at: at, sequence: sequence, node: node, action: action))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if !heap[child].isBefore(heap[parent]) { break }
            heap.swapAt(child, parent)
            child = parent
        }
        return at
    }

    private mutating func pop() -> Entry {
        heap.swapAt(0, heap.count - 1)
        let first = heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].isBefore(heap[least]) { least = child }
            }
            if least == parent { return first }
            heap.swapAt(least, parent)
            parent = least
        }
    }

    package mutating func run(for time: Interval) { _ = run(for: time) { _ in false } }

    /// Runs until the condition holds, and gives the time that took; nil when it didn't in the given time.
    package mutating func run(for time: Interval, until isDone: (GossipNetwork) -> Bool) -> Interval? {
        let began = now
        let end = now + time
        while let next = heap.first, next.at <= end {
            let entry = pop()
            now = entry.at
            let seen = changes.count
            deliver(entry)
            if changes.count > seen, isDone(self) { return now - began }
        }
        now = end
        return isDone(self) ? time : nil
    }

    private mutating func deliver(_ entry: Entry) {
        guard nodes[entry.node].isAlive else {
            if case .event(.stream(let link, _)) = entry.action {
                refuse(
                    from: links[Int(link)].0 == entry.node ? links[Int(link)].1 : links[Int(link)].0,
                    entry.node)
            }
            return
        }
        switch entry.action {
        case .event(let event):
            if nodes[entry.node].isDeaf { return }
            if nodes[entry.node].isPaused {
                nodes[entry.node].held.append(event)
            } else {
                handle(entry.node, event)
            }
        case .timer:
            guard nodes[entry.node].timerAt == entry.at else { return }
            nodes[entry.node].timerAt = nil
            if !nodes[entry.node].isPaused { handle(entry.node, .timer) }
        }
    }

    private mutating func refuse(from node: Int, _ target: Int) {
        push(node, at: now + random.within(delay), .event(.streamFailed(nodes[target].address)))
    }

    package mutating func handle(_ node: Int, _ event: GossipEvent) {
        var effects: [GossipEffect] = []
        swap(&effects, &self.effects)
        effects.removeAll(keepingCapacity: true)
        nodes[node].gossip.handle(event, now: clock(of: node), into: &effects)
        eventsHandled += 1
        // After every event of a small network, and a sample of a large one's.
        if nodes.count <= 12 || eventsHandled % 64 == 0 { nodes[node].gossip.checkInvariants() }
        for effect in effects { perform(effect, of: node) }
        swap(&effects, &self.effects)
        let deadline = nodes[node].gossip.nextDeadline
        if deadline != .distantFuture, nodes[node].timerAt.map({ deadline < $0 }) ?? true {
            nodes[node].timerAt = push(node, at: max(deadline, now), .timer)
        }
    }

    private func clock(of node: Int) -> Now {
        let wall = WallTime(microseconds: 1_800_000_000_000_000) + nodes[node].clockOffset
        return Now(monotonic: now, wall: wall + Interval(nanoseconds: now.nanoseconds))
    }

    private mutating func perform(_ effect: GossipEffect, of node: Int) {
        switch effect {
        case .datagram(let to, let bytes):
            nodes[node].bytesSent += bytes.count + Self.packetHeaders
            trace = XXH3.hash(trace &+ XXH3.hash(bytes))
            if random.chance(loss) { return }
            guard let target = places[to], nodes[target].side == nodes[node].side else { return }
            push(target, at: now + random.within(delay), .event(.datagram(from: nodes[node].address, bytes)))
        case .stream(let to, let bytes):
            nodes[node].bytesSent += bytes.count + Self.streamHeaders
            trace = XXH3.hash(trace &+ XXH3.hash(bytes))
            guard let target = places[to], nodes[target].side == nodes[node].side, !streamsFail else {
                push(node, at: now + .seconds(3), .event(.streamFailed(to)))
                return
            }
            links.append((node, target))
            push(
                target, at: now + random.within(delay), .event(.stream(link: UInt64(links.count - 1), bytes)))
        case .respond(let link, let bytes):
            nodes[node].bytesSent += bytes.count + Self.streamHeaders / 2
            let (a, b) = links[Int(link)]
            let target = a == node ? b : a
            if nodes[target].side != nodes[node].side { return }
            push(target, at: now + random.within(delay), .event(.stream(link: link, bytes)))
        case .liveness(let member, _):
            changes.append(Change(at: now, observer: node, member: member.id, liveness: member.liveness))
            trace = XXH3.hash(trace &+ member.id.short &+ UInt64(member.liveness.rawValue))
        case .rumour(let key, let bytes):
            var reader = ByteReader(bytes.span)
            guard let version = try? reader.u64(), version > nodes[node].facts[key] ?? 0 else { return }
            publish(node, key, version, bytes: bytes.count)
        case .clockSample(let id, let offset, _):
            guard let other = numbers[id] else { return }
            let error = offset - (nodes[other].clockOffset - nodes[node].clockOffset)
            nodes[node].worstClockError = max(nodes[node].worstClockError, error.magnitude)
        case .refused(let reason): refused[reason.description, default: 0] += 1
        case .report(let report): reports.append((node, report))
        }
    }
}
