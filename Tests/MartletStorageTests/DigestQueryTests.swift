import MartletBase
import MartletStorage
import StorageConformance
import Testing

/// Many ranges at once say what each says by itself, however records lie in and between them.
@Suite struct DigestQueryTests {
    private static let leaves = 200
    private static let noLimit = ScanLimit(recordsMax: .max, bytesMax: .max)

    /// A store with up to so many keys a leaf, and the tokens of every other leaf or so.
    private struct Store {
        let engine = MemoryEngine(ToyRecord.rules)
        var ranges: [ClosedRange<UInt64>] = []
        var visits = 0

        init(seed: UInt64, keysMax: Int, share: Double) throws {
            var random = Random(seed: seed)
            var batch = WriteBatch()
            for leaf in 0..<UInt64(DigestQueryTests.leaves) {
                let first = leaf << DigestQuery.leafBits
                for number in 0..<random.below(keysMax + 1) {
                    let token = first + UInt64(random.below(1 << 40))
                    batch.merge(
                        StorageKey(keyspace: 0, token: token, key: Blob("\(leaf):\(number)")),
                        ToyRecord.register(stamp: UInt64(number), value: "v"))
                }
                if random.chance(share) { ranges.append(first...(first + (1 << DigestQuery.leafBits - 1))) }
            }
            _ = try engine.write(batch)
        }

        func query(_ ranges: [ClosedRange<UInt64>], _ wanted: DigestQuery.Wanted, _ limit: ScanLimit)
            -> DigestQuery
        {
            DigestQuery(keyspace: 0, ranges: ranges, horizon: Horizon(), wanted: wanted, limit: limit)
        }

        mutating func page(_ query: DigestQuery) throws -> DigestPage {
            var visits = 0
            let page = try query.page(ToyRecord.rules) { (from, until, body) throws(StorageError) in
                visits += 1
                try engine.visit(from: from, until: until, body)
            }
            self.visits += visits
            return page
        }
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>, [1, 4, 40])
    func pagesSayWhatEachRangeSays(seed: UInt64, keysMax: Int) throws {
        var store = try Store(seed: seed, keysMax: keysMax, share: 0.5)
        var random = Random(seed: seed + 1_000)
        var expected: [String] = []
        var sums: [DigestPage.LeafSum] = []
        for (number, range) in store.ranges.enumerated() {
            let page = try store.page(store.query([range], .tags(.full), Self.noLimit))
            expected += page.tagged.map { "\(number) \($0.key) \($0.tag)" }
            sums += try store.page(store.query([range], .sums, Self.noLimit)).sums
        }
        var found: [String] = []
        var query = store.query(
            store.ranges, .tags(.full), ScanLimit(recordsMax: 1 + random.below(100), bytesMax: .max))
        var base = 0
        while true {
            let page = try store.page(query)
            found += page.tagged.map { "\(base + $0.range) \($0.key) \($0.tag)" }
            guard let next = page.next else { break }
            query.ranges.removeFirst(next.range)
            query.ranges[0] = next.token...query.ranges[0].upperBound
            base += next.range
        }
        #expect(found == expected)
        #expect(try store.page(store.query(store.ranges, .sums, Self.noLimit)).sums == sums)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>, [1, 4, 40])
    func whatIsUnknownAndWhatIsMissing(seed: UInt64, keysMax: Int) throws {
        var store = try Store(seed: seed, keysMax: keysMax, share: 0.3)
        var random = Random(seed: seed + 2_000)
        var listed: [[UInt64]] = []
        var (unknown, missing): ([Blob], [[Int]]) = ([], [])
        for range in store.ranges {
            var tags: [UInt64] = []
            for tagged in try store.page(store.query([range], .tags(.full), Self.noLimit)).tagged {
                if random.chance(0.5) { tags.append(tagged.tag) } else { unknown.append(tagged.key) }
            }
            let hasStranger = random.chance(0.3)
            missing.append(hasStranger ? [tags.count] : [])
            if hasStranger { tags.append(random.next()) }
            listed.append(tags)
        }
        let page = try store.page(store.query(store.ranges, .unknown(.full, listed: listed), Self.noLimit))
        // Fewer than end a page.
        #expect(page.next == nil)
        #expect(page.records.map(\.key) == unknown)
        #expect(page.missing == missing)
    }

    /// To pass a few records takes less than to seek, to pass many takes more.
    @Test func fewRecordsBetweenRangesArePassed() throws {
        var sparse = try Store(seed: 1, keysMax: 1, share: 0.5)
        _ = try sparse.page(sparse.query(sparse.ranges, .sums, Self.noLimit))
        #expect(sparse.visits == 1)
        var dense = try Store(seed: 1, keysMax: 1_000, share: 0.1)
        let page = try dense.page(dense.query(dense.ranges, .sums, Self.noLimit))
        #expect(dense.visits > dense.ranges.count / 2 && dense.visits <= dense.ranges.count)
        let within = try dense.ranges.reduce(0) {
            try $0 + dense.page(dense.query([$1], .sums, Self.noLimit)).passed
        }
        #expect(page.passed <= within + dense.ranges.count * (Limits.digestGapMax + 1))
    }
}
