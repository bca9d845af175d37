import MartletBase

/// Looks for the tokens with which a joiner makes the load most even: `TokenChoice` says what is searched, this is how.
///
/// The model is a ring of tokens whose nodes fall into *groups*; a range's list is the next `depth` nodes of distinct
/// groups, and the *share* of a node at level d is the number of slots that have it among their first d. The search
/// lowers the
///
///     energy = Σ over levels d, nodes i:  weight(d) · (share(d, i) / target(d, i)) ^ exponent(d)
///
/// With a high exponent that is, in effect, the largest share; it is smooth, so equally loaded nodes still show the way
/// down. Inserting a token at slot p changes the lists of the ranges behind it only as far back as `depth` groups reach,
/// and all but the range that p divides wholly; so over one range the energy is a convex function of p, and its minimum
/// is found by bisection. Tokens are first added one by one, each at the best place; then each is taken out and put back
/// at the best place, again and again, until none moves or the budget is spent. No randomness, no hash order: sums are
/// taken in one order, and IEEE arithmetic does the rest.
struct TokenSearch {
    struct Level {
        let weight: Double
        /// Whether the exponent is 32; else it is 8.
        let isSteep: Bool
    }

    /// A change of one node's share at one level: fixed + slope · (the slots taken from the divided range).
    private struct Change {
        var key: Int
        var fixed: Double
        var slope: Double
    }

    /// Ranges that one search looks at, all in all: a bound on its time, about 20 ms for a ring of 200 nodes.
    static let rangesBudget = 60_000

    private let levels: [Level]
    private let groups: [Int]
    private let nodeCount: Int
    private let joiner: Int
    private var isTaken: [Bool]

    /// The tokens, ascending.
    private var slots: [Int] = []
    private var owners: [Int] = []
    /// Each token's list, `depth` wide; -1 where there are no more groups.
    private var lists: [Int] = []
    /// By key: level · nodeCount + node.
    private var shares: [Double]
    private var energies: [Double]
    private let inverseTargets: [Double]

    /// The changes of the present candidate, and by key where in them a change is (-1: nowhere).
    private var changes: [Change] = []
    private var indexOfChange: [Int]
    private var groupsMet: [Int] = []

    /// The joiner is the last node: `groups` has an entry for each node, it included.
    init(tokens: [(slot: Int, node: Int)], groups: [Int], levels: [Level], isTaken: [Bool]) {
        self.levels = levels
        self.groups = groups
        self.isTaken = isTaken
        nodeCount = groups.count
        joiner = groups.count - 1
        let keys = levels.count * groups.count
        shares = Array(repeating: 0, count: keys)
        energies = shares
        indexOfChange = Array(repeating: -1, count: keys)
        var targets: [Double] = []
        for level in levels.indices {
            targets += Self.targets(copies: level + 1, groups: groups)
        }
        inverseTargets = targets.map { 1 / $0 }
        for token in tokens.sorted(by: { ($0.slot, $0.node) < ($1.slot, $1.node) }) {
            slots.append(token.slot)
            owners.append(token.node)
        }
    }

    /// What each node would hold if `copies` of every slot were spread as evenly as one copy a group allows.
    private static func targets(copies: Int, groups: [Int]) -> [Double] {
        var sizes = [Int](repeating: 0, count: (groups.max() ?? 0) + 1)
        for group in groups { sizes[group] += 1 }
        // A group that would get more than one copy of everything gets just that; the others share the rest.
        var isFull = sizes.map { $0 == 0 }
        var left = Double(copies)
        var nodes = groups.count
        var isSettled = false
        while !isSettled, nodes > 0 {
            isSettled = true
            let perNode = left / Double(nodes)
            for group in sizes.indices where !isFull[group] && perNode * Double(sizes[group]) >= 1 {
                isFull[group] = true
                left -= 1
                nodes -= sizes[group]
                isSettled = false
            }
        }
        let perNode = nodes > 0 ? left / Double(nodes) : 0
        return groups.map { group in
            Double(Limits.slots) * (isFull[group] ? 1 / Double(sizes[group]) : perNode)
        }
    }

    /// The joiner's tokens, ascending; fewer than `count` when no slot is free.
    mutating func run(count: Int) -> [Slot] {
        var mine: [Int] = []
        var budget = Self.rangesBudget
        while mine.count < count {
            refresh()
            guard let slot = bestSlot() else { break }
            budget -= slots.count
            insert(slot)
            mine.append(slot)
        }
        var k = 0
        var unmoved = 0
        // One round at least, however large the ring.
        while unmoved < mine.count, budget > 0 || k < mine.count {
            let at = k % mine.count
            remove(mine[at])
            refresh()
            budget -= slots.count
            guard let slot = bestSlot() else { invariantBroken("the slot just freed isn't free") }
            insert(slot)
            unmoved = slot == mine[at] ? unmoved + 1 : 0
            mine[at] = slot
            k += 1
        }
        return mine.sorted().map { Slot($0) }
    }

    private mutating func insert(_ slot: Int) {
        let at = slots.firstIndex { $0 > slot } ?? slots.count
        slots.insert(slot, at: at)
        owners.insert(joiner, at: at)
        isTaken[slot] = true
    }

    private mutating func remove(_ slot: Int) {
        guard let at = slots.indices.first(where: { slots[$0] == slot && owners[$0] == joiner }) else {
            invariantBroken("the joiner has no token at slot \(slot)")
        }
        slots.remove(at: at)
        owners.remove(at: at)
        isTaken[slot] = false
    }
}

// MARK: The state of the model
extension TokenSearch {
    private func length(_ range: Int) -> Int {
        range == 0 ? slots[0] + Limits.slots - slots[slots.count - 1] : slots[range] - slots[range - 1]
    }

    /// Computes the lists, shares and energies for the present tokens.
    private mutating func refresh() {
        let (count, depth) = (slots.count, levels.count)
        lists = Array(repeating: -1, count: count * depth)
        for key in shares.indices { shares[key] = 0 }
        // Two turns backwards; the nearest node of each of the nearest groups is kept in front.
        var nearest = [Int](repeating: -1, count: depth)
        for step in 0..<(2 * count) {
            let range = (2 * count - 1 - step) % count
            let owner = owners[range]
            var i = 0
            while i < depth - 1, nearest[i] >= 0, groups[nearest[i]] != groups[owner] { i += 1 }
            while i > 0 {
                nearest[i] = nearest[i - 1]
                i -= 1
            }
            nearest[0] = owner
            if step < count { continue }
            let slots = Double(length(range))
            for place in 0..<depth where nearest[place] >= 0 {
                lists[range * depth + place] = nearest[place]
                for level in place..<depth { shares[level * nodeCount + nearest[place]] += slots }
            }
        }
        for key in shares.indices { energies[key] = energy(key, shares[key]) }
    }

    private func energy(_ key: Int, _ share: Double) -> Double {
        let level = levels[key / nodeCount]
        let ratio = share * inverseTargets[key]
        let square = ratio * ratio
        let fourth = square * square
        let eighth = fourth * fourth
        if !level.isSteep { return level.weight * eighth }
        let sixteenth = eighth * eighth
        return level.weight * sixteenth * sixteenth
    }
}

// MARK: The best place for one token
extension TokenSearch {
    /// The free slot at which one more token of the joiner makes the energy least.
    private mutating func bestSlot() -> Int? {
        var best: (energy: Double, slot: Int)?
        for range in slots.indices where length(range) > 1 {
            collectChanges(dividing: range)
            if let slots = bestCut(of: range) {
                let energy = energyChange(slots)
                if best.map({ energy < $0.energy }) ?? true {
                    best = (energy, slot(of: range, cut: slots))
                }
            }
            for change in changes { indexOfChange[change.key] = -1 }
            changes.removeAll(keepingCapacity: true)
        }
        return best?.slot
    }

    private func slot(of range: Int, cut: Int) -> Int {
        (slots[range == 0 ? slots.count - 1 : range - 1] + cut) % Limits.slots
    }

    /// How many slots of the range the joiner had best take; nil when none between its ends is free.
    private func bestCut(of range: Int) -> Int? {
        let last = length(range) - 1
        var (low, high) = (1, last)
        while low < high {
            let middle = (low + high) / 2
            if energyChange(middle) <= energyChange(middle + 1) { high = middle } else { low = middle + 1 }
        }
        for distance in 0..<last {
            let (below, above) = (low - distance, low + distance)
            if below >= 1, !isTaken[slot(of: range, cut: below)] { return below }
            if above <= last, !isTaken[slot(of: range, cut: above)] { return above }
        }
        return nil
    }

    private func energyChange(_ slots: Int) -> Double {
        var sum = 0.0
        for change in changes {
            let share = shares[change.key] + change.fixed + change.slope * Double(slots)
            sum += energy(change.key, share) - energies[change.key]
        }
        return sum
    }

    /// What a token of the joiner inside the range changes: of the part of the range before it, and of the ranges behind
    /// as far as the joiner comes into their lists.
    private mutating func collectChanges(dividing range: Int) {
        let depth = levels.count
        enterList(of: range, at: 0, fixed: 0, slope: 1)
        groupsMet.removeAll(keepingCapacity: true)
        var behind = range
        while true {
            behind = behind == 0 ? slots.count - 1 : behind - 1
            let group = groups[owners[behind]]
            if behind == range || group == groups[joiner] { return }
            if !groupsMet.contains(group) { groupsMet.append(group) }
            if groupsMet.count == depth { return }
            enterList(of: behind, at: groupsMet.count, fixed: Double(length(behind)), slope: 0)
        }
    }

    /// The joiner comes into the range's list at `place`: on each level from there it gains the slots, and the node of
    /// its group loses them if it is listed by then, else the last one of the level.
    private mutating func enterList(of range: Int, at place: Int, fixed: Double, slope: Double) {
        let depth = levels.count
        let base = range * depth
        var ofGroup = depth
        for i in 0..<depth where lists[base + i] >= 0 && groups[lists[base + i]] == groups[joiner] {
            ofGroup = i
        }
        if ofGroup < place { return }
        for level in place..<depth {
            let loser = lists[base + min(level, ofGroup)]
            if loser == joiner { return }
            change(level * nodeCount + joiner, fixed, slope)
            if loser >= 0 { change(level * nodeCount + loser, -fixed, -slope) }
        }
    }

    private mutating func change(_ key: Int, _ fixed: Double, _ slope: Double) {
        if indexOfChange[key] < 0 {
            indexOfChange[key] = changes.count
            changes.append(Change(key: key, fixed: 0, slope: 0))
        }
        changes[indexOfChange[key]].fixed += fixed
        changes[indexOfChange[key]].slope += slope
    }
}
