import MartletBase
import MartletStorage

extension StorageConformance {
    @Sendable static func absent(_ engine: any StorageEngine) throws {
        try requireEqual(value(engine, key("a")), nil, "an empty engine holds nothing")
        try requireEqual(engine.readMeta(Blob("a")), nil, "an empty engine knows nothing")
        let page = try engine.scan(from: .empty, until: nil, limit: ScanLimit())
        try requireEqual(page, ScanPage(records: [], next: nil), "an empty engine lists nothing")
        try requireEqual(engine.scanMeta(prefix: .empty), [], "an empty engine lists no facts")
    }

    @Sendable static func readYourWrite(_ engine: any StorageEngine) throws {
        let record = ToyRecord.register(stamp: 1, value: "x")
        try merge(engine, [(key("a"), record)])
        try requireEqual(value(engine, key("a")), record, "a write is visible before any sync")
        try requireEqual(value(engine, key("b")), nil, "another key is untouched")
        let later = ToyRecord.register(stamp: 2, value: "y")
        try merge(engine, [(key("a"), later)])
        try requireEqual(value(engine, key("a")), later, "the later write wins")
    }

    @Sendable static func deletions(_ engine: any StorageEngine) throws {
        let old = ToyRecord.set([1, 2])
        for name in ["a", "b"] { try merge(engine, [(key(name), old)]) }
        // Held by caches, where there are some.
        for _ in 0..<3 { _ = try value(engine, key("a")) }
        var batch = WriteBatch()
        batch.delete(key("a"))
        batch.delete(key("never"))
        try engine.write(batch)
        try requireEqual(value(engine, key("a")), nil, "what is deleted is gone")
        try requireEqual(value(engine, key("b")), old, "another key is untouched")
        let keys = try engine.scan(from: .empty, until: nil, limit: ScanLimit()).records.map(\.key)
        try requireEqual(keys, [key("b").bytes], "what is deleted isn't listed")
        try merge(engine, [(key("a"), ToyRecord.set([3]))])
        try requireEqual(value(engine, key("a")), ToyRecord.set([3]), "a later write begins anew")
        batch.removeAll()
        batch.merge(key("a"), ToyRecord.set([4]))
        batch.delete(key("a"))
        batch.merge(key("a"), ToyRecord.set([5]))
        try engine.write(batch)
        try requireEqual(value(engine, key("a")), ToyRecord.set([5]), "within a batch the order counts")
        try engine.compact()
        try requireEqual(value(engine, key("a")), ToyRecord.set([5]), "nothing comes back by compaction")
    }

    @Sendable static func deletedKeyspace(_ engine: any StorageEngine) throws {
        func name(_ keyspace: UInt32, _ token: UInt64) -> StorageKey {
            StorageKey(keyspace: keyspace, token: token, key: Blob("k"))
        }
        let record = ToyRecord.set([1])
        let others = [name(1, .max), name(3, 0)]
        let gone = [name(2, 0), name(2, 7), name(2, .max)]
        try merge(engine, (others + gone).map { ($0, record) })
        for key in others + gone { _ = try value(engine, key) }
        var batch = WriteBatch()
        batch.deleteRange(keyspace: 2, 0...UInt64.max)
        try engine.write(batch)
        for key in gone { try requireEqual(value(engine, key), nil, "\(key) is gone") }
        for key in others { try requireEqual(value(engine, key), record, "\(key) is untouched") }
        try engine.compact()
        let keys = try engine.scan(from: .empty, until: nil, limit: ScanLimit()).records.map(\.key)
        try requireEqual(keys, others.map(\.bytes), "only the other keyspaces are listed")
        batch.removeAll()
        batch.deleteRange(keyspace: 3, 1...UInt64.max)
        batch.deleteRange(keyspace: 1, 0...(.max - 1))
        try engine.write(batch)
        for key in others { try requireEqual(value(engine, key), record, "\(key) lies beside the ranges") }
        batch.removeAll()
        batch.deleteRange(keyspace: 3, 0...0)
        try engine.write(batch)
        try requireEqual(value(engine, others[1]), nil, "a range of one token is deleted")
        try requireEqual(value(engine, others[0]), record, "and no other")
    }

    @Sendable static func oneKeyInABatch(_ engine: any StorageEngine) throws {
        try merge(engine, (0..<40).map { (key("a"), ToyRecord.set([UInt8($0)])) })
        try requireEqual(
            value(engine, key("a")), ToyRecord.set(Set(0..<40)), "every merge of the batch counts")
        for round in 0..<20 {
            try merge(
                engine, [(key("a"), ToyRecord.set([UInt8(100 + round)])), (key("a"), ToyRecord.set([99]))])
        }
        try requireEqual(
            value(engine, key("a")), ToyRecord.set(Set(0..<40).union(99..<120)),
            "merges of a key that is hot count like others")
    }

    @Sendable static func laws(_ engine: any StorageEngine) throws {
        var random = Random(seed: 7)
        var records = (0..<12).map { ToyRecord.set([UInt8($0), UInt8(truncatingIfNeeded: $0 * 31)]) }
        records += (0..<4).map { ToyRecord.register(stamp: UInt64($0), value: "v\($0)") } + [Blob("junk")]
        let expected = records.dropFirst().reduce(records[0], ToyRecord.joined)
        for trial in 0..<20 {
            let name = key("k\(trial)")
            random.shuffle(&records)
            var rest = records[...]
            while !rest.isEmpty {
                let part = rest.prefix(1 + random.below(5))
                rest = rest.dropFirst(part.count)
                try merge(engine, part.map { (name, $0) })
                if random.chance(0.3) { _ = try value(engine, name) }
                if random.chance(0.1) { try engine.compact() }
            }
            try requireEqual(
                value(engine, name), expected, "trial \(trial) of the same merges gives the same record")
        }
    }

    @Sendable static func idempotence(_ engine: any StorageEngine) throws {
        let a = ToyRecord.set([1, 2])
        let b = ToyRecord.set([2, 3])
        for _ in 0..<30 {
            try merge(engine, [(key("a"), a)])
            try merge(engine, [(key("a"), b), (key("a"), a)])
        }
        try requireEqual(
            value(engine, key("a")), ToyRecord.set([1, 2, 3]), "a merge that is repeated adds nothing")
    }

    @Sendable static func undecodable(_ engine: any StorageEngine) throws {
        let record = ToyRecord.register(stamp: 1, value: "x")
        try merge(engine, [(key("a"), Blob("zzz")), (key("a"), record), (key("a"), Blob([2, 9, 3]))])
        try requireEqual(value(engine, key("a")), record, "bytes that aren't a record lose")
        try merge(engine, [(key("b"), Blob("junk"))])
        try requireEqual(value(engine, key("b")), Blob("junk"), "bytes alone are kept as they are")
    }

    @Sendable static func sizes(_ engine: any StorageEngine) throws {
        let large = ToyRecord.register(stamp: 1, value: String(repeating: "x", count: 1 << 20))
        try merge(engine, [(key("empty"), .empty), (key(""), ToyRecord.set([])), (key("large"), large)])
        try requireEqual(value(engine, key("empty")), .empty, "an empty record is a record")
        try requireEqual(value(engine, key("")), ToyRecord.set([]), "the empty key is a key")
        try requireEqual(value(engine, key("large")), large, "a large record is kept whole")
        try merge(engine, [(key("empty"), .empty)])
        try engine.compact()
        try requireEqual(
            value(engine, key("empty")), .empty, "an empty record outlives merges and compaction")
        try requireEqual(value(engine, key("large")), large, "a large record outlives compaction")
    }

    @Sendable static func facts(_ engine: any StorageEngine) throws {
        var batch = WriteBatch()
        for (name, value) in [
            ("ring/b", "2"), ("ring/a", "1"), ("ring", "0"), ("peer/x", "9"), ("ring/a", "3"),
        ] {
            batch.putMeta(Blob(name), Blob(value))
        }
        batch.putMeta(Blob([0xFF, 0xFF]), Blob("high"))
        batch.putMeta(Blob([0xFF, 0xFF, 1]), .empty)
        try engine.write(batch)
        func list(_ prefix: Blob) throws -> [String] {
            try engine.scanMeta(prefix: prefix).map { "\($0.key)=\($0.value)" }
        }
        try requireEqual(list(Blob("ring/")), ["ring/a=3", "ring/b=2"], "a prefix lists what starts with it")
        try requireEqual(
            list(Blob([0xFF, 0xFF])), ["\\xff\\xff=high", "\\xff\\xff\\x01="], "the highest prefix has an end"
        )
        try requireEqual(list(.empty).count, 6, "the empty prefix lists everything")
        try requireEqual(engine.readMeta(Blob("ring/a")), Blob("3"), "the last value stands")
        try requireEqual(engine.readMeta(Blob("rin")), nil, "a prefix is no key")
        try requireEqual(engine.readMeta(Blob([0xFF, 0xFF, 1])), .empty, "an empty value is a value")
    }

    @Sendable static func hints(_ engine: any StorageEngine) throws {
        var batch = WriteBatch()
        for name in ["b2", "a1", "b1", "a2", "b3"] { batch.putHint(Blob(name), Blob("for \(name)")) }
        batch.deleteHint(Blob("b2"))
        batch.deleteHint(Blob("never there"))
        try engine.write(batch)
        func list(_ lower: String, _ upper: String?, _ limit: ScanLimit = ScanLimit()) throws -> [String] {
            let page = try engine.scanHints(from: Blob(lower), until: upper.map { Blob($0) }, limit: limit)
            return page.records.map { "\($0.key)=\($0.value)" } + (page.next.map { ["...\($0)"] } ?? [])
        }
        try requireEqual(
            list("", nil), ["a1=for a1", "a2=for a2", "b1=for b1", "b3=for b3"], "hints in their order")
        try requireEqual(list("b", "b3"), ["b1=for b1"], "a target's hints, up to a bound")
        try requireEqual(
            list("a2", nil, ScanLimit(recordsMax: 1)), ["a2=for a2", "...b1"], "a page of hints")
        try requireEqual(value(engine, key("a1")), nil, "a hint is no record")
        try requireEqual(engine.readMeta(Blob("a1")), nil, "a hint is no fact")
        batch.removeAll()
        for name in ["a1", "b3"] { batch.deleteHint(Blob(name)) }
        batch.putHint(Blob("c1"), .empty)
        try engine.write(batch)
        try engine.compact()
        try requireEqual(list("", nil), ["a2=for a2", "b1=for b1", "c1="], "what was deleted is gone")
        _ = try engine.sync()
    }

    @Sendable static func apart(_ engine: any StorageEngine) throws {
        let name = key("a")
        let record = ToyRecord.register(stamp: 1, value: "x")
        var batch = WriteBatch()
        batch.putMeta(name.bytes, Blob("fact"))
        batch.merge(name, record)
        try engine.write(batch)
        try requireEqual(value(engine, name), record, "a fact doesn't touch the record of the same name")
        try requireEqual(
            engine.readMeta(name.bytes), Blob("fact"), "a record doesn't touch the fact of the same name")
        let page = try engine.scan(from: .empty, until: nil, limit: ScanLimit())
        try requireEqual(page.records, [StoredPair(key: name.bytes, value: record)], "facts aren't scanned")
    }

    @Sendable static func emptyBatch(_ engine: any StorageEngine) throws {
        let first = try engine.write(WriteBatch())
        try merge(engine, [(key("a"), .empty)])
        let written = try engine.write(WriteBatch())
        try require(first < written, "a write has a number")
        try requireEqual(
            engine.write(WriteBatch()), written, "an empty batch has the number of the one before")
    }

    @Sendable static func numbers(_ engine: any StorageEngine) throws {
        var last = SequenceNumber.zero
        for round in 0..<10 {
            var batch = WriteBatch()
            batch.merge(key("k\(round % 3)"), ToyRecord.set([UInt8(round)]))
            batch.putMeta(Blob("round"), Blob("\(round)"))
            let written = try engine.write(batch)
            try require(written > last, "numbers rise")
            last = written
            let synced = try engine.sync()
            try require(synced >= written, "a sync covers what was written before it")
            try requireEqual(engine.sync(), synced, "a sync with nothing to do says the same")
        }
        // A merge that changes nothing may need no write; its number must not be one that a sync has to
        // reach first.
        var batch = WriteBatch()
        batch.merge(key("k0"), ToyRecord.set([0]))
        let repeated = try engine.write(batch)
        try require(repeated >= last, "numbers never fall")
        try require(engine.sync() >= repeated, "a sync covers a write that changed nothing")
        try requireEqual(engine.statistics().lastSynced, engine.sync(), "the statistics agree")
    }

    @Sendable static func closed(_ engine: any StorageEngine) throws {
        try merge(engine, [(key("a"), .empty)])
        try engine.close()
        var batch = WriteBatch()
        batch.merge(key("b"), .empty)
        do {
            try engine.write(batch)
        } catch { return }
        throw Broken(description: "a closed engine took a write")
    }
}
