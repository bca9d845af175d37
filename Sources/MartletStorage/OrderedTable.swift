import MartletBase

/// A key that a table can hold: hashed for look-ups, ordered for scans.
protocol TableKey: Hashable, Comparable {
    var byteCount: Int { get }
}

extension StorageKey: TableKey {
    var byteCount: Int { bytes.count }
}

extension Blob: TableKey {
    var byteCount: Int { count }
}

/// Look-ups and replacements by hash, visits in the keys' order.
///
/// The order is made when it is asked for: keys that came since then wait in a list of their own, which is
/// sorted and merged. So writing costs no more than a dictionary, and nobody ever sees the dictionary's own
/// order.
struct OrderedTable<Key: TableKey> {
    private var values: [Key: Blob] = [:]
    private var ordered: [Key] = []
    private var arrived: [Key] = []
    /// A key was taken out since the order was made, so the lists may name keys that aren't there, or name
    /// them twice.
    private var mustSweep = false
    private(set) var byteCount = 0

    var count: Int { values.count }

    subscript(key: Key) -> Blob? { values[key] }

    /// Returns what was there.
    mutating func replace(_ value: Blob, under key: Key) -> Blob? {
        if let index = values.index(forKey: key) {
            let before = values.values[index]
            values.values[index] = value
            byteCount += value.count - before.count
            return before
        }
        values[key] = value
        arrived.append(key)
        byteCount += key.byteCount + value.count
        return nil
    }

    /// Puts back what `replace` returned.
    mutating func restore(_ before: Blob?, under key: Key) {
        if let before {
            _ = replace(before, under: key)
        } else if let taken = values.removeValue(forKey: key) {
            byteCount -= key.byteCount + taken.count
            mustSweep = true
        }
    }

    /// Calls the body for each pair from `lower` on, in order, until it returns false.
    mutating func visit(from lower: Key, _ body: (Key, Blob) -> Bool) {
        makeOrder()
        for key in ordered[firstIndex(notBelow: lower)...] {
            guard let value = values[key] else { invariantBroken("an ordered key has no value") }
            guard body(key, value) else { return }
        }
    }

    /// Replaces, in order, each value for which the body returns another.
    mutating func mapInOrder(_ body: (Blob) -> Blob?) {
        makeOrder()
        for key in ordered {
            if let value = values[key], let other = body(value) { _ = replace(other, under: key) }
        }
    }

    private func firstIndex(notBelow lower: Key) -> Int {
        var low = 0
        var high = ordered.count
        while low < high {
            let middle = (low + high) / 2
            if ordered[middle] < lower { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func makeOrder() {
        if mustSweep {
            ordered.removeAll { values[$0] == nil }
            arrived.removeAll { values[$0] == nil }
        }
        guard !arrived.isEmpty || mustSweep else { return }
        arrived.sort()
        var merged: [Key] = []
        merged.reserveCapacity(values.count)
        var old = ordered[...]
        var new = arrived[...]
        while let next = Self.popLeast(&old, &new) {
            if merged.last != next { merged.append(next) }
        }
        ordered = merged
        arrived.removeAll(keepingCapacity: true)
        mustSweep = false
    }

    private static func popLeast(_ a: inout ArraySlice<Key>, _ b: inout ArraySlice<Key>) -> Key? {
        guard let x = a.first else { return b.popFirst() }
        guard let y = b.first, y < x else { return a.popFirst() }
        return b.popFirst()
    }

    func checkInvariants() {
        var copy = self
        copy.makeOrder()
        invariant(
            copy.ordered.count == values.count, "the order has \(copy.ordered.count) of \(values.count) keys")
        var total = 0
        for key in copy.ordered { total += key.byteCount + (values[key]?.count ?? 0) }
        invariant(total == byteCount, "\(byteCount) bytes counted, \(total) held")
    }
}
