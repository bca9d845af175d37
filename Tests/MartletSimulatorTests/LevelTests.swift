import MartletBase
import MartletRing
import MartletSimulator
import Testing

/// What the checkers take levels to promise, against all sets of owners, one by one.
@Suite struct LevelTests {
    /// A level's requirement as MartletRing counts it, for owners by data centre.
    private func isMet(
        _ level: ConsistencyLevel, _ replication: ReplicationFactor, coordinator: String, owners: [String],
        _ answered: UInt32
    ) -> Bool {
        Requirement(level, replication: replication, coordinator: coordinator, owners: owners).isMet(
            by: answered)
    }

    @Test(arguments: [
        (ReplicationFactor.count(3), [3]), (.count(1), [1]), (.count(5), [5]), (.count(4), [4]),
        (.count(5), [3]),
        (.perDataCenter([.init(name: "a", count: 2), .init(name: "b", count: 3)]), [2, 3]),
        (.perDataCenter([.init(name: "a", count: 1), .init(name: "b", count: 1)]), [1, 1]),
    ])
    func levelsMeetWhereEverySetDoes(_ replication: ReplicationFactor, _ machines: [Int]) {
        let names = Array(["a", "b"].prefix(machines.count))
        let table = LevelTable([replication], centres: names, machines: machines)
        var owners: [String] = []
        for (name, count) in zip(names, machines) { owners += Array(repeating: name, count: count) }
        let sets = UInt32(1) << UInt32(owners.count)
        func counts(_ set: UInt32) -> [Int] {
            names.map { name in owners.indices.count { owners[$0] == name && set & (1 << UInt32($0)) != 0 } }
        }
        var classes: [(level: ConsistencyLevel, centre: Int)] = []
        for level in ConsistencyLevel.allCases {
            for centre in names.indices { classes.append((level, centre)) }
        }
        func met(_ each: (level: ConsistencyLevel, centre: Int), _ set: UInt32) -> Bool {
            isMet(each.level, replication, coordinator: names[each.centre], owners: owners, set)
        }
        for a in classes {
            let first = table.index(a.level, centre: a.centre)
            for set in 0..<sets {
                #expect(
                    table.isMet(first, by: Holders(counts(set), of: replication)) == met(a, set),
                    "\(a.level) by \(set)")
            }
            for b in classes {
                var alwaysMeet = true
                for set in 0..<sets where met(a, set) {
                    if met(b, sets - 1 - set) { alwaysMeet = false }
                }
                #expect(
                    table.meet(first, table.index(b.level, centre: b.centre)) == alwaysMeet,
                    "\(a.level) and \(b.level)")
            }
        }
    }

    @Test func quorumReadsKeepWhatTheyShow() {
        let table = LevelTable([.count(3)], centres: ["a"], machines: [3])
        func index(_ level: ConsistencyLevel) -> Int { table.index(level, centre: 0) }
        #expect(table.keeps(index(.quorum), for: index(.quorum)))
        #expect(table.keeps(index(.one), for: index(.all)))
        #expect(!table.keeps(index(.one), for: index(.quorum)))
        // A repair of ALL need leave no more than one holder behind: N - R + 1.
        #expect(!table.keeps(index(.all), for: index(.quorum)))
        #expect(table.isKept(index(.quorum), by: Holders([2], of: .count(3))))
        #expect(!table.isKept(index(.quorum), by: Holders([1], of: .count(3))))
    }
}
