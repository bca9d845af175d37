import CRocksDB
import Glibc
import MartletBase
import MartletRocksDB
import MartletStorage
import StorageConformance
import Testing

@Suite struct RocksDBEngineTests {
    private let scratch = Scratch()

    private func write(_ engine: RocksDBEngine, _ numbers: Range<Int>) throws {
        for number in numbers {
            var batch = WriteBatch()
            batch.merge(StorageConformance.key("k\(number)"), record(number))
            try engine.write(batch)
        }
    }

    private func record(_ number: Int) -> Blob {
        ToyRecord.register(stamp: UInt64(number + 1), value: String(repeating: "v\(number)", count: 20))
    }

    private func present(_ engine: RocksDBEngine, _ numbers: Range<Int>) throws -> Int {
        try numbers.count {
            try StorageConformance.value(engine, StorageConformance.key("k\($0)")) == record($0)
        }
    }

    // MARK: The engine's promises

    @Test(arguments: StorageConformance.cases)
    func conforms(_ conformanceCase: ConformanceCase) throws {
        try conformanceCase.run(scratch.engine())
    }

    /// With neither cache nor hot keys the merge operator does all the work.
    @Test(arguments: StorageConformance.cases)
    func conformsWithoutTheRecordCache(_ conformanceCase: ConformanceCase) throws {
        var settings = Scratch.settings
        settings.recordCacheBytes = 0
        try conformanceCase.run(scratch.engine(settings: settings))
    }

    @Test func whatWasWrittenIsThereAfterACleanEnd() throws {
        do {
            let engine = try scratch.engine()
            try write(engine, 0..<100)
            try engine.close()
        }
        let engine = try scratch.engine()
        #expect(try present(engine, 0..<100) == 100)
        #expect(engine.statistics().lastWritten == SequenceNumber(100))
    }

    /// As the version before hints made it.
    @Test func aFolderFromBeforeHintsOpens() throws {
        do {
            let engine = try scratch.engine()
            try write(engine, 0..<100)
            try engine.close()
        }
        try dropHints()
        do {
            let engine = try scratch.engine()
            #expect(try present(engine, 0..<100) == 100)
            var batch = WriteBatch()
            batch.putHint(Blob("a"), Blob("1"))
            try engine.write(batch)
            try engine.close()
        }
        let engine = try scratch.engine()
        let page = try engine.scanHints(from: .empty, until: nil, limit: ScanLimit())
        #expect(page.records == [StoredPair(key: Blob("a"), value: Blob("1"))])
    }

    private func dropHints() throws {
        try withDatabase(["default", "meta", "data", "hints"]) { database, families in
            try call { rocksdb_drop_column_family(database, families[3], $0) }
        }
    }

    /// Opens the engine's database without the engine, as another version would: nothing is compacted.
    private func withDatabase(
        _ known: [String], _ body: (OpaquePointer?, [OpaquePointer?]) throws -> Void
    ) throws {
        let names: [UnsafeMutablePointer<CChar>?] = known.map { strdup($0) }
        defer { for name in names { free(name) } }
        let options = rocksdb_options_create()
        defer { rocksdb_options_destroy(options) }
        rocksdb_options_set_disable_auto_compactions(options, 1)
        var families = [OpaquePointer?](repeating: nil, count: names.count)
        var database: OpaquePointer?
        try call {
            database = rocksdb_open_column_families(
                options, scratch.node + "/db", Int32(names.count), names.map { UnsafePointer<CChar>($0) },
                names.map { _ in options }, &families, $0)
        }
        defer {
            for family in families { rocksdb_column_family_handle_destroy(family) }
            rocksdb_close(database)
        }
        try body(database, families)
    }

    private func call(_ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Void) throws {
        var text: UnsafeMutablePointer<CChar>?
        body(&text)
        try #require(text == nil, "\(text.map { String(cString: $0) } ?? "")")
    }

    /// At its start the engine opens sixteen of them.
    @Test func aReadFromMemoryAloneIsColdWhereATableIsntOpen() throws {
        try scratch.engine().close()
        try withDatabase(["default", "meta", "data", "hints"]) { database, families in
            let write = rocksdb_writeoptions_create()
            defer { rocksdb_writeoptions_destroy(write) }
            let flush = rocksdb_flushoptions_create()
            defer { rocksdb_flushoptions_destroy(flush) }
            for number in 0..<40 {
                let (key, value) = (StorageConformance.key("k\(number)").bytes.bytes, record(number).bytes)
                try call {
                    rocksdb_put_cf(
                        database, write, families[2], key.map { CChar(bitPattern: $0) }, key.count,
                        value.map { CChar(bitPattern: $0) }, value.count, $0)
                }
                try call { rocksdb_flush_cf(database, flush, families[2], $0) }
            }
        }
        let engine = try scratch.engine()
        for number in 0..<40 {
            let name = StorageConformance.key("k\(number)")
            let found = try engine.read(name, tier: .memoryOnly)
            #expect(found == .cold || found == .found(record(number)), "k\(number): \(found)")
        }
        #expect(try present(engine, 0..<40) == 40)
    }

    @Test func aReadFromMemoryAloneIsColdUntilTheDiskWasRead() throws {
        var settings = Scratch.settings
        settings.recordCacheBytes = 0
        do {
            let engine = try scratch.engine(settings: settings)
            try write(engine, 0..<10)
            try engine.close()
        }
        let engine = try scratch.engine(settings: settings)
        let name = StorageConformance.key("k1")
        #expect(try engine.read(name, tier: .memoryOnly) == .cold)
        #expect(try engine.read(name, tier: .any) == .found(record(1)))
        #expect(try engine.read(name, tier: .memoryOnly) == .found(record(1)))
        // Bytes in place, without a copy.
        guard case .found(let count) = try engine.withRecord(name, tier: .memoryOnly, { $0.byteCount }) else {
            Issue.record("not found")
            return
        }
        #expect(count == record(1).count)
    }

    /// Not timed, but counted: a file's whole filter would be 250 kB here, its index 100.
    @Test func aColdReadReadsAFewBlocks() throws {
        var settings = Scratch.settings
        settings.blockCacheBytes = 256 << 10
        settings.memtableBytes = 64 << 20
        settings.recordCacheBytes = 0
        let engine = try scratch.engine(settings: settings)
        for start in stride(from: 0, to: 200_000, by: 1_000) {
            var batch = WriteBatch()
            for number in start..<(start + 1_000) {
                batch.merge(StorageConformance.key("k\(number)"), record(number))
            }
            try engine.write(batch)
        }
        try engine.compact()
        let reads = 400
        let before = try Self.bytesRead()
        for number in 0..<reads { #expect(try present(engine, (number * 499)..<(number * 499 + 1)) == 1) }
        let bytes = try Self.bytesRead() - before
        #expect(bytes / reads < 24_000, "a cold read takes \(bytes / reads) bytes from the disk or its cache")
    }

    /// By system calls of this thread, whether the disk or the system's cache answered them.
    private static func bytesRead() throws -> Int {
        let text = String(decoding: try Scratch.read("/proc/thread-self/io"), as: UTF8.self)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("rchar:") })
        return try #require(Int(line.dropFirst(7)))
    }

    @Test func theRecordCacheAnswersAndAMergeThatChangesNothingIsNotWritten() throws {
        let engine = try scratch.engine()
        try write(engine, 0..<1)
        let name = StorageConformance.key("k0")
        for _ in 0..<3 { #expect(try engine.read(name, tier: .memoryOnly) == .found(record(0))) }
        #expect(engine.statistics().recordCacheHits == 2)
        let before = engine.statistics()
        try write(engine, 0..<1)
        #expect(engine.statistics().batches == before.batches)
        #expect(engine.statistics().lastWritten == before.lastWritten)
    }

    @Test func aHotKeyIsReadFromTheCacheWithoutHavingBeenRead() throws {
        let engine = try scratch.engine()
        let name = StorageConformance.key("hot")
        for round in 0..<40 {
            try StorageConformance.merge(engine, [(name, ToyRecord.set([UInt8(round)]))])
        }
        #expect(try engine.read(name, tier: .memoryOnly) == .found(ToyRecord.set(Set(0..<40))))
        #expect(engine.statistics().recordCacheHits == 1)
        #expect(
            try engine.read(name, tier: .any) == .found(ToyRecord.set(Set(0..<40))), "and so from the engine")
    }

    @Test func statisticsSaySomething() throws {
        let engine = try scratch.engine()
        try write(engine, 0..<1_000)
        _ = try engine.sync()
        try engine.checkHealth()
        let statistics = engine.statistics()
        #expect(statistics.diskBytes > 0)
        #expect(statistics.diskFreeBytes > 0)
        #expect(statistics.memtableBytes > 100_000)
        #expect(statistics.batches == 1_000)
        #expect(statistics.syncs == 1)
        #expect(statistics.backgroundErrors == 0)
        #expect(!statistics.isWriteStopped)
        #expect(engine.refusal == nil)
        try engine.compact()
        #expect(engine.statistics().levelZeroFiles == 0)
    }

    @Test func aDiskThatIsNearlyFullRefusesWritesAndStillReads() throws {
        var settings = Scratch.settings
        settings.diskFreeMinBytes = .max
        let engine = try scratch.engine(settings: settings)
        try write(engine, 0..<1)
        try engine.checkHealth()
        #expect(engine.refusal == .diskFull)
        #expect(throws: StorageError.refused(.diskFull)) { try write(engine, 1..<2) }
        #expect(try present(engine, 0..<2) == 1)
        #expect(engine.statistics().refusedDiskFull == 1)
    }

    @Test func aWriteThatWouldStallIsRefusedAtOnceAndHeals() throws {
        var settings = Scratch.settings
        settings.memtableBytes = 64 << 10
        let engine = try scratch.engine(settings: settings)
        let large = String(repeating: "v", count: 16 << 10)
        func record(_ number: Int) -> Blob { ToyRecord.register(stamp: UInt64(number + 1), value: large) }
        var refused = 0
        // Four of these fill a table, and writing a table out takes an fsync: the tables can't keep up.
        for number in 0..<2_000 {
            while true {
                do {
                    try StorageConformance.merge(
                        engine, [(StorageConformance.key("k\(number)"), record(number))])
                    break
                } catch let error as StorageError {
                    guard error == .refused(.stalled) else { throw error }
                    refused += 1
                }
            }
        }
        #expect(refused > 0)
        #expect(engine.statistics().refusedStalled == refused)
        let isThere = try (0..<2_000).allSatisfy {
            try StorageConformance.value(engine, StorageConformance.key("k\($0)")) == record($0)
        }
        #expect(isThere)
    }

    // MARK: Threads

    @Test func theLoopWritesWhileOthersSyncReadAndLook() async throws {
        let engine = try scratch.engine()
        let batches = 2_000
        async let syncing: Int = Task.detached {
            var covered = SequenceNumber.zero
            var syncs = 0
            while covered < SequenceNumber(UInt64(batches)) {
                let now = try engine.sync()
                #expect(now >= covered)
                covered = now
                syncs += 1
            }
            return syncs
        }.value
        async let looking: Void = Task.detached {
            for round in 0..<300 {
                _ = try StorageConformance.value(engine, StorageConformance.key("k\(round)"))
                if round % 50 == 0 {
                    _ = try engine.scan(from: .empty, until: nil, limit: ScanLimit())
                    _ = engine.statistics()
                    try engine.checkHealth()
                    engine.dropValues(expiredBefore: WallTime(milliseconds: Int64(round)))
                    try engine.compact()
                }
            }
        }.value
        for number in 0..<batches {
            try write(engine, number..<(number + 1))
            _ = try engine.read(StorageConformance.key("k\(number)"), tier: .memoryOnly)
        }
        #expect(try await syncing > 0)
        try await looking
        #expect(try present(engine, 0..<batches) == batches)
        try engine.close()
    }
}
