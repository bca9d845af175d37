import MartletBase
import MartletStorage
import MartletVersions

/// What this node keeps for others, counted: hints and bytes (of keys and values, before compression) of each
/// target, and how old its oldest is.
///
/// The books are kept in memory, and made again at the start by a scan of all hints. Until that is done
/// (`counting`) none is put and none is deleted, so they are exact.
struct HintLedger {
    struct Target {
        var hints = 0
        var bytes = 0
        /// Of these: those that count towards an acknowledgement.
        var countedHints = 0
        var countedBytes = 0
        /// At or below the time of the oldest hint of either class; exact when a page of hints was just
        /// delivered.
        var oldestCounted: HybridTime?
        var oldestOther: HybridTime?

        var oldest: HybridTime? {
            guard let oldestCounted else { return oldestOther }
            return oldestOther.map { min($0, oldestCounted) } ?? oldestCounted
        }
    }

    private(set) var targets: [NodeID: Target] = [:]
    private(set) var hints = 0
    private(set) var bytes = 0

    /// Where the scan that counts goes on; nil when all is counted.
    private(set) var counting: Blob? = .empty

    /// By id, so that no order is the dictionary's.
    var sorted: [NodeID] { targets.keys.sorted() }

    subscript(target: NodeID) -> Target? { targets[target] }

    /// Whether it has, or may have, hints that count: copies of writes that perhaps nobody else has.
    var mayCount: Bool { counting != nil || targets.values.contains { $0.countedHints > 0 } }

    /// Whether a target may be given so many bytes more. Hints that count have room of their own, so that
    /// others don't keep writes from being acknowledged.
    func hasRoom(for target: NodeID, bytes: Int, counts: Bool, max: Int) -> Bool {
        let known = targets[target] ?? Target()
        return bytes + (counts ? known.countedBytes : known.bytes - known.countedBytes) <= max
    }

    /// A hint is put, or was found by the scan.
    mutating func add(_ key: HintKey, bytes added: Int) {
        hints += 1
        bytes += added
        var target = targets[key.target] ?? Target()
        target.hints += 1
        target.bytes += added
        if key.counts {
            target.countedHints += 1
            target.countedBytes += added
            target.oldestCounted = min(target.oldestCounted ?? key.time, key.time)
        } else {
            target.oldestOther = min(target.oldestOther ?? key.time, key.time)
        }
        targets[key.target] = target
    }

    /// A hint that was counted is gone.
    mutating func remove(_ key: HintKey, bytes removed: Int) {
        guard var target = targets[key.target] else {
            invariantBroken("a hint was deleted for \(key.target), which has none")
        }
        hints -= 1
        bytes -= removed
        target.hints -= 1
        target.bytes -= removed
        if key.counts {
            target.countedHints -= 1
            target.countedBytes -= removed
            if target.countedHints == 0 { target.oldestCounted = nil }
        }
        if target.hints == target.countedHints { target.oldestOther = nil }
        targets[key.target] = target.hints == 0 ? nil : target
    }

    /// All hints of a target before this one have been dealt with.
    mutating func advanced(to key: HintKey) {
        guard var target = targets[key.target] else { return }
        if key.counts {
            target.oldestCounted = key.time
        } else {
            target.oldestOther = key.time
        }
        targets[key.target] = target
    }

    // MARK: Counting at the start

    /// Takes one page of the scan that counts; returns the keys that are no keys of hints.
    mutating func take(_ page: ScanPage) -> [Blob] {
        var strange: [Blob] = []
        for pair in page.records {
            guard let key = HintKey(pair.key) else {
                strange.append(pair.key)
                continue
            }
            add(key, bytes: pair.key.count + pair.value.count)
        }
        counting = page.next
        return strange
    }

    func checkInvariants() {
        invariant(
            hints >= 0 && bytes >= 0 && (hints > 0) == !targets.isEmpty,
            "\(hints) hints of \(bytes) bytes for \(targets.count) targets")
    }
}

/// Leaves whose replicas are known to differ, for the exchange to look at first: of hints that were not kept.
/// A bit for each, so it is bounded by nature: 32 KiB a keyspace.
package struct DirtyLeaves {
    private var bits: [UInt32: [UInt64]] = [:]
    package private(set) var count = 0

    package init() {}

    package mutating func insert(keyspace: UInt32, leaf: UInt32, leavesMax: Int) {
        var words = bits[keyspace] ?? [UInt64](repeating: 0, count: leavesMax / 64)
        let (word, bit) = (Int(leaf / 64), UInt64(1) << UInt64(leaf % 64))
        if words[word] & bit == 0 {
            words[word] |= bit
            count += 1
        }
        bits[keyspace] = words
    }

    /// The leaves of a keyspace, in order, which are clean afterwards.
    package mutating func take(keyspace: UInt32) -> [UInt32] {
        guard let words = bits.removeValue(forKey: keyspace) else { return [] }
        var leaves: [UInt32] = []
        for (index, word) in words.enumerated() where word != 0 {
            for bit in 0..<64 where word & 1 << UInt64(bit) != 0 { leaves.append(UInt32(index * 64 + bit)) }
        }
        count -= leaves.count
        return leaves
    }
}
