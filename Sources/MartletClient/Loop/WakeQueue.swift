import MartletBase

/// What waits in a `WakeQueue`, which alone sets these.
package protocol Wakeable: AnyObject {
    var wakeAt: Instant { get set }
    var place: Int? { get set }
}

/// Every operation under way, the one that must be looked at soonest first: a binary heap in which each
/// operation knows its place, so that it is moved and removed without a search and the heap holds no more
/// than what is under way.
package struct WakeQueue<Element: Wakeable> {
    private var heap: ContiguousArray<Element> = []

    package init() {}

    package var count: Int { heap.count }
    package var first: Element? { heap.first }
    package var all: ContiguousArray<Element> { heap }

    /// Adds the element, or moves it to its new time.
    package mutating func set(_ element: Element, at time: Instant) {
        element.wakeAt = time
        if let place = element.place {
            if !siftUp(place) { siftDown(place) }
            return
        }
        element.place = heap.count
        heap.append(element)
        _ = siftUp(heap.count - 1)
    }

    package mutating func remove(_ element: Element) {
        guard let place = element.place else { return }
        element.place = nil
        let last = heap.removeLast()
        if last === element { return }
        put(last, at: place)
        if !siftUp(place) { siftDown(place) }
    }

    private mutating func put(_ element: Element, at place: Int) {
        heap[place] = element
        element.place = place
    }

    private mutating func siftUp(_ start: Int) -> Bool {
        let element = heap[start]
        var place = start
        while place > 0, element.wakeAt < heap[(place - 1) / 2].wakeAt {
            put(heap[(place - 1) / 2], at: place)
            place = (place - 1) / 2
        }
        if place == start { return false }
        put(element, at: place)
        return true
    }

    private mutating func siftDown(_ start: Int) {
        let element = heap[start]
        var place = start
        while true {
            var child = 2 * place + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, heap[child + 1].wakeAt < heap[child].wakeAt { child += 1 }
            if element.wakeAt <= heap[child].wakeAt { break }
            put(heap[child], at: place)
            place = child
        }
        if place != start { put(element, at: place) }
    }
}
