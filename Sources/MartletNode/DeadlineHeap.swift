import MartletBase

/// Instants at which something is due, soonest first; equal instants in the order in which they were added,
/// so that the order of effects is the same on every machine. Entries aren't removed when what they were for
/// has ended: the owner finds them stale when they come up, or sweeps them out when there are many.
package struct DeadlineHeap<Item> {
    private struct Entry {
        var at: Instant
        var sequence: UInt64
        var item: Item

        func isBefore(_ other: Entry) -> Bool {
            at == other.at ? sequence < other.sequence : at < other.at
        }
    }

    /// Those that were added in the order in which they are due, as nearly all are: requests have one
    /// timeout.
    private var run = Queue<Entry>()
    /// The others.
    private var heap: [Entry] = []
    private var sequence: UInt64 = 0

    package init() {}

    package var soonest: Instant? {
        guard let first = run.first?.at else { return heap.first?.at }
        guard let other = heap.first?.at, other < first else { return first }
        return other
    }
    package var count: Int { run.count + heap.count }

    /// O(1) for what is due no sooner than all before it, else O(log n).
    package mutating func add(_ item: Item, at: Instant) {
        let entry = Entry(at: at, sequence: sequence, item: item)
        sequence += 1
        if run.isEmpty || !(at < run[run.count - 1].at) { return run.append(entry) }
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Drops all the items that `isStale` answers true for.
    package mutating func sweep(_ isStale: (Item) -> Bool) {
        for _ in 0..<run.count {
            let entry = run.removeFirst()
            if !isStale(entry.item) { run.append(entry) }
        }
        heap.removeAll { isStale($0.item) }
        // An ascending array is a heap.
        heap.sort { $0.isBefore($1) }
    }

    /// The soonest item, if it is due.
    package mutating func popDue(_ now: Instant) -> Item? {
        if let first = run.first, heap.first.map({ first.isBefore($0) }) ?? true {
            if now < first.at { return nil }
            return run.removeFirst().item
        }
        guard let top = heap.first, !(now < top.at) else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty { sink(last) }
        return top.item
    }

    /// Puts an entry in the place of the first one, which is gone, and from there where it belongs.
    private mutating func sink(_ entry: Entry) {
        var gap = 0
        var child = 1
        while child < heap.count {
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(entry) else { break }
            heap[gap] = heap[child]
            gap = child
            child = 2 * gap + 1
        }
        heap[gap] = entry
    }
}
