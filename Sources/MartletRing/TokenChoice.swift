import MartletBase

/// Which tokens a node takes when it joins.
///
/// Random tokens leave the fullest of 200 nodes, with 16 tokens each, half as much again as the mean. So a
/// joiner looks at the ring and takes the tokens that leave *replicated* load (the slots that a node holds a
/// copy of) most even, by dividing the ranges of the most loaded. Nobody else's token moves.
///
/// What even means depends on the zones, of which a preference list uses each once before it uses one twice.
/// With as many zones as copies each zone holds a copy of everything, whatever the others do, so the joiner's
/// zone is a ring of its own. Else all nodes matter, and the aim is equal loads as far as that rule allows: a
/// zone with more nodes holds more, up to one copy for each round of the list (`TokenModel`).
///
/// The shares of the first owner, the first two, and so on are evened out too, with a small weight: by
/// themselves they mean little, but a ring that is uneven in them can't be made even by the next joiner, or
/// when zones are added.
///
/// Measured (`TokenChoiceTests`): while 2 to 200 nodes join one after another, with 16 tokens each and three
/// copies, the fullest node stays below 1.07 of the mean, in one zone, in two and in three. A zone's first
/// few nodes are the worst when zones get their nodes in random order: nothing can be even then.
///
/// The choice is a pure function of the ring it is made on, and of how many others are about to join. With
/// k more to come behind it a node takes the share that each has when all are in, and leaves the old nodes
/// the rest: what it took more would be moved twice. Two nodes that choose on equal rings may choose equal
/// tokens; the walk stands that (`Placement`).
package enum TokenChoice {
    /// The tokens for a joiner, ascending; none is another node's. Fewer than `count` only when so few slots
    /// are free.
    ///
    /// An entry of the joiner itself counts for nothing, so a node can choose anew. Leaving nodes keep their
    /// slots, but their load is reckoned to those who stay. What the joiner keeps it has beside the others.
    ///
    /// - Parameter awaiting: how many nodes are to join after it. Their zones aren't known.
    package static func choose(
        count: Int, for joiner: (id: NodeID, zone: String, dataCenter: String), in ring: Ring,
        replication: ReplicationFactor, keeping kept: [Slot] = [], awaiting: Int = 0
    ) -> [Slot] {
        invariant((1...Limits.tokensPerNodeMax - kept.count).contains(count), "\(count) tokens for a node")
        let others = ring.entries.filter { $0.ownsTokens && $0.id != joiner.id }
        var isTaken = [Bool](repeating: false, count: Limits.slots)
        for entry in others {
            for token in entry.tokens { isTaken[Int(token.index)] = true }
        }
        let staying = others.filter { $0.verdict?.kind != .removing }
        let (copies, scope) = scope(of: joiner.dataCenter, among: staying, replication)
        var zones = ZoneNumbers()
        let zoneOfNode =
            scope.map { zones.number($0.zone, $0.dataCenter) } + [
                zones.number(joiner.zone, joiner.dataCenter)
            ]

        let isHome = { (entry: RingEntry) in
            entry.zone == joiner.zone && entry.dataCenter == joiner.dataCenter
        }
        let isFirstOfZone = !scope.contains(where: isHome)
        if kept.isEmpty, scope.isEmpty || isFirstOfZone && zones.count <= copies {
            return evenly(count, isTaken)
        }
        let isZoneAlone = zones.count == copies
        let pool = isZoneAlone ? scope.filter(isHome) : scope
        // Whoever adds nodes to zones that are rings of their own adds one to each.
        let awaited = isZoneAlone && zones.count > 1 ? 0 : Double(awaiting)
        var search = TokenSearch(
            tokens: pool.enumerated().flatMap { node, entry in entry.tokens.map { (Int($0.index), node) } },
            zones: isZoneAlone ? Array(repeating: 0, count: pool.count + 1) : zoneOfNode,
            copies: isZoneAlone ? 1 : copies, isTaken: isTaken,
            joinersShare: Double(pool.count) / (Double(pool.count) + awaited))
        return search.run(count: count, keeping: kept)
    }

    /// The same for one factor over all data centres.
    package static func choose(
        count: Int, for joiner: (id: NodeID, zone: String, dataCenter: String), in ring: Ring,
        replication: Int, awaiting: Int = 0
    ) -> [Slot] {
        choose(count: count, for: joiner, in: ring, replication: .count(replication), awaiting: awaiting)
    }

    /// How many copies are spread over which of the nodes, as far as a node of that data centre is concerned.
    private static func scope(
        of dataCenter: String, among entries: [RingEntry], _ replication: ReplicationFactor
    ) -> (copies: Int, entries: [RingEntry]) {
        switch replication {
        case .count(let n): return (n, entries)
        case .perDataCenter(let list):
            // A data centre that holds nothing yet is evened out for the day when it holds a copy.
            let copies = list.first { $0.name == dataCenter }?.count ?? 1
            return (copies, entries.filter { $0.dataCenter == dataCenter })
        }
    }

    /// For the first node of its zone: one zone's tokens need no regard to another's, so they are evenly
    /// spaced, from the middle of the widest free arc.
    private static func evenly(_ count: Int, _ isTaken: [Bool]) -> [Slot] {
        let taken = isTaken.indices.filter { isTaken[$0] }
        var start = Limits.slots - 1
        var widest = 0
        for (i, slot) in taken.enumerated() {
            let before = i == 0 ? taken[taken.count - 1] - Limits.slots : taken[i - 1]
            if slot - before > widest {
                widest = slot - before
                start = before + widest / 2 + Limits.slots
            }
        }
        var slots = FreeSlots(isTaken: isTaken)
        return (0..<count).compactMap { k in
            slots.take(notBefore: start + ((k + 1) * Limits.slots + count - 1) / count)
        }.sorted()
    }
}

/// Numbers zones in the order of their first mention; a zone's name counts within its data centre.
struct ZoneNumbers {
    private var numbers: [[String]: Int] = [:]
    var count: Int { numbers.count }

    mutating func number(_ zone: String, _ dataCenter: String) -> Int {
        let key = [dataCenter, zone]
        if let known = numbers[key] { return known }
        numbers[key] = numbers.count
        return numbers.count - 1
    }
}

/// Hands out slots, each once.
struct FreeSlots {
    private(set) var isTaken: [Bool]

    init(isTaken: [Bool] = Array(repeating: false, count: Limits.slots)) { self.isTaken = isTaken }

    /// The first free slot from there on around the ring; nil when there is none.
    mutating func take(notBefore start: Int) -> Slot? {
        for i in 0..<Limits.slots {
            let slot = (start + i) % Limits.slots
            if !isTaken[slot] {
                isTaken[slot] = true
                return Slot(slot)
            }
        }
        return nil
    }
}
