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

    package let centres: Int
    /// The owners that each key has in each data centre, and the copies that the replication factor asks for
    /// there.
    private let owners: [Int]
    private let copies: [Int]
    private let needs: [Need]
    /// What certainly holds a read's result when it is shown: its level, or N - R + 1 after a repair.
    private let complements: [Need]
    private let meets: [Bool]
    private let keeps: [Bool]
    package let classes: Int

    /// - Parameter machines: the machines of each data centre.
    package init(_ replication: ReplicationFactor, centres names: [String], machines: [Int]) {
        switch replication {
        case .count(let count):
            // Where the copies are is then left to the walk: the data centres count as one.
            centres = 1
            copies = [count]
            owners = [min(count, machines.reduce(0, +))]
        case .perDataCenter(let list):
            centres = names.count
            let factors = names.map { name in list.first { $0.name == name }?.count ?? 0 }
            copies = factors
            owners = zip(factors, machines).map { min($0, $1) }
        }
        classes = ConsistencyLevel.allCases.count * centres
        var needs: [Need] = []
        var complements: [Need] = []
        for level in ConsistencyLevel.allCases {
            for centre in 0..<centres {
                needs.append(Self.need(level, centre, copies))
                complements.append(Self.complement(level, centre, copies, owners))
            }
        }
        self.needs = needs
        self.complements = complements
        let owners = owners
        meets = needs.flatMap { a in needs.map { b in Self.alwaysMeet(a, b, owners) } }
        keeps = zip(needs, complements).flatMap { need, complement in
            needs.map { later in
                Self.alwaysMeet(need, later, owners) && Self.alwaysMeet(complement, later, owners)
            }
        }
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

    /// Whether the owners counted by data centre satisfy the class.
    package func isMet(_ index: Int, by counts: [Int]) -> Bool { needs[index].isMet(by: counts) }

    /// Whether they suffice to hold what a read of the class showed.
    package func isKept(_ index: Int, by counts: [Int]) -> Bool {
        needs[index].isMet(by: counts) || complements[index].isMet(by: counts)
    }

    /// Whether the loss of one owner's disk may take away all that the class is sure of.
    func isFragile(_ index: Int) -> Bool {
        required(index) <= 1
            || max(complements[index].total, complements[index].perCentre.reduce(0, +)) <= 1
    }

    /// Whether the class can be satisfied at all.
    func isPossible(_ index: Int) -> Bool { needs[index].isMet(by: owners) }

    /// Whether every set that satisfies the one class shares an owner with every set that satisfies the
    /// other.
    package func meet(_ a: Int, _ b: Int) -> Bool { meets[a * classes + b] }

    /// Whether a later read of the second class sees what a read of the first has shown.
    package func keeps(_ shown: Int, for later: Int) -> Bool { keeps[shown * classes + later] }

    func required(_ index: Int) -> Int { max(needs[index].total, needs[index].perCentre.reduce(0, +)) }
}
