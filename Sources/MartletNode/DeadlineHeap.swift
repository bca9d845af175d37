import MartletBase

/// Instants at which something is due, soonest first; equal instants in the order in which they were added,
/// so that the order of effects is the same on every machine. Entries aren't removed when what they were for
/// has ended: the owner finds them stale when they come up, or sweeps them out when there are many.
struct DeadlineHeap<Item> {
    private struct Entry {
        var at: Instant
        var sequence: UInt64
        var item: Item

        func isBefore(_ other: Entry) -> Bool { at != other.at ? at < other.at : sequence < other.sequence }
    }

    private var heap: [Entry] = []
    private var sequence: UInt64 = 0

    var soonest: Instant? { heap.first?.at }
    var count: Int { heap.count }

    mutating func add(_ item: Item, at: Instant) {
        heap.append(Entry(at: at, sequence: sequence, item: item))
        sequence += 1
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Drops all the items that `isStale` answers true for.
    mutating func sweep(_ isStale: (Item) -> Bool) {
        heap.removeAll { isStale($0.item) }
        // An ascending array is a heap.
        heap.sort { $0.isBefore($1) }
    }

    /// The soonest item, if it is due.
    mutating func popDue(_ now: Instant) -> Item? {
        guard let top = heap.first, top.at <= now else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in (2 * parent + 1)...(2 * parent + 2) where child < heap.count {
                    if heap[child].isBefore(heap[least]) { least = child }
                }
                if least == parent { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return top.item
    }
}
