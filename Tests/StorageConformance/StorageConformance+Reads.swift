import MartletBase
import MartletStorage

extension StorageConformance {
    @Sendable static func scanOrder(_ engine: any StorageEngine) throws {
        let names = [
            key("b", token: 1), key("a", token: 1), key("a", token: 0x8000_0000_0000_0000),
            key("z", token: 0),
            StorageKey(keyspace: 1, token: 0, key: Blob("a")), key("ab", token: 1), key("", token: 1),
        ]
        for name in names { try merge(engine, [(name, ToyRecord.set([1]))]) }
        func scan(_ from: Blob, _ until: Blob?) throws -> [Blob] {
            try engine.scan(from: from, until: until, limit: ScanLimit()).records.map(\.key)
        }
        let ordered = names.sorted().map(\.bytes)
        try requireEqual(scan(.empty, nil), ordered, "a scan goes by unsigned bytes")
        // What arrives later finds its place among what was listed before.
        try merge(engine, [(key("aa", token: 1), ToyRecord.set([2]))])
        let more = (names + [key("aa", token: 1)]).sorted().map(\.bytes)
        try requireEqual(scan(.empty, nil), more, "a scan sees later keys in their place")
        for low in 0..<more.count {
            for high in low..<more.count {
                try requireEqual(
                    scan(more[low], more[high]), Array(more[low..<high]),
                    "the upper bound isn't part of the range")
            }
        }
        let gap = Blob(more[3].bytes + [0])
        try requireEqual(scan(gap, nil), Array(more[4...]), "a range may start between keys")
        try requireEqual(scan(Blob([0xFF]), nil), [], "past the end is nothing")
        try requireEqual(scan(.empty, .empty), [], "nothing lies below the empty key")
    }

    @Sendable static func scanPages(_ engine: any StorageEngine) throws {
        let record = ToyRecord.register(stamp: 1, value: String(repeating: "v", count: 100))
        let names = (0..<250).map { key("k\($0)", token: UInt64($0 * 7919 % 251)) }
        try merge(engine, names.map { ($0, record) })
        for limit in [
            ScanLimit(recordsMax: 1), ScanLimit(recordsMax: 7), ScanLimit(recordsMax: 250),
            ScanLimit(recordsMax: 251), ScanLimit(bytesMax: 1), ScanLimit(bytesMax: 5_000),
        ] {
            var seen: [Blob] = []
            var next: Blob? = .empty
            while let from = next {
                let page = try engine.scan(from: from, until: nil, limit: limit)
                try require(page.records.count <= limit.recordsMax, "a page keeps its limit")
                try require(page.next == nil || !page.records.isEmpty, "a page that goes on holds something")
                seen += page.records.map(\.key)
                next = page.next
            }
            try requireEqual(seen, names.sorted().map(\.bytes), "pages of \(limit) hold everything once")
        }
    }

    @Sendable static func expiry(_ engine: any StorageEngine) throws {
        let soon = ToyRecord.register(stamp: 5, value: "soon", expiry: 1_000)
        let late = ToyRecord.register(stamp: 6, value: "late", expiry: 5_000)
        let never = ToyRecord.register(stamp: 7, value: "never")
        let set = ToyRecord.set([1, 2, 3])
        try merge(
            engine, [(key("soon"), soon), (key("late"), late), (key("never"), never), (key("set"), set)])
        // A second merge, so that the store holds operands that no compaction has joined yet.
        try merge(engine, [(key("soon"), ToyRecord.register(stamp: 4, value: "older", expiry: 900))])
        try engine.compact()
        try engine.compact()
        try requireEqual(value(engine, key("soon")), soon, "without a cutoff nothing is dropped")
        engine.dropValues(expiredBefore: WallTime(milliseconds: 1_000))
        try engine.compact()
        try engine.compact()
        try requireEqual(
            value(engine, key("soon")), soon, "a value that expires at the cutoff isn't expired before it")
        engine.dropValues(expiredBefore: WallTime(milliseconds: 2_000))
        try engine.compact()
        try engine.compact()
        let shed = ToyRecord.register(stamp: 5, value: nil, expiry: 1_000)
        // Another key's read first: what is cached of "soon" may still have its value, which is right as
        // well.
        try requireEqual(value(engine, key("late")), late, "a value that expires later stays")
        try requireEqual(value(engine, key("never")), never, "a value without expiry stays")
        try requireEqual(value(engine, key("set")), set, "another kind stays")
        try requireEqual(value(engine, key("soon")), shed, "the value's bytes go, stamp and expiry stay")
        try require(engine.statistics().valuesDropped > 0, "dropped values are counted")
    }

    @Sendable static func expiryThenWrite(_ engine: any StorageEngine) throws {
        let name = key("a")
        let old = ToyRecord.register(stamp: 5, value: "old", expiry: 1_000)
        try merge(engine, [(name, old)])
        engine.dropValues(expiredBefore: WallTime(milliseconds: 2_000))
        try engine.compact()
        try engine.compact()
        try merge(engine, [(name, ToyRecord.register(stamp: 4, value: "older"))])
        let shed = ToyRecord.register(stamp: 5, value: nil, expiry: 1_000)
        try requireEqual(value(engine, name), shed, "a record without its value still wins by its stamp")
        try merge(engine, [(name, old)])
        try requireEqual(value(engine, name), old, "a present value beats a dropped one")
        let new = ToyRecord.register(stamp: 9, value: "new")
        try merge(engine, [(name, new)])
        try engine.compact()
        try requireEqual(value(engine, name), new, "a later write stands")
    }

    @Sendable static func memoryTier(_ engine: any StorageEngine) throws {
        var random = Random(seed: 3)
        var model: [StorageKey: Blob] = [:]
        for round in 0..<300 {
            let name = key("k\(random.below(30))")
            if random.chance(0.6) {
                let record = ToyRecord.set([UInt8(random.below(256))])
                try merge(engine, [(name, record)])
                model[name] = model[name].map { ToyRecord.joined($0, record) } ?? record
            }
            if round % 97 == 96 { try engine.compact() }
            switch try engine.read(name, tier: .memoryOnly) {
            case .found(let record):
                try requireEqual(record, model[name], "memory holds the present record (round \(round))")
            case .absent: try requireEqual(nil, model[name], "memory knows what is absent (round \(round))")
            case .cold: try requireEqual(value(engine, name), model[name], "the disk knows (round \(round))")
            }
        }
    }

    @Sendable static func agreesWithModel(_ engine: any StorageEngine, seed: UInt64) throws {
        var random = Random(seed: seed)
        var records: [Blob: Blob] = [:]
        var facts: [Blob: Blob] = [:]
        var hints: [Blob: Blob] = [:]
        for round in 0..<400 {
            var batch = WriteBatch()
            for _ in 0..<random.below(6) {
                if random.chance(0.1) {
                    let name = Blob("f\(random.below(9))")
                    let value = Blob("\(random.next())")
                    batch.putMeta(name, value)
                    facts[name] = value
                    continue
                }
                if random.chance(0.2) {
                    let name = Blob("h\(random.below(20))")
                    if random.chance(0.5) {
                        batch.deleteHint(name)
                        hints[name] = nil
                    } else {
                        hints[name] = Blob("\(random.next())")
                        batch.putHint(name, hints[name]!)
                    }
                    continue
                }
                // A few keys get most of the merges, so that some become hot.
                let name = key("k\(min(random.below(60), random.below(60)))", token: UInt64(random.below(3)))
                let record =
                    random.chance(0.5)
                    ? ToyRecord.register(stamp: UInt64(random.below(50)), value: "\(random.below(100))")
                    : ToyRecord.set([UInt8(random.below(256)), UInt8(random.below(256))])
                batch.merge(name, record)
                records[name.bytes] = records[name.bytes].map { ToyRecord.joined($0, record) } ?? record
            }
            try engine.write(batch)
            if random.chance(0.2) { _ = try engine.sync() }
            if random.chance(0.005) { try engine.compact() }
            let name = key("k\(random.below(60))", token: UInt64(random.below(3)))
            let tier: ReadTier = random.chance(0.7) ? .memoryOnly : .any
            var found = try engine.read(name, tier: tier)
            if found == .cold { found = try engine.read(name, tier: .any) }
            let expected = records[name.bytes].map(ReadResult.found) ?? .absent
            try requireEqual(found, expected, "round \(round), key \(name.bytes)")
        }
        let page = try engine.scan(from: .empty, until: nil, limit: ScanLimit())
        let expected = records.map { StoredPair(key: $0.key, value: $0.value) }.sorted { $0.key < $1.key }
        try requireEqual(page.records, expected, "the whole store")
        let expectedFacts = facts.map { StoredPair(key: $0.key, value: $0.value) }.sorted { $0.key < $1.key }
        try requireEqual(engine.scanMeta(prefix: .empty), expectedFacts, "all facts")
        let kept = try engine.scanHints(from: .empty, until: nil, limit: ScanLimit())
        let expectedHints = hints.map { StoredPair(key: $0.key, value: $0.value) }.sorted { $0.key < $1.key }
        try requireEqual(kept.records, expectedHints, "all hints")
    }
}
