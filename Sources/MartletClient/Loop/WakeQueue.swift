import MartletBase

/// Every operation under way, the one that must be looked at soonest first: a binary heap in which each
/// operation knows its place, so that it is moved and removed without a search and the heap holds no more
/// than what is under way.
struct WakeQueue {
    private var heap: ContiguousArray<Operation> = []

    var count: Int { heap.count }
    var first: Operation? { heap.first }
    var all: ContiguousArray<Operation> { heap }

    /// Adds the operation, or moves it to its new time.
    mutating func set(_ operation: Operation, at time: Instant) {
        operation.wakeAt = time
        if let place = operation.place {
            if !siftUp(place) { siftDown(place) }
            return
        }
        operation.place = heap.count
        heap.append(operation)
        _ = siftUp(heap.count - 1)
    }

    mutating func remove(_ operation: Operation) {
        guard let place = operation.place else { return }
        operation.place = nil
        let last = heap.removeLast()
        if last === operation { return }
        put(last, at: place)
        if !siftUp(place) { siftDown(place) }
    }

    private mutating func put(_ operation: Operation, at place: Int) {
        heap[place] = operation
        operation.place = place
    }

    private mutating func siftUp(_ start: Int) -> Bool {
        let operation = heap[start]
        var place = start
        while place > 0, operation.wakeAt < heap[(place - 1) / 2].wakeAt {
            put(heap[(place - 1) / 2], at: place)
            place = (place - 1) / 2
        }
        if place == start { return false }
        put(operation, at: place)
        return true
    }

    private mutating func siftDown(_ start: Int) {
        let operation = heap[start]
        var place = start
        while true {
            var child = 2 * place + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, heap[child + 1].wakeAt < heap[child].wakeAt { child += 1 }
            if operation.wakeAt <= heap[child].wakeAt { break }
            put(heap[child], at: place)
            place = child
        }
        if place != start { put(operation, at: place) }
    }
}
