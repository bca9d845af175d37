import MartletBase

/// What is going to happen, ordered by (instant, order of scheduling): two things at one instant happen in
/// the order in which they were asked for, so a run depends on nothing but its seed.
///
/// A binary heap of plain entries; the payloads stay where they are in a slab, so that sifting moves no
/// references.
package struct EventHeap<Payload> {
    private struct Entry {
        let at: Int64
        let sequence: UInt64
        let slot: Int

        func isBefore(_ other: Entry) -> Bool {
            at != other.at ? at < other.at : sequence < other.sequence
        }
    }

    private var entries: ContiguousArray<Entry> = []
    private var payloads: ContiguousArray<Payload?> = []
    private var free: ContiguousArray<Int> = []
    private var sequence: UInt64 = 0

    package init() {}

    package var count: Int { entries.count }
    var soonest: Instant? { entries.first.map { Instant(nanoseconds: $0.at) } }

    package mutating func push(_ payload: consuming Payload, at instant: Instant) {
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            payloads[slot] = payload
        } else {
            slot = payloads.count
            payloads.append(payload)
        }
        sequence += 1
        let entry = Entry(at: instant.nanoseconds, sequence: sequence, slot: slot)
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry.isBefore(entries[parent]) else { break }
            entries[child] = entries[parent]
            child = parent
        }
        entries[child] = entry
    }

    package mutating func pop() -> (at: Instant, payload: Payload)? {
        guard let first = entries.first else { return nil }
        let last = entries.removeLast()
        if !entries.isEmpty { sink(last) }
        free.append(first.slot)
        guard let payload = payloads[first.slot].take() else {
            invariantBroken("a scheduled event has no payload")
        }
        return (Instant(nanoseconds: first.at), payload)
    }

    /// Puts the entry where the root was and lets it sink.
    private mutating func sink(_ entry: Entry) {
        var hole = 0
        while true {
            var child = 2 * hole + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1].isBefore(entries[child]) { child += 1 }
            guard entries[child].isBefore(entry) else { break }
            entries[hole] = entries[child]
            hole = child
        }
        entries[hole] = entry
    }
}
