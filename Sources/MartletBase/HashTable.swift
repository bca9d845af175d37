/// A table from 64-bit hashes to small values: linear probing in two arrays, no tombstones.
///
/// For keys that are good hashes already, on the way of every request: `Dictionary` would hash them again,
/// which costs more than all the rest of a lookup, and would touch more memory. The hash 0 counts as the hash
/// 1, so keys that merely collide must do no harm: the owner compares what it finds, or can live with a
/// mix-up.
package struct HashTable<Value: BitwiseCopyable> {
    /// 0 where nothing is.
    @usableFromInline var hashes: ContiguousArray<UInt64> = []
    @usableFromInline var values: ContiguousArray<Value> = []
    @usableFromInline var shift: UInt64 = 64
    @usableFromInline var used = 0
    @inlinable package var count: Int { used }

    @inlinable package init() {}

    @inlinable static func stored(_ hash: UInt64) -> UInt64 { hash == 0 ? 1 : hash }

    /// The upper bits of a product: hashes that differ only at one end are spread too (Knuth, 6.4).
    @inlinable func home(_ hash: UInt64) -> Int {
        Int(truncatingIfNeeded: (hash &* 0x9E37_79B9_7F4A_7C15) >> shift)
    }

    /// Where the hash is, or nil.
    @inlinable func place(_ hash: UInt64) -> Int? {
        if hashes.isEmpty { return nil }
        var place = home(hash)
        while hashes[place] != hash {
            if hashes[place] == 0 { return nil }
            place = (place + 1) & (hashes.count - 1)
        }
        return place
    }

    /// The value under the hash; setting nil removes it. Amortised O(1).
    @inlinable package subscript(hash: UInt64) -> Value? {
        get {
            guard let place = place(Self.stored(hash)) else { return nil }
            return values[place]
        }
        set {
            if let newValue { set(newValue, under: Self.stored(hash)) } else { remove(Self.stored(hash)) }
        }
    }

    @inlinable mutating func set(_ value: Value, under hash: UInt64) {
        if let place = place(hash) {
            values[place] = value
            return
        }
        // At most three quarters full: a probe is two steps long then, in the mean.
        if hashes.isEmpty || (used + 1) * 4 > hashes.count * 3 { grow(placeholder: value) }
        insert(value, under: hash)
        used += 1
    }

    @inlinable mutating func insert(_ value: Value, under hash: UInt64) {
        var place = home(hash)
        while hashes[place] != 0 { place = (place + 1) & (hashes.count - 1) }
        hashes[place] = hash
        values[place] = value
    }

    @inlinable mutating func grow(placeholder: Value) {
        let (oldHashes, oldValues) = (hashes, values)
        let size = max(16, hashes.count * 2)
        hashes = ContiguousArray(repeating: 0, count: size)
        values = ContiguousArray(repeating: placeholder, count: size)
        shift = UInt64(64 - size.trailingZeroBitCount)
        for (hash, value) in zip(oldHashes, oldValues) where hash != 0 { insert(value, under: hash) }
    }

    /// What stands behind the gap moves up, unless it would come before its home.
    @inlinable mutating func remove(_ hash: UInt64) {
        guard var gap = place(hash) else { return }
        used -= 1
        let mask = hashes.count - 1
        var next = (gap + 1) & mask
        while hashes[next] != 0 {
            if (next - home(hashes[next])) & mask >= (next - gap) & mask {
                hashes[gap] = hashes[next]
                values[gap] = values[next]
                gap = next
            }
            next = (next + 1) & mask
        }
        hashes[gap] = 0
    }
}
