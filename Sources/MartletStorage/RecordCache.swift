import MartletBase

/// The present records of hot keys, held by the one thread that writes them: a merge into a record that is
/// here is a put of the join, so a log-structured engine needn't pile up operands that every read joins
/// again.
///
/// The law: what is cached under a key is exactly what a read would find. So a record may enter only as the
/// result of a read or a write on the writing thread, and leaves before anyone else writes or deletes its
/// key.
///
/// Replacement is CLOCK: a hit sets a mark, a passing hand clears it, and takes what has none.
package struct RecordCache {
    private struct Slot {
        var key: StorageKey
        var record: Blob
        var isReferenced: Bool

        var byteCount: Int { key.bytes.count + record.count + RecordCache.slotOverheadBytes }
    }

    /// What a slot costs beside its bytes: two array headers, the slot, its entry in the index.
    private static let slotOverheadBytes = 128

    private let bytesMax: Int
    private var slots: ContiguousArray<Slot> = []
    /// Slot by the hash of the key. Of two keys with one hash the later is held.
    private var index = HashTable<Int>()
    private var hand = 0
    private var blindMerges: BlindMergeCounter
    package private(set) var byteCount = 0

    package init(bytesMax: Int) {
        self.bytesMax = bytesMax
        blindMerges = BlindMergeCounter(isNeeded: bytesMax > 0)
    }

    package var count: Int { slots.count }

    package mutating func record(_ key: StorageKey) -> Blob? {
        guard let slot = index[XXH3.hash(key.bytes)], slots[slot].key == key else { return nil }
        slots[slot].isReferenced = true
        return slots[slot].record
    }

    /// Holds the record as what is stored under the key now. One too large to be held takes the place of
    /// none.
    package mutating func hold(_ record: Blob, under key: StorageKey) {
        let hash = XXH3.hash(key.bytes)
        let isHeld = record.count <= Limits.cachedRecordBytesMax && bytesMax > 0
        if let slot = index[hash] {
            guard isHeld else {
                remove(slot, hash: hash)
                return
            }
            byteCount -= slots[slot].byteCount
            slots[slot].key = key
            slots[slot].record = record
            byteCount += slots[slot].byteCount
        } else if isHeld {
            // A new record comes in without a mark: it stays only if it's asked for again before the hand
            // comes round.
            let slot = Slot(key: key, record: record, isReferenced: false)
            index[hash] = slots.count
            slots.append(slot)
            byteCount += slot.byteCount
        }
        while byteCount > bytesMax { evictOne() }
    }

    package mutating func remove(_ key: StorageKey) {
        let hash = XXH3.hash(key.bytes)
        if let slot = index[hash] { remove(slot, hash: hash) }
    }

    /// Takes time in proportion to what is held.
    package mutating func remove(keyspace: UInt32, _ tokens: ClosedRange<UInt64>) {
        for key in slots.map(\.key) where key.keyspace == keyspace && tokens.contains(key.token) {
            remove(key)
        }
    }

    /// Counts a merge into a record that isn't here; true when there were so many that it should be.
    package mutating func isHot(afterBlindMergeOf key: StorageKey) -> Bool {
        blindMerges.add(XXH3.hash(key.bytes))
    }

    private mutating func evictOne() {
        while true {
            if hand >= slots.count { hand = 0 }
            if !slots[hand].isReferenced { break }
            slots[hand].isReferenced = false
            hand += 1
        }
        remove(hand, hash: XXH3.hash(slots[hand].key.bytes))
    }

    /// The last slot moves into the gap.
    private mutating func remove(_ slot: Int, hash: UInt64) {
        byteCount -= slots[slot].byteCount
        index[hash] = nil
        let last = slots.removeLast()
        if slot < slots.count {
            slots[slot] = last
            index[XXH3.hash(last.key.bytes)] = slot
        }
    }

    package func checkInvariants() {
        invariant(byteCount <= bytesMax, "the record cache holds \(byteCount) bytes of \(bytesMax)")
        invariant(index.count == slots.count, "\(index.count) keys for \(slots.count) slots")
        var total = 0
        for (position, slot) in slots.enumerated() {
            invariant(index[XXH3.hash(slot.key.bytes)] == position, "a slot that its key doesn't lead to")
            total += slot.byteCount
        }
        invariant(total == byteCount, "\(byteCount) bytes counted, \(total) held")
    }
}

/// Finds the keys that are merged into again and again, in a fixed 64 KiB: each place holds one key's tag
/// and count, and another key at the same place must first count it down.
private struct BlindMergeCounter {
    private struct Place {
        var tag: UInt16 = 0
        var count: UInt16 = 0
    }

    private static let placesMax = 1 << 14
    private var places: ContiguousArray<Place>

    init(isNeeded: Bool) {
        places = ContiguousArray(repeating: Place(), count: isNeeded ? Self.placesMax : 0)
    }

    mutating func add(_ hash: UInt64) -> Bool {
        guard !places.isEmpty else { return false }
        let position = Int(hash % UInt64(Self.placesMax))
        let tag = UInt16(truncatingIfNeeded: hash >> 48)
        if places[position].tag == tag {
            places[position].count += 1
            guard places[position].count >= Limits.blindMergesMax else { return false }
            places[position].count = 0
            return true
        }
        if places[position].count > 0 {
            places[position].count -= 1
        } else {
            places[position] = Place(tag: tag, count: 1)
        }
        return false
    }
}
