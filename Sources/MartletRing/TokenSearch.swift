import MartletBase

/// Looks for the tokens with which a joiner makes the load most even: `TokenChoice` says what is wanted, this
/// is how.
///
/// The *share* of a node at level d is the number of slots that have it among their first d owners. The
/// search lowers
///
///     energy = Σ over levels d, nodes i:  weight(d) · (share(d, i) / target(d, i)) ^ exponent(d)
///
/// With a high exponent that is, in effect, the largest share; it is smooth, so equally loaded nodes still
/// show the way down. Over the slots of one range the energy is a convex function of where a token divides
/// it, so its least is found by bisection, and one look at a range costs a fraction of a microsecond.
///
/// Tokens are first added one by one, each at the best place of all; then each is taken out and put back at
/// the best place, again and again, until none moves. Where that leaves budget, in small rings, it is all
/// done again with other weights of the lower levels, and the best result counts. No randomness and no hash
/// order: sums are taken in one order, and IEEE arithmetic does the rest.
struct TokenSearch {
    /// Looks at ranges and tokens passed by the model's walks, all in all: the bounds on the search's time.
    /// The first one is met in all rings but those of few nodes and many copies, or with zones of very
    /// different sizes.
    private static let looksMax = 60_000
    private static let tokensPassedMax = 5_000_000
    private static let lowerLevelWeights = [0.01, 0.1, 0.001]

    private let tokens: [(slot: Int, node: Int)]
    private let zones: [Int]
    private let copies: Int
    private let isTaken: [Bool]
    private let joinersShare: Double
    private var looks = 0
    private var tokensPassed = 0

    /// `zones` has each node's zone, the joiner's last, numbered from 0. `joinersShare` is what the joiner is
    /// to have of an equal share.
    init(
        tokens: [(slot: Int, node: Int)], zones: [Int], copies: Int, isTaken: [Bool], joinersShare: Double
    ) {
        self.tokens = tokens
        self.zones = zones
        self.copies = copies
        self.isTaken = isTaken
        self.joinersShare = joinersShare
    }

    /// The joiner's tokens beside those that it keeps, ascending; fewer than `count` when no slot is free.
    mutating func run(count: Int, keeping kept: [Slot]) -> [Slot] {
        var best: (energy: Double, tokens: [Int])?
        for weight in Self.lowerLevelWeights where hasBudget {
            let tokens = attempt(count: count, keeping: kept, weight: weight)
            // All attempts are judged alike, by the first weight.
            var model = model(weight: Self.lowerLevelWeights[0])
            for token in kept.map({ Int($0.index) }) + tokens { model.insert(token) }
            if best.map({ model.energy < $0.energy }) ?? true { best = (model.energy, tokens) }
        }
        return (best?.tokens ?? []).sorted().map { Slot($0) }
    }

    private var hasBudget: Bool { looks < Self.looksMax && tokensPassed < Self.tokensPassedMax }

    private func model(weight: Double) -> TokenModel {
        let levels = (1...copies).map { level in
            level == copies
                ? TokenModel.Level(weight: 1, isSteep: true)
                : TokenModel.Level(weight: weight, isSteep: false)
        }
        return TokenModel(
            tokens: tokens, zones: zones, levels: levels, isTaken: isTaken, joinersShare: joinersShare)
    }

    private mutating func attempt(count: Int, keeping kept: [Slot], weight: Double) -> [Int] {
        var model = model(weight: weight)
        for token in kept { model.insert(Int(token.index)) }
        var mine: [Int] = []
        while mine.count < count, let slot = bestSlot(&model) {
            model.insert(slot)
            mine.append(slot)
        }
        var k = 0
        var unmoved = 0
        // One round at least, however large the ring.
        while unmoved < mine.count, hasBudget || k < mine.count {
            let at = k % mine.count
            model.remove(mine[at])
            guard let slot = bestSlot(&model) else { invariantBroken("the slot just freed isn't free") }
            model.insert(slot)
            unmoved = slot == mine[at] ? unmoved + 1 : 0
            mine[at] = slot
            k += 1
        }
        return mine
    }

    /// The free slot at which one more token of the joiner makes the energy least.
    private mutating func bestSlot(_ model: inout TokenModel) -> Int? {
        var best: (energy: Double, slot: Int)?
        let passedBefore = model.tokensPassed
        defer {
            looks += model.slots.count
            tokensPassed += model.tokensPassed - passedBefore
        }
        for range in model.slots.indices where model.length(range) > 1 {
            model.divide(range)
            guard let cut = bestCut(of: range, model) else { continue }
            let energy = model.energyChange(cut)
            if best.map({ energy < $0.energy }) ?? true { best = (energy, model.slot(of: range, cut: cut)) }
        }
        return best?.slot
    }

    /// How many slots of the range, which has just been divided, the joiner had best take; nil when none
    /// between its ends is free.
    private func bestCut(of range: Int, _ model: borrowing TokenModel) -> Int? {
        let last = model.length(range) - 1
        var (low, high) = (1, last)
        while low < high {
            let middle = (low + high) / 2
            if model.energyChange(middle) <= model.energyChange(middle + 1) {
                high = middle
            } else {
                low = middle + 1
            }
        }
        for distance in 0..<last {
            let (below, above) = (low - distance, low + distance)
            if below >= 1, !model.isTaken[model.slot(of: range, cut: below)] { return below }
            if above <= last, !model.isTaken[model.slot(of: range, cut: above)] { return above }
        }
        return nil
    }
}
