import MartletBase
import MartletStorage
import Testing

@Suite struct RecordCacheTests {
    private func key(_ number: Int) -> StorageKey {
        StorageKey(keyspace: 0, token: UInt64(number), key: Blob("k\(number)"))
    }

    @Test func itHoldsTheLastRecordWithinItsBytes() {
        var cache = RecordCache(bytesMax: 10_000)
        for number in 0..<500 {
            cache.hold(Blob("r\(number)"), under: key(number))
            cache.checkInvariants()
        }
        #expect(cache.count < 500)
        #expect(cache.record(key(499)) == Blob("r499"))
        cache.hold(Blob("other"), under: key(499))
        #expect(cache.record(key(499)) == Blob("other"))
        cache.remove(key(499))
        #expect(cache.record(key(499)) == nil)
        cache.checkInvariants()
    }

    @Test func whatIsAskedForStaysThroughAScan() {
        var cache = RecordCache(bytesMax: 20_000)
        for number in 0..<10 { cache.hold(Blob("hot"), under: key(number)) }
        for number in 10..<2_000 {
            cache.hold(Blob("cold"), under: key(number))
            if number % 20 == 0 { for hot in 0..<10 { _ = cache.record(key(hot)) } }
        }
        #expect((0..<10).allSatisfy { cache.record(key($0)) == Blob("hot") })
        cache.checkInvariants()
    }

    @Test func aRecordThatIsTooLargeTakesNoPlaceAndLeavesNoOldOne() {
        var cache = RecordCache(bytesMax: 1 << 20)
        cache.hold(Blob("small"), under: key(1))
        cache.hold(Blob([UInt8](repeating: 0, count: Limits.cachedRecordBytesMax + 1)), under: key(1))
        #expect(cache.record(key(1)) == nil)
        #expect(cache.count == 0)
        cache.checkInvariants()
    }

    @Test func aCacheOfNoBytesHoldsNothingAndFindsNothingHot() {
        var cache = RecordCache(bytesMax: 0)
        cache.hold(Blob("r"), under: key(1))
        #expect(cache.record(key(1)) == nil)
        #expect((0..<100).allSatisfy { _ in !cache.isHot(afterBlindMergeOf: key(1)) })
    }

    @Test func aKeyThatIsMergedIntoAgainAndAgainIsHotAndOthersAreNot() {
        var cache = RecordCache(bytesMax: 1 << 20)
        var hot = 0
        var cold = 0
        for round in 0..<20_000 {
            if cache.isHot(afterBlindMergeOf: key(round)) { cold += 1 }
            if round % 10 == 0, cache.isHot(afterBlindMergeOf: key(-1 & 0xFFFF_FFFF)) { hot += 1 }
        }
        #expect(cold == 0)
        #expect(hot >= 2_000 / Limits.blindMergesMax - 50)
    }

    /// Against a model without a bound: what the cache holds is always what was last put in.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func itIsNeverWrong(seed: UInt64) {
        var random = Random(seed: seed)
        var cache = RecordCache(bytesMax: 4_000)
        var model: [StorageKey: Blob] = [:]
        for round in 0..<2_000 {
            let name = key(random.below(60))
            switch random.below(8) {
            case 0:
                cache.remove(name)
                model[name] = nil
            case 1...3:
                let record = Blob("\(round)")
                cache.hold(record, under: name)
                model[name] = record
            default:
                if let found = cache.record(name) {
                    #expect(found == model[name], "seed \(seed), round \(round)")
                }
            }
        }
        cache.checkInvariants()
    }
}
