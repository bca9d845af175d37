import CRocksDB
import MartletBase
import MartletStorage

extension RocksDBEngine {
    /// What a look-up that lends its bytes found.
    package enum Lent<Result> {
        case found(Result)
        case absent
        case cold
    }

    package func read(_ key: StorageKey, tier: ReadTier) throws(StorageError) -> ReadResult {
        switch tier {
        case .any: return try lookUp(key, options: readAny.pointer)
        case .memoryOnly: break
        }
        // On the loop, which alone may touch the record cache.
        try checkUsable()
        if let record = loop.cache.record(key) {
            counters.cacheHits.wrappingAdd(1, ordering: .relaxed)
            return .found(record)
        }
        counters.cacheMisses.wrappingAdd(1, ordering: .relaxed)
        let result = try lookUp(key, options: readMemory.pointer)
        if case .found(let record) = result { loop.cache.hold(record, under: key) }
        return result
    }

    /// Calls the body with the record's bytes in place; they last as long as the call.
    package func withRecord<Result>(
        _ key: StorageKey, tier: ReadTier, _ body: (RawSpan) -> Result
    ) throws(StorageError) -> Lent<Result> {
        try lend(key.bytes, in: database.data, tier == .any ? readAny.pointer : readMemory.pointer) {
            body($0.bytes)
        }
    }

    package func readMeta(_ key: Blob) throws(StorageError) -> Blob? {
        switch try lend(key, in: database.meta, readAny.pointer, { Blob(copying: $0) }) {
        case .found(let value): value
        case .absent: nil
        case .cold: invariantBroken("a read that may use the disk was refused for being cold")
        }
    }

    func lookUp(_ key: StorageKey, options: OpaquePointer) throws(StorageError) -> ReadResult {
        switch try lend(key.bytes, in: database.data, options, { Blob(copying: $0) }) {
        case .found(let record): .found(record)
        case .absent: .absent
        case .cold: .cold
        }
    }

    private func lend<Result>(
        _ key: Blob, in family: OpaquePointer, _ options: OpaquePointer,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) throws(StorageError) -> Lent<Result> {
        try checkUsable()
        var text: UnsafeMutablePointer<CChar>?
        let pinned = key.withUnsafeBytes {
            rocksdb_get_pinned_cf(database.pointer, options, family, $0.characters, $0.count, &text)
        }
        if let text {
            let failure = EngineFailure(taking: text)
            if failure.isIncomplete { return .cold }
            throw outcome(of: failure)
        }
        guard let pinned else { return .absent }
        defer { rocksdb_pinnableslice_destroy(pinned) }
        var count = 0
        let value = rocksdb_pinnableslice_value(pinned, &count)
        // A read of memory alone that meets a table file which isn't open says that the key may exist: by an
        // empty value, without an error. The engine opens 16 of a family's files at its start, and at most
        // `openFilesMax` in all. No record is empty.
        if count == 0, options == readMemory.pointer { return .cold }
        return .found(body(UnsafeRawBufferPointer(start: value, count: count)))
    }

    // MARK: Scans

    package func scanMeta(prefix: Blob) throws(StorageError) -> [StoredPair] {
        var found: [StoredPair] = []
        try visit(database.meta, from: prefix, until: nil) { key, value in
            guard key.count >= prefix.count, key.prefix(prefix.count).elementsEqual(prefix.bytes) else {
                return false
            }
            found.append(StoredPair(key: Blob(copying: key), value: Blob(copying: value)))
            return true
        }
        return found
    }

    package func scan(
        from lower: Blob, until upper: Blob?, limit: ScanLimit
    ) throws(StorageError) -> ScanPage {
        try page(of: database.data, from: lower, until: upper, limit)
    }

    package func scanHints(
        from lower: Blob, until upper: Blob?, limit: ScanLimit
    ) throws(StorageError) -> ScanPage {
        try page(of: database.hints, from: lower, until: upper, limit)
    }

    package func visit(
        from lower: Blob, until upper: Blob?,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StorageError) {
        try visit(database.data, from: lower, until: upper, body)
    }

    private func page(
        of family: OpaquePointer, from lower: Blob, until upper: Blob?, _ limit: ScanLimit
    ) throws(StorageError) -> ScanPage {
        var page = ScanPage(records: [], next: nil)
        var byteCount = 0
        try visit(family, from: lower, until: upper) { key, record in
            if page.records.count >= limit.recordsMax || byteCount >= limit.bytesMax {
                page.next = Blob(copying: key)
                return false
            }
            byteCount += key.count + record.count
            page.records.append(StoredPair(key: Blob(copying: key), value: Blob(copying: record)))
            return true
        }
        return page
    }

    /// Calls the body for each pair, in order, until it returns false. What is visited is one moment's
    /// state. It leaves the block cache to those who read again.
    private func visit(
        _ family: OpaquePointer, from lower: Blob, until upper: Blob?,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StorageError) {
        try checkUsable()
        let bound = upper?.bytes ?? []
        let failure = bound.withUnsafeBytes { bound -> EngineFailure? in
            let options = EngineHandle(rocksdb_readoptions_create(), rocksdb_readoptions_destroy)
            rocksdb_readoptions_set_fill_cache(options.pointer, 0)
            if upper != nil {
                // RocksDB keeps only the pointer, so the bound outlives the iterator.
                rocksdb_readoptions_set_iterate_upper_bound(options.pointer, bound.characters, bound.count)
            }
            let iterator = EngineHandle(
                rocksdb_create_iterator_cf(database.pointer, options.pointer, family), rocksdb_iter_destroy)
            lower.withUnsafeBytes { rocksdb_iter_seek(iterator.pointer, $0.characters, $0.count) }
            while rocksdb_iter_valid(iterator.pointer) != 0 {
                var keyCount = 0
                var valueCount = 0
                let key = rocksdb_iter_key(iterator.pointer, &keyCount)
                let value = rocksdb_iter_value(iterator.pointer, &valueCount)
                let goOn = body(
                    UnsafeRawBufferPointer(start: key, count: keyCount),
                    UnsafeRawBufferPointer(start: value, count: valueCount))
                guard goOn else { return nil }
                rocksdb_iter_next(iterator.pointer)
            }
            var text: UnsafeMutablePointer<CChar>?
            rocksdb_iter_get_error(iterator.pointer, &text)
            return text.map(EngineFailure.init(taking:))
        }
        if let failure { throw outcome(of: failure) }
    }
}
