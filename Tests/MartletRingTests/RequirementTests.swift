import MartletBase
import MartletRing
import Testing

@Suite struct ConsistencyLevelTests {
    @Test(arguments: ConsistencyLevel.allCases)
    func levelsAreReadAsTheyAreShown(_ level: ConsistencyLevel) throws {
        #expect(ConsistencyLevel(level.description) == level)
        #expect(ConsistencyLevel(level.description.lowercased()) == level)
        var writer = ByteWriter()
        level.write(to: &writer)
        let read = try decode(Blob(writer.bytes)) { (r) throws(WireError) in try ConsistencyLevel(from: &r) }
        #expect(read == level)
    }

    @Test(arguments: ["", "QUORUMS", "LOCAL", "LOCAL QUORUM", "4", "ſ", String(repeating: "Q", count: 1_000)])
    func otherWordsAreRefused(_ text: String) { #expect(ConsistencyLevel(text) == nil) }
}

@Suite struct RequirementTests {
    private let two = ReplicationFactor.perDataCenter([
        .init(name: "a", count: 3), .init(name: "b", count: 5),
    ])

    @Test(
        arguments: [
            (.any, 1), (.one, 1), (.two, 2), (.three, 3), (.quorum, 2), (.all, 3), (.localOne, 1),
            (.localQuorum, 2), (.eachQuorum, 2),
        ] as [(ConsistencyLevel, Int)])
    func oneDataCenterWithThreeCopies(_ level: ConsistencyLevel, _ required: Int) {
        // Also while fewer nodes exist.
        for owners in 1...3 {
            let names = Array(repeating: "a", count: owners)
            let requirement = Requirement(level, replication: .count(3), coordinator: "a", owners: names)
            #expect(requirement.required == required)
            #expect(requirement.isMet(by: 1 << UInt32(owners) - 1) == (required <= owners))
        }
    }

    @Test func quorumIsOfNEvenWithoutNodes() {
        for n in 1...7 {
            let requirement = Requirement(.quorum, replication: .count(n), coordinator: "a", owners: [])
            #expect(requirement.required == n / 2 + 1 && !requirement.isMet(by: 0))
        }
    }

    @Test func localLevelsCountOnlyTheCoordinatorsDataCenter() {
        let owners = ["b", "a", "b", "a", "b", "a", "b", "b"]
        let local = Requirement(.localQuorum, replication: two, coordinator: "a", owners: owners)
        #expect(local.required == 2 && local.eligible == 0b0010_1010)
        #expect(!local.isMet(by: 0b1101_0111) && local.isMet(by: 0b0010_1000))
        let one = Requirement(.localOne, replication: two, coordinator: "b", owners: owners)
        #expect(one.isMet(by: 0b1000_0000) && !one.isMet(by: 0b0010_1010))
        let elsewhere = Requirement(.localQuorum, replication: two, coordinator: "c", owners: owners)
        #expect(!elsewhere.isMet(by: .max) && elsewhere.required == 1)
        #expect(Requirement(.quorum, replication: two, coordinator: "c", owners: owners).required == 5)
        #expect(Requirement(.all, replication: two, coordinator: "c", owners: owners).required == 8)
    }

    @Test func eachQuorumNeedsAQuorumOfEveryDataCenter() {
        let owners = ["b", "a", "b", "a", "b", "a", "b", "b"]
        let each = Requirement(.eachQuorum, replication: two, coordinator: "a", owners: owners)
        #expect(each.required == 2 + 3)
        #expect(each.isMet(by: 0b0001_1111) && !each.isMet(by: 0b1101_0111) && !each.isMet(by: 0b0010_1010))
        #expect(each.count(of: 0b1101_0111) == 3 + 1, "answers beyond a data centre's quorum don't count")
        // A data centre without nodes can't give its quorum.
        let missing = Requirement(.eachQuorum, replication: two, coordinator: "a", owners: ["a", "a", "a"])
        #expect(!missing.isMet(by: .max))
    }

    @Test func withOneFactorForAllDataCentersMissingPlacesAreTheCoordinators() {
        let owners = ["a", "b"]
        let local = Requirement(.localQuorum, replication: .count(5), coordinator: "a", owners: owners)
        #expect(local.required == 3, "of the one place in a and the three that nobody fills")
        let each = Requirement(.eachQuorum, replication: .count(5), coordinator: "c", owners: owners)
        #expect(each.required == 1 + 1 + 2 && !each.isMet(by: 0b11))
        let full = Requirement(.eachQuorum, replication: .count(2), coordinator: "c", owners: owners)
        #expect(full.required == 2 && full.isMet(by: 0b11))
    }

    /// Any two sets of answers that meet the levels of a read and a write share a place when the levels
    /// promise it.
    @Test(arguments: 1...7)
    func quorumsMeet(n: Int) {
        let owners = (0..<n).map { "dc\($0 % 2)" }
        func sets(_ level: ConsistencyLevel) -> [UInt32] {
            let requirement = Requirement(level, replication: .count(n), coordinator: "dc0", owners: owners)
            return (0..<(UInt32(1) << UInt32(n))).filter { requirement.isMet(by: $0) }
        }
        for (write, read) in [
            (.quorum, .quorum), (.all, .one), (.one, .all), (.eachQuorum, .localQuorum),
            (.localQuorum, .localQuorum),
        ] as [(ConsistencyLevel, ConsistencyLevel)] {
            let reads = sets(read)
            #expect(sets(write).allSatisfy { w in reads.allSatisfy { $0 & w != 0 } }, "\(write), \(read)")
        }
    }

    @Test func aTallyCountsEachEligiblePlaceOnce() {
        let requirement = Requirement(
            .localQuorum, replication: two, coordinator: "a",
            owners: ["b", "a", "b", "a", "b", "a", "b", "b"])
        var tally = Tally(requirement)
        #expect(tally.required == 2 && tally.count == 0 && !tally.isEnough)
        for place in [0, 1, 1, 2] { tally.add(place) }
        #expect(tally.count == 1 && !tally.isEnough && tally.contains(2) && !tally.contains(3))
        tally.add(5)
        #expect(tally.count == 2 && tally.isEnough)
        tally.add(3)
        #expect(tally.count == 2 && tally.isEnough)
    }

    @Test func placementsMakeTheSameRequirements() throws {
        var world = RingWorld(seed: 3)
        let ring = try world.ring(nodes: 12, tokens: 4, zones: 3, dataCenters: 3)
        for replication in [
            ReplicationFactor.count(5),
            .perDataCenter([
                .init(name: "dc0", count: 2), .init(name: "dc2", count: 3), .init(name: "x", count: 1),
            ]),
        ] {
            let placement = Placement(ring: ring, keyspace: keyspace(replication))
            for level in ConsistencyLevel.allCases {
                for (coordinator, range) in zip(["dc0", "dc1", "dc2", "x", "nowhere"], placement.ranges) {
                    let byNumber = placement.requirement(
                        level, owners: range.owners,
                        coordinator: placement.dataCenter(named: coordinator) ?? -1)
                    let byName = Requirement(
                        level, replication: replication, coordinator: coordinator,
                        owners: range.owners.array.map { placement.members[$0].dataCenter })
                    #expect(byNumber.required == byName.required && byNumber.eligible == byName.eligible)
                    for set in 0..<(UInt32(1) << UInt32(range.owners.count)) {
                        #expect(byNumber.isMet(by: set) == byName.isMet(by: set))
                    }
                }
            }
        }
    }
}

@Suite struct KeyspaceDefinitionTests {
    private func definitions(seed: UInt64) -> [KeyspaceDefinition] {
        var random = Random(seed: seed)
        return (0..<12).map { _ in
            var definition = KeyspaceDefinition(
                id: 3, name: "k\(random.below(2))", created: UInt64(random.below(2)),
                stamp: UInt64(random.below(3)),
                replication: random.chance(0.5)
                    ? .count(1 + random.below(7))
                    : .perDataCenter([
                        .init(name: "a", count: 1 + random.below(7)), .init(name: "b", count: 7),
                    ]),
                conflict: random.chance(0.5) ? .lww : .siblings, read: .localQuorum,
                write: random.chance(0.5) ? .any : .eachQuorum, sloppyQuorum: random.chance(0.5),
                ttl: .seconds(Int64(random.below(3))), isDropped: random.chance(0.1),
                truncation: UInt64(random.below(3)))
            for stamp in UInt64(1)...3 where random.chance(0.4) {
                definition.copies.want(.count(1 + random.below(7)), at: stamp)
                if random.chance(0.5) { definition.copies.complete() }
            }
            return definition
        }
    }

    private func join(_ a: KeyspaceDefinition, _ b: KeyspaceDefinition) -> KeyspaceDefinition {
        var joined = a
        let changed = joined.merge(b)
        #expect(changed == (joined != a))
        return joined
    }

    @Test(arguments: 1...20)
    func theJoinIsIdempotentCommutativeAndAssociative(seed: UInt64) {
        let all = definitions(seed: seed)
        for a in all {
            #expect(join(a, a) == a)
            for b in all {
                #expect(join(a, b) == join(b, a), "seed \(seed)")
                for c in all { #expect(join(a, join(b, c)) == join(join(a, b), c), "seed \(seed)") }
            }
        }
    }

    @Test func whatWasChangedBesideAFlushOrADropUndoesNeither() {
        let base = KeyspaceDefinition(id: 70_000, name: "k", created: 1, stamp: 1, replication: .count(3))
        var (altered, flushed, dropped) = (base, base, base)
        altered.stamp = 9
        altered.read = .one
        flushed.truncation = 5
        dropped.isDropped = true
        let joined = join(join(altered, flushed), dropped)
        #expect(joined.read == .one && joined.truncation == 5 && joined.isDropped)
        // And what had seen neither.
        #expect(join(joined, base) == joined)
    }

    @Test func noTwoCreationsDrawOneId() {
        var random = Random(seed: 5)
        var ids: Set<UInt32> = []
        let (a, b) = (NodeID(random: &random), NodeID(random: &random))
        for created in UInt64(1)...500 {
            for creator in [a, b] {
                let id = KeyspaceDefinition.newID(creator: creator, created: created) { ids.contains($0) }
                #expect(id > KeyspaceDefinition.foundedIDMax && ids.insert(id).inserted)
            }
        }
        // One that is taken already isn't drawn again.
        let first = KeyspaceDefinition.newID(creator: a, created: 1) { _ in false }
        #expect(KeyspaceDefinition.newID(creator: a, created: 1) { $0 == first } != first)
    }

    @Test(arguments: 1...20)
    func definitionsRoundTripAndDamageIsRefusedOrCanonical(seed: UInt64) throws {
        var random = Random(seed: seed)
        for definition in definitions(seed: seed) {
            let bytes = definition.encoded()
            let read = try decode(bytes) { (r) throws(WireError) in try KeyspaceDefinition(from: &r) }
            #expect(read == definition && read.digest == definition.digest)
            for _ in 0..<200 {
                var damaged = bytes.bytes
                damaged[random.below(damaged.count)] = UInt8(random.below(256))
                if random.chance(0.2) { damaged.removeLast(1 + random.below(damaged.count)) }
                let blob = Blob(damaged)
                let other = try? decode(blob) { (r) throws(WireError) in try KeyspaceDefinition(from: &r) }
                if let other {
                    other.checkInvariants()
                    #expect(other.encoded() == blob, "seed \(seed)")
                }
            }
        }
    }

    @Test(
        arguments: [
            .count(0), .count(8), .perDataCenter([]), .perDataCenter([.init(name: "a", count: 0)]),
            .perDataCenter([.init(name: "b", count: 1), .init(name: "a", count: 1)]),
            .perDataCenter([.init(name: "a", count: 1), .init(name: "a", count: 1)]),
            .perDataCenter((0..<4).map { .init(name: "a\($0)", count: 7) }),
        ] as [ReplicationFactor])
    func impossibleFactorsAreRefused(_ factor: ReplicationFactor) { #expect(!factor.isValid) }
}
