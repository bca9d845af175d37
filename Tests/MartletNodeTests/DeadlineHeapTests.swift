import MartletBase
import MartletNode
import Testing

@Suite struct DeadlineHeapTests {
    /// Against a sorted list: whatever order they were added in, equal instants in that order.
    @Test(arguments: UInt64(1)...20)
    func theSoonestComesFirst(seed: UInt64) {
        var random = Random(seed: seed)
        var heap = DeadlineHeap<Int>()
        var model: [(at: Instant, item: Int)] = []
        var now = Instant.zero
        for item in 0..<2_000 {
            switch random.below(10) {
            case 0..<6:
                // Most in order, as requests of one timeout are; some sooner, some later.
                let delay = [1_000, 1_000, 1_000, 10, 5_000][random.below(5)]
                let at = now + .nanoseconds(Int64(delay))
                heap.add(item, at: at)
                let place = model.firstIndex { at < $0.at } ?? model.count
                model.insert((at, item), at: place)
            case 6..<9:
                now = now + .nanoseconds(Int64(random.below(400)))
                #expect(heap.soonest == model.first?.at)
                while let due = heap.popDue(now) {
                    #expect(model.first.map { $0.at <= now && $0.item == due } ?? false)
                    if !model.isEmpty { model.removeFirst() }
                }
                #expect(model.first.map { $0.at > now } ?? true)
            default:
                let rest = random.below(3)
                heap.sweep { $0 % 3 == rest && $0 % 2 == 0 }
                model.removeAll { $0.item % 3 == rest && $0.item % 2 == 0 }
            }
            #expect(heap.count == model.count)
        }
    }
}
