import MartletBase

/// What the unsynced batches replaced, oldest first; each batch ends with its number.
struct UndoLog {
    private var entries: ContiguousArray<MemoryEngine.Undo> = []
    /// Entries before this one are forgotten, and freed when they are half of the list.
    private var start = 0
    private(set) var batches = 0

    mutating func append(_ entry: MemoryEngine.Undo) {
        if case .batch = entry { batches += 1 }
        entries.append(entry)
    }

    /// The number of the newest batch.
    var lastBatch: SequenceNumber? {
        guard start < entries.count, case .batch(let number) = entries[entries.count - 1] else { return nil }
        return number
    }

    /// Forgets the batches up to and with the given number.
    mutating func forget(through last: SequenceNumber) {
        guard let newest = lastBatch else { return }
        if newest <= last {
            entries.removeAll(keepingCapacity: true)
            start = 0
            batches = 0
            return
        }
        var index = start
        while index < entries.count {
            if case .batch(let number) = entries[index] {
                if number > last { break }
                start = index + 1
                batches -= 1
            }
            index += 1
        }
        if start > entries.count / 2 {
            entries.removeSubrange(..<start)
            start = 0
        }
    }

    /// Hands out the entries of the newest batches, newest first, and drops them.
    mutating func takeBack(batches lost: Int, _ undo: (MemoryEngine.Undo) -> Void) {
        invariant(lost <= batches, "\(lost) batches to undo of \(batches)")
        var left = lost
        while entries.count > start {
            if case .batch = entries[entries.count - 1] {
                if left == 0 { return }
                left -= 1
                batches -= 1
            }
            undo(entries.removeLast())
        }
    }
}
