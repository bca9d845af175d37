import MartletBase
import MartletVersions
import Testing

/// What siblings must do, with full causal histories: a replica knows a set of puts, a put knows the set that
/// its client had seen, and a version lives until a known put has seen it.
struct CausalModel {
    /// What each put's client had seen.
    private(set) var seen: [Set<Int>] = []

    mutating func put(seen: Set<Int>) -> Int {
        self.seen.append(seen)
        return self.seen.count - 1
    }

    /// The puts that no known put has replaced.
    func survivors(of known: Set<Int>) -> Set<Int> {
        known.filter { put in !known.contains { seen[$0].contains(put) } }
    }
}

/// Replicas of one key, clients with contexts, and messages that are lost, repeated and late.
private struct CausalWorld {
    struct Replica {
        var record: Blob?
        var known: Set<Int> = []
        var actor: Writer
    }
    struct Client {
        var context = CausalContext.empty
        var seen: Set<Int> = []
    }

    var random: Random
    var model = CausalModel()
    var replicas: [Replica]
    var clients = Array(repeating: Client(), count: 4)
    /// Copies under way, which may arrive any time, and again.
    var messages: [(record: Blob, known: Set<Int>)] = []
    var time: UInt64 = 0
    var mostSiblings = 0

    init(seed: UInt64) {
        random = Random(seed: seed)
        replicas = (0..<3).map { Replica(actor: Writer(node: UInt64($0), boot: 1, shard: 0)) }
    }

    mutating func step() {
        let replica = random.below(replicas.count)
        let client = random.below(clients.count)
        switch random.below(10) {
        case 0, 1, 2: put(replica, client, isBlind: random.chance(0.2))
        case 3, 4: read(replica, client)
        case 5, 6, 7:
            guard !messages.isEmpty else { return }
            let index = random.below(messages.count)
            let message = messages[index]
            if random.chance(0.7) { messages.remove(at: index) }
            merge(replica, message.record, message.known)
        case 8:
            if !messages.isEmpty { messages.remove(at: random.below(messages.count)) }
        default: lose(replica)
        }
    }

    private mutating func put(_ replica: Int, _ client: Int, isBlind: Bool) {
        time += 1 + UInt64(random.below(3))
        let context = isBlind ? .empty : clients[client].context
        let seen = isBlind ? [] : clients[client].seen
        let put = model.put(seen: seen)
        let dot = Stamp(time: HybridTime(bits: time), writer: replicas[replica].actor)
        let record = Siblings.putting(
            Siblings.NewVersion(dot: dot, value: random.chance(0.1) ? nil : Blob("\(put)"), expiry: nil),
            over: replicas[replica].record, context: context)
        replicas[replica].record = record
        replicas[replica].known.formUnion(seen)
        replicas[replica].known.insert(put)
        messages.append((record, replicas[replica].known))
        dots[dot] = put
        // The client may go on without another read.
        clients[client].context = context
        clients[client].context.insert(dot)
        clients[client].seen = seen.union([put])
    }

    var dots: [Stamp: Int] = [:]

    private mutating func read(_ replica: Int, _ client: Int) {
        guard let record = replicas[replica].record else { return }
        let context = Record.context(of: record.span)
        if random.chance(0.5) {
            clients[client] = Client(context: context, seen: replicas[replica].known)
        } else {
            clients[client].context.join(context)
            clients[client].seen.formUnion(replicas[replica].known)
        }
    }

    mutating func merge(_ replica: Int, _ record: Blob, _ known: Set<Int>) {
        replicas[replica].record = replicas[replica].record.map { Record.join($0, record) } ?? record
        replicas[replica].known.formUnion(known)
    }

    /// The disk is lost, or set back to what it was before some puts; the node starts again, as a new actor.
    private mutating func lose(_ replica: Int) {
        guard random.chance(0.3) else { return }
        replicas[replica].record = nil
        replicas[replica].known = []
        if let message = messages.last, random.chance(0.5) { merge(replica, message.record, message.known) }
        let actor = replicas[replica].actor
        replicas[replica].actor = Writer(node: actor.node, boot: actor.boot + 1, shard: 0)
    }

    mutating func check(_ seed: UInt64) {
        for replica in replicas {
            var survivors: Set<Int> = []
            if let record = replica.record {
                Record.forEachVersion(record.span) { survivors.insert(dots[$0.stamp] ?? -1) }
            }
            #expect(survivors == model.survivors(of: replica.known), "seed \(seed)")
            mostSiblings = max(mostSiblings, survivors.count)
        }
    }
}

@Suite struct SiblingsModelTests {
    @Test(arguments: 1...60)
    func theSameVersionsSurviveAsWithFullHistories(seed: UInt64) {
        var world = CausalWorld(seed: seed)
        for _ in 0..<150 {
            world.step()
            world.check(seed)
        }
        #expect(world.mostSiblings > 1, "seed \(seed) saw no siblings at all")
        // Whatever was lost on the way, the replicas agree once they have heard each other.
        for from in 0..<3 {
            for to in 0..<3 {
                guard let record = world.replicas[from].record else { continue }
                world.merge(to, record, world.replicas[from].known)
            }
        }
        for from in 0..<3 {
            guard let record = world.replicas[2].record else { continue }
            world.merge(from, record, world.replicas[2].known)
        }
        world.check(seed)
        #expect(Set(world.replicas.map { Record.digest($0.record) }).count == 1, "seed \(seed)")
    }

    /// Riak's sibling explosion: two clients that write in turn, each with the context of its own last write,
    /// never leave more versions than there are clients.
    @Test func writersInTurnDontMakeSiblingsWithoutEnd() {
        var record: Blob?
        var contexts = [CausalContext.empty, .empty]
        for turn in 1...200 {
            let dot = Stamp(time: HybridTime(bits: UInt64(turn)), writer: Writer(node: 1, boot: 1, shard: 0))
            let client = turn % 2
            let put = Siblings.putting(
                Siblings.NewVersion(dot: dot, value: Blob("\(turn)"), expiry: nil), over: record,
                context: contexts[client])
            record = put
            contexts[client].insert(dot)
            var count = 0
            Record.forEachVersion(put.span) { _ in count += 1 }
            #expect(count <= 2, "turn \(turn)")
        }
        // The vector has caught up with what each client knew by itself.
        guard let record else { return }
        #expect(record.count < 100)
        #expect(Record.context(of: record.span).entries.count == 1)
    }

    @Test func aVersionThatWasNotReadIsNotReplacedByItsWritersNextOne() {
        let node = Writer(node: 1, boot: 1, shard: 0)
        func put(_ time: UInt64, over held: Blob?, _ context: CausalContext) -> Blob {
            Siblings.putting(
                Siblings.NewVersion(
                    dot: Stamp(time: HybridTime(bits: time), writer: node), value: Blob("\(time)"),
                    expiry: nil),
                over: held, context: context)
        }
        let first = put(1, over: nil, .empty)
        let second = put(2, over: first, .empty)
        // Who put the second one knows that one alone.
        var own = CausalContext.empty
        own.insert(Stamp(time: HybridTime(bits: 2), writer: node))
        let third = put(3, over: second, own)
        var left: [UInt64] = []
        Record.forEachVersion(third.span) { left.append($0.stamp.time.bits) }
        #expect(left == [1, 3])
    }

    @Test func anActorIsForgottenBehindThePurgeFloorAlone() {
        func writer(_ node: UInt64) -> Writer { Writer(node: node, boot: 1, shard: 0) }
        let first = Siblings.putting(
            Siblings.NewVersion(
                dot: Stamp(time: HybridTime(bits: 5), writer: writer(1)), value: Blob("a"), expiry: nil),
            over: nil, context: .empty)
        let second = Siblings.putting(
            Siblings.NewVersion(
                dot: Stamp(time: HybridTime(bits: 9), writer: writer(2)), value: Blob("b"), expiry: nil),
            over: first, context: Record.context(of: first.span))
        // It is as old as the floor, but was replaced later: an owner may still hold its version.
        #expect(Record.seen(second, behind: Horizon(purgeFloor: 8)) == second)
        let seen = Record.seen(second, behind: Horizon(purgeFloor: 9))
        #expect(seen.map { Record.context(of: $0.span).entries.map(\.writer) } == [writer(2)])
        // One with a version stays, however old.
        #expect(Record.seen(second, behind: Horizon(purgeFloor: 20)) == seen)
        let deleted = Siblings.putting(
            Siblings.NewVersion(
                dot: Stamp(time: HybridTime(bits: 12), writer: writer(1)), value: nil, expiry: nil),
            over: second, context: Record.context(of: second.span))
        #expect(Record.seen(deleted, behind: Horizon(purgeFloor: 11)) != nil)
        #expect(Record.seen(deleted, behind: Horizon(purgeFloor: 12)) == nil)
        #expect(Record.seen(second, behind: Horizon(truncation: 9)) == nil)
    }
}
