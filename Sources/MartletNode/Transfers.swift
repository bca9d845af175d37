import MartletBase
import MartletMerkle

/// Range transfers: what a node is to hold, and holds nothing of, comes first, from several of those who have
/// it side by side. A node that gains slots begins with them, and so does one that rebuilds its disk.
///
///     transfers, of each stretch of leaves from one owner ──▶ exchanges with every one of its owners
///
/// A transfer is the part of an exchange that moves records (`ExchangeBatch`), one way, without the sums that
/// go before it: this node names leaves in which it has nothing, and the source goes through them in the
/// order of their tokens and answers with pages of records, as fast as the clients of either allow. What
/// arrives is merged. Each stretch is asked of one source alone, the next one that has time for it: so
/// nothing is sent twice, a source whose clients keep it busy sends less, and all sum up their leaves
/// meanwhile.
///
/// **Its cursor is the disk.** Which leaves are still empty says how far it is: a transfer that broke off,
/// because either end died or the ring turned, begins again with those, and what has come of the rest is
/// compared by the exchanges.
///
/// **It promises nothing.** One source may lack what another has acknowledged. A vote, or the end of a
/// rebuilding, rests on the exchanges that follow alone: those with every other owner. So nothing that is
/// proved of them depends on transfers, which may end early, or be left out. (A node that gains slots while
/// it rebuilds has the stretches of whichever asked first: the exchanges bring the others.)
struct Transfers {
    /// Leaves side by side, and who may be asked for them.
    struct Stretch {
        let keyspace: UInt32
        let leaves: ClosedRange<UInt32>
        let sources: [PeerIndex]
    }

    /// Of a change of the ring or a rebuilding, the share of its time that transfers take: exchanges only
    /// compare what has come.
    static let shareOfTime = 0.9

    /// Not asked for yet, in the order of their tokens; nil: they are found when transfers begin.
    private(set) var stretches: [Stretch]?
    private var leavesMax = 0
    var underWay: Set<Exchanges.Pair> = []
    /// Whose peers have been told to sum up their leaves, since the ring has turned or the rebuilding began.
    var prepared: Set<Exchanges.Pair> = []

    mutating func beginAnew() {
        stretches = nil
        prepared = []
    }

    mutating func begin(_ stretches: [Stretch]) {
        self.stretches = stretches
        leavesMax = stretches.reduce(0) { $0 + $1.leaves.count }
    }

    /// What can't be asked for any more is left to the exchanges.
    mutating func leaveOut(_ isOut: (Stretch) -> Bool) { stretches?.removeAll(where: isOut) }

    /// Takes the next stretch of which the source has records.
    mutating func next(_ keyspace: UInt32, from source: PeerIndex) -> ClosedRange<UInt32>? {
        guard
            let place = stretches?.firstIndex(where: {
                $0.keyspace == keyspace && $0.sources.contains(source)
            })
        else { return nil }
        return stretches?.remove(at: place).leaves
    }

    /// With whom there is something to begin, in order.
    var pairs: [Exchanges.Pair] {
        var pairs: Set<Exchanges.Pair> = []
        for stretch in stretches ?? [] {
            for source in stretch.sources {
                pairs.insert(Exchanges.Pair(keyspace: stretch.keyspace, peer: source))
            }
        }
        return pairs.sorted()
    }

    /// How much of it all is over, from 0 to 1, when so much of the exchanges is.
    func shareOfAll(_ compared: Double) -> Double {
        guard let stretches, leavesMax > 0 else { return compared }
        let asked = 1 - Double(stretches.reduce(0) { $0 + $1.leaves.count }) / Double(leavesMax)
        return Self.shareOfTime * asked + (1 - Self.shareOfTime) * compared
    }
}

extension KeyspaceTable {
    /// The leaves of the slots for which a condition holds, each stretch with those who owned it before the
    /// change in hand and may be asked.
    func stretches(
        _ index: Int, of isWanted: (ReplicaSet) -> Bool, among isAsked: (PeerIndex) -> Bool
    ) -> [Transfers.Stretch] {
        var stretches: [Transfers.Stretch] = []
        var first: UInt32 = 0
        for (place, set) in all[index].sets.enumerated() {
            let last = UInt32(all[index].lastSlots[place].index)
            defer { first = last + 1 }
            guard set.own != nil, isWanted(set) else { continue }
            var sources: [PeerIndex] = []
            set.old.forEach { if set.own != $0, isAsked(set.peers[$0]) { sources.append(set.peers[$0]) } }
            guard !sources.isEmpty else { continue }
            for slot in stride(from: first, through: last, by: Limits.transferSlots) {
                let end = min(last, slot + UInt32(Limits.transferSlots) - 1)
                stretches.append(
                    Transfers.Stretch(
                        keyspace: all[index].definition.id, leaves: slot * 16...end * 16 + 15,
                        sources: sources))
            }
        }
        return stretches
    }
}
