import MartletBase

/// The tokens of some nodes around the ring, and the preference lists that they make.
struct RingWalk {
    struct MemberToken {
        let slot: UInt16
        let ordinal: UInt16
    }

    /// By slot, then by ordinal.
    let tokens: [MemberToken]
    /// Of each range. The slots after the last token are a range of their own, equal to the first one in all
    /// but its slots.
    let lasts: [UInt16]
    private let owners: [Owners]
    private let rangeOfSlot: [UInt16]
    /// Where in `tokens` the walk of a range begins.
    private let firstTokens: [UInt32]

    /// Ordinals are places among all the members, though only those walk that are in.
    init(_ members: [RingEntry], _ replication: ReplicationFactor, isIn: (RingEntry) -> Bool) {
        tokens = Self.tokens(of: members, isIn)
        let starts = Self.rangeStarts(of: tokens)
        var owners = Self.owners(
            tokens: tokens, starts: starts, members: members, replication: replication)
        var lasts: [UInt16] = []
        for start in starts { lasts.append(tokens[Int(start)].slot) }
        var firstTokens = starts
        if lasts.last != Slot.last.index {
            lasts.append(Slot.last.index)
            owners.append(owners.first ?? Owners())
            firstTokens.append(0)
        }
        self.lasts = lasts
        self.owners = owners
        self.firstTokens = firstTokens
        rangeOfSlot = Self.rangeOfSlot(lasts: lasts)
    }

    func owners(of slot: UInt16) -> Owners { owners[Int(rangeOfSlot[Int(slot)])] }

    /// Whose tokens the walk of a slot meets, one after the other, each token once.
    func members(from slot: Slot) -> some Sequence<Int> {
        let start = Int(firstTokens[Int(rangeOfSlot[Int(slot.index)])])
        return tokens.indices.lazy.map { i in
            let at = start + i
            return Int(tokens[at < tokens.count ? at : at - tokens.count].ordinal)
        }
    }

    private static func tokens(of members: [RingEntry], _ isIn: (RingEntry) -> Bool) -> [MemberToken] {
        var keys: [UInt32] = []
        keys.reserveCapacity(members.reduce(0) { $0 + $1.tokens.count })
        for (ordinal, member) in members.enumerated() where isIn(member) {
            for token in member.tokens { keys.append(UInt32(token.index) << 16 | UInt32(ordinal)) }
        }
        keys.sort()
        return keys.map { MemberToken(slot: UInt16($0 >> 16), ordinal: UInt16(truncatingIfNeeded: $0)) }
    }

    /// The index of the first token at each slot that has one.
    private static func rangeStarts(of tokens: [MemberToken]) -> [UInt32] {
        var starts: [UInt32] = []
        for i in tokens.indices where i == 0 || tokens[i - 1].slot != tokens[i].slot {
            starts.append(UInt32(i))
        }
        return starts
    }

    /// Of each range that ends at a token: two turns against the ring's direction, the second one read off.
    private static func owners(
        tokens: [MemberToken], starts: [UInt32], members: [RingEntry], replication: ReplicationFactor
    ) -> [Owners] {
        var owners = [Owners](repeating: Owners(), count: starts.count)
        var walk = PreferenceWalk(members: members, replication: replication, tokenCount: tokens.count)
        for token in tokens.reversed() { walk.pass(Int(token.ordinal)) }
        var range = starts.count - 1
        for i in tokens.indices.reversed() {
            walk.pass(Int(tokens[i].ordinal))
            if Int(starts[range]) == i {
                owners[range] = walk.owners()
                range -= 1
            }
        }
        return owners
    }

    static func rangeOfSlot(lasts: [UInt16]) -> [UInt16] {
        var out: [UInt16] = []
        out.reserveCapacity(Limits.slots)
        for (range, last) in lasts.enumerated() {
            while out.count <= Int(last) { out.append(UInt16(range)) }
        }
        return out
    }
}
