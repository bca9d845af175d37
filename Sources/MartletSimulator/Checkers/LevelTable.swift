import MartletBase
import MartletRing

/// What consistency levels promise, reckoned from first principles and apart from the node's own counting:
/// which sets of owners satisfy a level, and which levels' sets always meet.
///
/// A *class* is a level together with the coordinator's data centre, which LOCAL levels depend on.
package struct LevelTable {
    /// So many owners in all, and so many of each data centre.
    struct Need {
        var total: Int
        var perCentre: [Int]

        func isMet(by counts: [Int]) -> Bool {
            var sum = 0
            for centre in counts.indices {
                if counts[centre] < perCentre[centre] { return false }
                sum += counts[centre]
            }
            return sum >= total
        }
    }

    /// What one replication factor makes of the levels.
    private struct Reckoning {
        /// The owners that each key has in each data centre, and the copies that the replication factor asks
        /// for there.
        let owners: [Int]
        let copies: [Int]
        var needs: [Need] = []
        /// What certainly holds a read's result when it is shown: its level, or N - R + 1 after a repair.
        var complements: [Need] = []
    }

    package let centres: Int
    private let factors: [ReplicationFactor]
    /// By factor.
    private let reckonings: [Reckoning]
    private let meets: [Bool]
    private let keeps: [Bool]
    package let classes: Int

    /// - Parameters:
    ///   - factors: those that the keyspaces may have in the course of a run, of one kind. What is to hold
    ///     from one to the next must hold in each.
    ///   - machines: the machines of each data centre.
    package init(_ factors: [ReplicationFactor], centres names: [String], machines: [Int]) {
        var reckonings: [Reckoning] = []
        var centres = 1
        for factor in factors {
            switch factor {
            case .count(let count):
                // Where the copies are is then left to the walk: the data centres count as one.
                reckonings.append(Reckoning(owners: [min(count, machines.reduce(0, +))], copies: [count]))
            case .perDataCenter(let list):
                centres = names.count
                let copies = names.map { name in list.first { $0.name == name }?.count ?? 0 }
                reckonings.append(
                    Reckoning(owners: zip(copies, machines).map { min($0, $1) }, copies: copies))
            }
        }
        for level in ConsistencyLevel.allCases {
            for centre in 0..<centres {
                for (place, each) in reckonings.enumerated() {
                    reckonings[place].needs.append(Self.need(level, centre, each.copies))
                    reckonings[place].complements.append(
                        Self.complement(level, centre, each.copies, each.owners))
                }
            }
        }
        let classes = ConsistencyLevel.allCases.count * centres
        func always(_ holds: (Reckoning, Int, Int) -> Bool) -> [Bool] {
            (0..<classes * classes).map { pair in
                reckonings.allSatisfy { holds($0, pair / classes, pair % classes) }
            }
        }
        meets = always { Self.alwaysMeet($0.needs[$1], $0.needs[$2], $0.owners) }
        keeps = always {
            Self.alwaysMeet($0.needs[$1], $0.needs[$2], $0.owners)
                && Self.alwaysMeet($0.complements[$1], $0.needs[$2], $0.owners)
        }
        self.factors = factors
        self.centres = centres
        self.classes = classes
        self.reckonings = reckonings
    }

    package func index(_ level: ConsistencyLevel, centre: Int) -> Int {
        Int(level.rawValue) * centres + (centres == 1 ? 0 : centre)
    }

    private static func need(_ level: ConsistencyLevel, _ centre: Int, _ copies: [Int]) -> Need {
        var need = Need(total: 0, perCentre: copies.map { _ in 0 })
        let all = copies.reduce(0, +)
        switch level {
        case .any, .one: need.total = 1
        case .two: need.total = 2
        case .three: need.total = 3
        case .quorum: need.total = all / 2 + 1
        case .all: need.total = all
        case .localOne: need.perCentre[centre] = 1
        case .localQuorum: need.perCentre[centre] = copies[centre] / 2 + 1
        case .eachQuorum: need.perCentre = copies.map { $0 / 2 + 1 }
        }
        return need
    }

    private static func complement(
        _ level: ConsistencyLevel, _ centre: Int, _ copies: [Int], _ owners: [Int]
    ) -> Need {
        let need = need(level, centre, copies)
        func turned(_ needed: Int, _ copies: Int, _ owners: Int) -> Int {
            needed == 0 ? 0 : min(owners, max(1, copies - needed + 1))
        }
        return Need(
            total: turned(need.total, copies.reduce(0, +), owners.reduce(0, +)),
            perCentre: copies.indices.map { turned(need.perCentre[$0], copies[$0], owners[$0]) })
    }

    /// Whether no two disjoint sets of owners satisfy one each: for every set of the first kind, all the rest
    /// together doesn't satisfy the second.
    private static func alwaysMeet(_ a: Need, _ b: Need, _ owners: [Int]) -> Bool {
        var counts = owners.map { _ in 0 }
        while true {
            if a.isMet(by: counts), b.isMet(by: zip(owners, counts).map { $0 - $1 }) { return false }
            // The next vector of counts.
            var centre = 0
            while centre < owners.count, counts[centre] == owners[centre] {
                counts[centre] = 0
                centre += 1
            }
            if centre == owners.count { return true }
            counts[centre] += 1
        }
    }

    private func reckoning(_ factor: ReplicationFactor) -> Reckoning {
        guard let place = factors.firstIndex(of: factor) else {
            invariantBroken("a keyspace has the factor \(factor), which the run has none of")
        }
        return reckonings[place]
    }

    /// Whether the owners satisfy the class.
    package func isMet(_ index: Int, by holders: Holders) -> Bool {
        reckoning(holders.factor).needs[index].isMet(by: holders.counts)
    }

    /// The same in the end, when the factor may have become too small for the class: then all owners.
    func isMetInTheEnd(_ index: Int, by holders: Holders) -> Bool {
        isMet(index, by: holders) || holders.counts == reckoning(holders.factor).owners
    }

    /// Whether they suffice to hold what a read of the class showed.
    package func isKept(_ index: Int, by holders: Holders) -> Bool {
        isMet(index, by: holders)
            || reckoning(holders.factor).complements[index].isMet(by: holders.counts)
    }

    /// Whether the loss of one owner's disk may take away all that the class is sure of.
    func isFragile(_ index: Int) -> Bool {
        reckonings.contains { each in
            let (need, complement) = (each.needs[index], each.complements[index])
            return max(need.total, need.perCentre.reduce(0, +)) <= 1
                || max(complement.total, complement.perCentre.reduce(0, +)) <= 1
        }
    }

    /// Whether the class can be satisfied at all.
    func isPossible(_ index: Int) -> Bool {
        reckonings.allSatisfy { $0.needs[index].isMet(by: $0.owners) }
    }

    /// Whether every set that satisfies the one class shares an owner with every set that satisfies the
    /// other.
    package func meet(_ a: Int, _ b: Int) -> Bool { meets[a * classes + b] }

    /// Whether a later read of the second class sees what a read of the first has shown.
    package func keeps(_ shown: Int, for later: Int) -> Bool { keeps[shown * classes + later] }

    func required(_ index: Int, _ factor: ReplicationFactor) -> Int {
        let need = reckoning(factor).needs[index]
        return max(need.total, need.perCentre.reduce(0, +))
    }
}

/// Of one list of owners of a key those for whom something holds.
package struct Holders {
    /// By data centre.
    package var counts: [Int]
    /// What the list is counted by.
    package var factor: ReplicationFactor

    package init(_ counts: [Int], of factor: ReplicationFactor) {
        self.counts = counts
        self.factor = factor
    }

    var total: Int { counts.reduce(0, +) }
}
