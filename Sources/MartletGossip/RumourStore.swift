import MartletBase

/// The facts that the node published, sorted by key: what push-pull compares.
struct RumourStore {
    struct Rumour {
        let key: RumourKey
        let hash: UInt64
        let bytes: Blob
    }

    private(set) var rumours: [Rumour] = []

    private func lowerBound(of key: RumourKey) -> Int {
        var low = 0
        var high = rumours.count
        while low < high {
            let middle = (low + high) / 2
            if rumours[middle].key < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    subscript(key: RumourKey) -> Rumour? {
        let index = lowerBound(of: key)
        return index < rumours.count && rumours[index].key == key ? rumours[index] : nil
    }

    enum Change { case stored, same, full }

    mutating func store(_ key: RumourKey, _ bytes: Blob) -> Change {
        let rumour = Rumour(key: key, hash: XXH3.hash(bytes), bytes: bytes)
        let index = lowerBound(of: key)
        if index < rumours.count, rumours[index].key == key {
            if rumours[index].hash == rumour.hash { return .same }
            rumours[index] = rumour
            return .stored
        }
        if rumours.count >= Limits.rumoursMax { return .full }
        rumours.insert(rumour, at: index)
        return .stored
    }

    mutating func remove(_ key: RumourKey) {
        let index = lowerBound(of: key)
        if index < rumours.count, rumours[index].key == key { rumours.remove(at: index) }
    }

    func checkInvariants() {
        for (a, b) in zip(rumours, rumours.dropFirst()) {
            invariant(a.key < b.key, "rumours are sorted and unique")
        }
        invariant(rumours.count <= Limits.rumoursMax, "more rumours than the limit")
    }
}
