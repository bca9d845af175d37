import MartletBase

/// Which answers are enough for a request: pure counting, apart from any waiting.
///
/// A request goes to the *places* of its key: the owners in preference order, numbered from 0, at most 32. A
/// requirement is a list of groups of places, each with a number of answers that it needs, and is met when
/// every group has its own:
///
///     ANY ONE TWO THREE   one group: all places;  1, 1, 2, 3
///     QUORUM ALL          one group: all places;  N/2 + 1, N
///     LOCAL_ONE           one group: the places in the coordinator's data centre;  1
///     LOCAL_QUORUM        the same group;  n/2 + 1, where n is that data centre's factor
///     EACH_QUORUM         one group for each data centre that should hold copies;  n/2 + 1
///
/// N and n come from the replication factor, not from the nodes that exist: a quorum of a ring that is still
/// too small must meet the quorums of the ring that it becomes. So a requirement may ask for more than there
/// are places; then it can't be met, and that is the right answer. Where the factor is one number for all
/// data centres, places that no node fills yet are reckoned to the coordinator's.
///
/// While a slot changes its owners a requirement is that of the old owners and that of the new ones in one
/// (`both`), with the groups of each: an answer from a node of both lists counts in both.
///
/// Two levels meet, that is, every answer to the one and every answer to the other share a place, when their
/// numbers add up to more than N (Gifford: "Weighted Voting for Replicated Data", 1979).
package struct Requirement: Sendable {
    @usableFromInline var masks = InlineArray<16, UInt32>(repeating: 0)
    @usableFromInline var counts = InlineArray<16, UInt8>(repeating: 0)
    /// What each group's count is a part of: its places as the replication factor has them, filled or not.
    private var copies = InlineArray<16, UInt8>(repeating: 0)
    @usableFromInline private(set) var groups = 0
    /// Where the groups of the new owners begin; `groups` where there is one list of owners.
    @usableFromInline private(set) var second = 0
    /// Answers in all: of two lists, what the one needs that needs more.
    package private(set) var required = 0
    /// The places whose answers count, as bits.
    package private(set) var eligible: UInt32 = 0

    /// - Parameters:
    ///   - factors: the keyspace's replication factor, with data centres as numbers.
    ///   - coordinator: the coordinator's data centre; any number that no place has when it holds no copies.
    ///   - among: the places of the owners, as bits.
    ///   - dataCenter: each place's data centre.
    package init(
        _ level: ConsistencyLevel, factors: DataCenterFactors, coordinator: Int, among everywhere: UInt32,
        dataCenter: (Int) -> Int
    ) {
        let places = everywhere.nonzeroBitCount
        func mask(of center: Int) -> UInt32 {
            var mask: UInt32 = 0
            for place in 0..<32
            where everywhere & 1 << UInt32(place) != 0 && dataCenter(place) == center {
                mask |= 1 << UInt32(place)
            }
            return mask
        }
        func factor(of center: Int, at mask: UInt32) -> Int {
            if let list = factors.perDataCenter { return list.first { $0.dataCenter == center }?.count ?? 0 }
            return mask.nonzeroBitCount + (center == coordinator ? max(0, factors.total - places) : 0)
        }
        defer { second = groups }
        switch level {
        case .any, .one: addGroup(everywhere, 1, of: factors.total)
        case .two: addGroup(everywhere, 2, of: factors.total)
        case .three: addGroup(everywhere, 3, of: factors.total)
        case .quorum: addGroup(everywhere, factors.total / 2 + 1, of: factors.total)
        case .all: addGroup(everywhere, factors.total, of: factors.total)
        case .localOne:
            let local = mask(of: coordinator)
            addGroup(local, 1, of: factor(of: coordinator, at: local))
        case .localQuorum:
            let local = mask(of: coordinator)
            let copies = factor(of: coordinator, at: local)
            addGroup(local, copies / 2 + 1, of: copies)
        case .eachQuorum:
            if let list = factors.perDataCenter {
                for each in list { addGroup(mask(of: each.dataCenter), each.count / 2 + 1, of: each.count) }
                return
            }
            var rest = everywhere
            while rest != 0 {
                let center = dataCenter(rest.trailingZeroBitCount)
                let group = mask(of: center)
                let copies = factor(of: center, at: group)
                addGroup(group, copies / 2 + 1, of: copies)
                rest &= ~group
            }
            // Places that no node fills are in the coordinator's data centre, which may hold no other.
            if places < factors.total, mask(of: coordinator) == 0 {
                addGroup(0, (factors.total - places) / 2 + 1, of: factors.total - places)
            }
        }
    }

    /// The same by names: `owners` are the owners' data centres in preference order. Allocates; a coordinator
    /// uses `Placement.requirement`.
    package init(
        _ level: ConsistencyLevel, replication: ReplicationFactor, coordinator: String, owners: [String]
    ) {
        var names = [coordinator]
        func number(_ name: String) -> Int {
            if let known = names.firstIndex(of: name) { return known }
            names.append(name)
            return names.count - 1
        }
        let factors = DataCenterFactors(replication, number: number)
        let centers = owners.map(number)
        self.init(level, factors: factors, coordinator: 0, among: Self.first(centers.count)) {
            centers[$0]
        }
    }

    /// That many places from 0 on, as bits.
    package static func first(_ places: Int) -> UInt32 {
        invariant(places <= 32, "a request has \(places) places; an answer is a bit of 32")
        return UInt32((UInt64(1) << UInt64(places)) - 1)
    }

    /// What meets both: a level of the old owners of a slot and of its new ones.
    package static func both(_ old: Requirement, _ new: Requirement) -> Requirement {
        var both = old
        for i in 0..<new.groups { both.addGroup(new.masks[i], Int(new.counts[i]), of: Int(new.copies[i])) }
        both.required = max(old.required, new.required)
        return both
    }

    /// How many holders a read at this level must leave behind of what it shows, so that every later read at
    /// it meets one of them: in each group N - R + 1, of the places that there are.
    package var complement: Requirement {
        var complement = self
        complement.required = 0
        for i in 0..<groups {
            let rest = max(1, Int(copies[i]) - Int(counts[i]) + 1)
            complement.counts[i] = UInt8(min(rest, masks[i].nonzeroBitCount))
        }
        complement.required = max(
            complement.sum(of: .max, 0..<second), complement.sum(of: .max, second..<groups))
        return complement
    }

    private mutating func addGroup(_ mask: UInt32, _ count: Int, of copies: Int) {
        invariant(groups < masks.count, "a requirement of more than \(masks.count) data centres")
        self.copies[groups] = UInt8(copies)
        masks[groups] = mask
        counts[groups] = UInt8(count)
        groups += 1
        required += count
        eligible |= mask
    }

    /// Whether answers from these places (as bits) are enough.
    @inlinable package func isMet(by answered: UInt32) -> Bool {
        for i in 0..<groups where (masks[i] & answered).nonzeroBitCount < Int(counts[i]) { return false }
        return true
    }

    /// How many of these places (as bits) count towards `required`: no more of each group than it needs, and
    /// of two lists what falls short more, so that the number is below `required` exactly while the
    /// requirement isn't met.
    package func count(of answered: UInt32) -> Int {
        let missing = max(shortfall(answered, 0..<second), shortfall(answered, second..<groups))
        return max(0, required - missing)
    }

    private func shortfall(_ answered: UInt32, _ range: Range<Int>) -> Int {
        sum(of: .max, range) - sum(of: answered, range)
    }

    /// How far these places bring it: one more place helps when it makes this greater.
    package func progress(of answered: UInt32) -> Int { sum(of: answered, 0..<groups) }

    /// What of these places counts in some groups; of all, what the groups need.
    private func sum(of answered: UInt32, _ range: Range<Int>) -> Int {
        var sum = 0
        for i in range {
            let needed = Int(counts[i])
            sum += answered == .max ? needed : min((masks[i] & answered).nonzeroBitCount, needed)
        }
        return sum
    }
}

/// A replication factor with data centres as numbers, so that a requirement is made without comparing names.
package struct DataCenterFactors: Hashable, Sendable {
    package struct Factor: Hashable, Sendable {
        package let dataCenter: Int
        package let count: Int
    }

    package let total: Int
    /// Nil when the factor is one number for all of them.
    package let perDataCenter: [Factor]?

    /// `number` gives each name a number of its own.
    package init(_ replication: ReplicationFactor, number: (String) -> Int) {
        total = replication.total
        switch replication {
        case .count: perDataCenter = nil
        case .perDataCenter(let list):
            perDataCenter = list.map { Factor(dataCenter: number($0.name), count: $0.count) }
        }
    }
}

/// Counts the answers to one request (riak_kv_put_core's role). Fifteen words, no allocation; an answer that
/// comes twice counts once, one from a place that doesn't count for the level not at all.
package struct Tally: Sendable {
    package let requirement: Requirement
    /// The places that answered, as bits.
    package private(set) var answered: UInt32 = 0

    @inlinable package init(_ requirement: Requirement) { self.requirement = requirement }

    @inlinable package mutating func add(_ place: Int) {
        invariant(place >= 0 && place < 32, "place \(place) of a request")
        answered |= 1 << UInt32(place)
    }

    @inlinable package var isEnough: Bool { requirement.isMet(by: answered) }
    @inlinable package var count: Int { requirement.count(of: answered) }
    @inlinable package var required: Int { requirement.required }
    @inlinable package func contains(_ place: Int) -> Bool { answered & 1 << UInt32(place) != 0 }
}
