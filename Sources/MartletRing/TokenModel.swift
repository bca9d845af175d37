import MartletBase

/// A ring of tokens as `TokenSearch` changes it: preference lists, shares and their energy, and what one more
/// token of the joiner would change of them.
///
/// Lists are those of `PreferenceWalk`, put in a form that looks only ahead: the node that is the r-th of its
/// zone on the walk belongs to round r, and a list takes of each round the nodes that arrive first, as many
/// as its *quota*: the number of zones that have so many nodes, until all copies are placed.
///
/// A token of the joiner at slot p changes only the part of p's range before it, and the ranges behind as far
/// as the joiner still comes into their lists. Going back, its rank in its zone can only rise and the nodes
/// of its round can only arrive earlier; so the first list without it ends the change.
struct TokenModel {
    struct Level {
        let weight: Double
        /// Whether the exponent is 32; else it is 8.
        let isSteep: Bool
    }

    /// A change of one node's share at one level: fixed + slope · (the slots taken from the divided range).
    private struct Change {
        let key: Int
        var fixed: Double
        var slope: Double
    }

    /// How many tokens a walk passes at most: all in a small ring. In a large one only a zone much smaller
    /// than others can lie further; leaving it out is a little wrong, and quick.
    private var reach: Int { min(slots.count, max(48, (1 << 18) / max(1, slots.count))) }
    /// Tokens that all walks have passed: the work done.
    private(set) var tokensPassed = 0

    /// The tokens, ascending.
    private(set) var slots: [Int] = []
    private var owners: [Int] = []
    private(set) var isTaken: [Bool]
    /// The last node.
    private let joiner: Int
    private let zones: [Int]
    private let levels: [Level]
    /// Nodes that a list takes of each round, and where in the list the round begins.
    private let quotas: [Int]
    private let firstOfRound: [Int]

    /// Each token's list, as wide as there are levels; -1 where it has no more nodes.
    private var lists: [Int] = []
    /// By key: level · number of nodes + node.
    private var shares: [Double]
    private var energies: [Double]
    private let inverseTargets: [Double]

    /// The walk's result and what it needs to know of nodes and zones it has met; a mark of another walk is
    /// void.
    private var list: [Int]
    private var mark = 0
    private var markOfNode: [Int]
    private var markOfZone: [Int]
    private var metOfZone: [Int]
    private var filled: [Int]
    /// The changes that a token in the range at hand makes, and by key where in them one is (-1: nowhere).
    private var changes: [Change] = []
    private var indexOfChange: [Int]

    /// `zones` has each node's zone, the joiner's last, numbered from 0. One level for each copy.
    /// `joinersShare` is what the joiner is to have of an equal share.
    init(
        tokens: [(slot: Int, node: Int)], zones: [Int], levels: [Level], isTaken: [Bool], joinersShare: Double
    ) {
        self.zones = zones
        self.levels = levels
        self.isTaken = isTaken
        joiner = zones.count - 1
        let keys = levels.count * zones.count
        shares = Array(repeating: 0, count: keys)
        energies = shares
        indexOfChange = Array(repeating: -1, count: keys)
        list = Array(repeating: -1, count: levels.count)
        let zoneCount = (zones.max() ?? 0) + 1
        var sizes = [Int](repeating: 0, count: zoneCount)
        for zone in zones { sizes[zone] += 1 }
        quotas = Self.quotas(copies: levels.count, sizes: sizes)
        firstOfRound = quotas.indices.map { [quotas] in quotas[..<$0].reduce(0, +) }
        filled = Array(repeating: 0, count: quotas.count)
        markOfNode = Array(repeating: 0, count: zones.count)
        markOfZone = Array(repeating: 0, count: zoneCount)
        metOfZone = markOfZone
        inverseTargets = levels.indices.flatMap { level in
            let copies = Self.copiesOfZones(copies: level + 1, sizes: sizes)
            return zones.enumerated().map { node, zone in
                Double(sizes[zone]) / (copies[zone] * Double(Limits.slots))
                    / (node == zones.count - 1 ? joinersShare : 1)
            }
        }
        for token in tokens.sorted(by: { ($0.slot, $0.node) < ($1.slot, $1.node) }) {
            slots.append(token.slot)
            owners.append(token.node)
        }
        refresh()
    }

    /// Of each round as many nodes as there are zones with so many, until all copies are placed.
    private static func quotas(copies: Int, sizes: [Int]) -> [Int] {
        var quotas: [Int] = []
        var left = copies
        while left > 0 {
            let zones = sizes.count { $0 > quotas.count }
            if zones == 0 { break }
            quotas.append(min(left, zones))
            left -= quotas[quotas.count - 1]
        }
        return quotas
    }

    /// How many copies of everything each zone should hold: as many for each of its nodes as in other zones,
    /// within what the rounds allow, which is one for each full round and up to one more in the last.
    static func copiesOfZones(copies: Int, sizes: [Int]) -> [Double] {
        let quotas = quotas(copies: copies, sizes: sizes)
        let fullRounds = quotas.indices.count { round in quotas[round] == sizes.count { $0 > round } }
        func share(_ perNode: Double, _ size: Int) -> Double {
            let least = Double(min(size, fullRounds))
            let most = Double(min(size, quotas.count))
            return max(least, min(most, perNode * Double(size)))
        }
        let total = Double(quotas.reduce(0, +))
        var (low, high) = (0.0, Double(copies))
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if sizes.reduce(0, { $0 + share(middle, $1) }) < total { low = middle } else { high = middle }
        }
        return sizes.map { share(high, $0) }
    }

    /// The sum of all energies.
    var energy: Double { energies.reduce(0, +) }

    mutating func insert(_ slot: Int) {
        let at = slots.firstIndex { $0 > slot } ?? slots.count
        slots.insert(slot, at: at)
        owners.insert(joiner, at: at)
        isTaken[slot] = true
        refresh()
    }

    mutating func remove(_ slot: Int) {
        guard let at = slots.indices.first(where: { slots[$0] == slot && owners[$0] == joiner }) else {
            invariantBroken("the joiner has no token at slot \(slot)")
        }
        slots.remove(at: at)
        owners.remove(at: at)
        isTaken[slot] = false
        refresh()
    }

    func length(_ range: Int) -> Int {
        range == 0 ? slots[0] + Limits.slots - slots[slots.count - 1] : slots[range] - slots[range - 1]
    }

    /// The slot that ends the first `cut` slots of the range.
    func slot(of range: Int, cut: Int) -> Int {
        (slots[range == 0 ? slots.count - 1 : range - 1] + cut) % Limits.slots
    }
}

// MARK: Lists and energies
extension TokenModel {
    private mutating func refresh() {
        let depth = levels.count
        if lists.count != slots.count * depth { lists = Array(repeating: -1, count: slots.count * depth) }
        for key in shares.indices { shares[key] = 0 }
        for range in slots.indices {
            walk(from: range, joinerBefore: -1)
            let length = Double(length(range))
            for place in 0..<depth {
                let node = list[place]
                lists[range * depth + place] = node
                if node < 0 { continue }
                for level in place..<depth { shares[level * zones.count + node] += length }
            }
        }
        for key in shares.indices { energies[key] = energy(key, shares[key]) }
    }

    /// Computes `list` for the range; with a token of the joiner just before token `joinerBefore`, unless
    /// that is -1.
    private mutating func walk(from range: Int, joinerBefore: Int) {
        mark += 1
        for place in list.indices { list[place] = -1 }
        for round in filled.indices { filled[round] = 0 }
        var missing = firstOfRound[quotas.count - 1] + quotas[quotas.count - 1]
        var at = range
        for passed in 1...max(1, reach) {
            if at == joinerBefore { missing -= meet(joiner) }
            missing -= meet(owners[at])
            if missing <= 0 || passed == reach {
                tokensPassed += passed
                return
            }
            at += 1
            if at == slots.count { at = 0 }
        }
    }

    /// Takes the node into the list if its round has a place. The number of nodes taken.
    @inline(__always)
    private mutating func meet(_ node: Int) -> Int {
        if markOfNode[node] == mark { return 0 }
        markOfNode[node] = mark
        let zone = zones[node]
        if markOfZone[zone] != mark {
            markOfZone[zone] = mark
            metOfZone[zone] = 0
        }
        let round = metOfZone[zone]
        metOfZone[zone] = round + 1
        if round >= quotas.count || filled[round] == quotas[round] { return 0 }
        list[firstOfRound[round] + filled[round]] = node
        filled[round] += 1
        return 1
    }

    private func energy(_ key: Int, _ share: Double) -> Double {
        let level = levels[key / zones.count]
        let ratio = share * inverseTargets[key]
        let square = ratio * ratio
        let fourth = square * square
        let eighth = fourth * fourth
        if !level.isSteep { return level.weight * eighth }
        let sixteenth = eighth * eighth
        return level.weight * sixteenth * sixteenth
    }
}

// MARK: What one more token changes
extension TokenModel {
    /// Prepares `energyChange` for tokens of the joiner inside the range.
    mutating func divide(_ range: Int) {
        for change in changes { indexOfChange[change.key] = -1 }
        changes.removeAll(keepingCapacity: true)
        collect(range, joinerBefore: range, fixed: 0, slope: 1)
        var behind = range
        while true {
            behind = behind == 0 ? slots.count - 1 : behind - 1
            if behind == range || owners[behind] == joiner { return }
            if !collect(behind, joinerBefore: range, fixed: Double(length(behind)), slope: 0) { return }
        }
    }

    /// How the energy changes when the joiner takes the first `cut` slots of the range that was divided.
    /// Convex in `cut`.
    func energyChange(_ cut: Int) -> Double {
        var sum = 0.0
        for change in changes {
            let share = shares[change.key] + change.fixed + change.slope * Double(cut)
            sum += energy(change.key, share) - energies[change.key]
        }
        return sum
    }

    /// Adds what the joiner's token changes of the range's list. False when it doesn't come into it.
    @discardableResult
    private mutating func collect(_ range: Int, joinerBefore: Int, fixed: Double, slope: Double) -> Bool {
        walk(from: range, joinerBefore: joinerBefore)
        let depth = levels.count
        let base = range * depth
        var isListed = false
        for place in 0..<depth {
            let (new, old) = (list[place], lists[base + place])
            if new == joiner { isListed = true }
            if new == old { continue }
            // A node counts at the levels from its place on; one that only moves changes those between its
            // places.
            if new >= 0 {
                var before = 0
                while before < depth, lists[base + before] != new { before += 1 }
                for level in place..<max(place, before) { add(level, new, fixed, slope) }
            }
            if old >= 0 {
                var after = 0
                while after < depth, list[after] != old { after += 1 }
                for level in place..<max(place, after) { add(level, old, -fixed, -slope) }
            }
        }
        return isListed
    }

    private mutating func add(_ level: Int, _ node: Int, _ fixed: Double, _ slope: Double) {
        let key = level * zones.count + node
        if indexOfChange[key] < 0 {
            indexOfChange[key] = changes.count
            changes.append(Change(key: key, fixed: 0, slope: 0))
        }
        changes[indexOfChange[key]].fixed += fixed
        changes[indexOfChange[key]].slope += slope
    }
}
