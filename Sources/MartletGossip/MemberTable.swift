import MartletBase

/// The members known, sorted by id, and how many of them are up, suspect or absent.
///
/// An array and binary search: at most `Limits.gossipMembersMax` entries, mostly a handful, iterated in an
/// order that is the same on every machine.
struct MemberTable {
    private(set) var members: [Member] = []
    /// When each was last changed, by index: the longest absent is evicted first.
    private(set) var changedAt: [Instant] = []
    private(set) var upCount = 0
    private(set) var suspectCount = 0

    var count: Int { members.count }
    /// Members that take part, ourselves included.
    var presentCount: Int { upCount + suspectCount }
    var absentCount: Int { members.count - presentCount }

    subscript(index: Int) -> Member { members[index] }

    /// The index of the first member whose id isn't less.
    private func lowerBound(of id: NodeID) -> Int {
        var low = 0
        var high = members.count
        while low < high {
            let middle = (low + high) / 2
            if members[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func index(of id: NodeID) -> Int? {
        let index = lowerBound(of: id)
        return index < members.count && members[index].id == id ? index : nil
    }

    mutating func insert(_ member: Member, at now: Instant) {
        let index = lowerBound(of: member.id)
        invariant(index == members.count || members[index].id != member.id, "a member is inserted once")
        members.insert(member, at: index)
        changedAt.insert(now, at: index)
        count(member.liveness, 1)
    }

    mutating func replace(_ index: Int, by member: Member, at now: Instant) {
        invariant(members[index].id == member.id, "a member's id doesn't change")
        count(members[index].liveness, -1)
        count(member.liveness, 1)
        members[index] = member
        changedAt[index] = now
    }

    mutating func remove(_ index: Int) {
        count(members[index].liveness, -1)
        members.remove(at: index)
        changedAt.remove(at: index)
    }

    private mutating func count(_ liveness: Liveness, _ change: Int) {
        switch liveness {
        case .up: upCount += change
        case .suspect: suspectCount += change
        case .down, .left: break
        }
    }

    /// Another id said to be at this address, the first by id.
    func other(than id: NodeID, at address: Address) -> NodeID? {
        members.first { $0.address == address && $0.id != id && $0.liveness.isPresent }?.id
    }

    /// Whom to drop for a new member when the table is full: the one absent for longest, those that left
    /// first.
    var evictable: NodeID? {
        var best: Int?
        for index in members.indices where !members[index].liveness.isPresent {
            guard let held = best else {
                best = index
                continue
            }
            let (a, b) = (members[index].liveness, members[held].liveness)
            if a > b || a == b && changedAt[index] < changedAt[held] { best = index }
        }
        return best.map { members[$0].id }
    }

    func checkInvariants() {
        for (a, b) in zip(members, members.dropFirst()) {
            invariant(a.id < b.id, "members are sorted and unique")
        }
        invariant(members.count == changedAt.count, "every member has its time of change")
        invariant(members.count <= Limits.gossipMembersMax, "more members than the limit")
        invariant(upCount == members.count { $0.liveness == .up }, "upCount counts the members that are up")
        invariant(
            suspectCount == members.count { $0.liveness == .suspect }, "suspectCount counts the suspects")
    }
}
