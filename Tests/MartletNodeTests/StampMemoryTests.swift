import MartletBase
import MartletNode
import MartletVersions
import Testing

@Suite struct StampMemoryTests {
    private func stamp(_ time: UInt64, _ writer: UInt64) -> Stamp {
        Stamp(time: HybridTime(bits: time), writer: Writer(node: writer, boot: 1, shard: 0))
    }

    private func memory(capacity: Int = 100) -> StampMemory {
        StampMemory(keepFor: .seconds(1), capacity: capacity, recovered: .zero)
    }

    @Test func aLaterStampOfAnotherWriterDominates() {
        var memory = memory()
        memory.remember(stamp(10, 1), key: 7, now: .zero)
        #expect(memory.dominator(of: stamp(9, 2), key: 7) == stamp(10, 1))
        #expect(memory.dominator(of: stamp(11, 2), key: 7) == nil)
        #expect(memory.dominator(of: stamp(9, 1), key: 7) == nil, "its own")
        #expect(memory.dominator(of: stamp(9, 2), key: 8) == nil)
    }

    /// A coordinator's put that was overtaken by its own next one is still held against what others wrote.
    @Test(arguments: [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    func itsOwnLaterStampHidesNothing(order: [Int]) {
        var memory = memory()
        let merged = [stamp(5, 2), stamp(10, 1), stamp(11, 2)]
        for index in order { memory.remember(merged[index], key: 7, now: .zero) }
        #expect(memory.dominator(of: stamp(10, 0), key: 7) == stamp(11, 2))
        #expect(memory.dominator(of: stamp(9, 2), key: 7) == stamp(10, 1))
        #expect(memory.dominator(of: stamp(9, 1), key: 7) == stamp(11, 2))
    }

    /// Whatever comes, a put is told of a stamp of another writer at or above it, if there was one.
    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func nothingOfOthersIsMissed(seed: UInt64) {
        var random = Random(seed: seed)
        var memory = memory(capacity: 1 + random.below(20))
        var merged: [Stamp] = []
        for step in 0..<60 {
            let now = Instant.zero + .milliseconds(Int64(40 * step))
            memory.prune(now: now)
            let new = stamp(UInt64(random.below(40)), UInt64(random.below(4)))
            let greatest = merged.filter { $0.writer != new.writer && $0 > new }.max()
            if let greatest {
                let told = memory.dominator(of: new, key: 7)
                #expect(told.map { $0 >= greatest || $0.time >= new.time } == true)
            }
            memory.remember(new, key: 7, now: now)
            merged.append(new)
        }
    }
}
