import MartletBase
import Testing

@Suite struct HashTableTests {
    @Test(arguments: 1...10)
    func itDoesWhatADictionaryDoes(seed: UInt64) {
        var random = Random(seed: seed)
        var table = HashTable<Int>()
        var model: [UInt64: Int] = [:]
        // Few hashes that collide much: multiples of a power of two, and neighbours.
        let hashes = (0..<200).map { _ in
            random.chance(0.5) ? random.next() & 0xFF << 56 | 1 : UInt64(2 + random.below(300))
        }
        for step in 0..<20_000 {
            let hash = hashes[random.below(hashes.count)]
            if random.chance(0.4) {
                table[hash] = nil
                model[hash] = nil
            } else {
                table[hash] = step
                model[hash] = step
            }
            #expect(table.count == model.count)
        }
        for hash in hashes { #expect(table[hash] == model[hash], "seed \(seed)") }
    }

    @Test func zeroIsAHashToo() {
        var table = HashTable<Int>()
        #expect(table[0] == nil)
        table[0] = 7
        #expect(table[0] == 7)
        #expect(table.count == 1)
        table[0] = nil
        #expect(table[0] == nil)
        #expect(table.count == 0)
    }
}
