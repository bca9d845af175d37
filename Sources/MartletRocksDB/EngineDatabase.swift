import CRocksDB
import Glibc
import MartletBase
import MartletStorage

/// An open RocksDB database with its column families; closed when its owner says so, or goes.
///
/// Safe: pointers that are only read, and may be used from any thread, as RocksDB documents; `isOpen`
/// changes once, when nobody uses the database any more.
final class EngineDatabase: @unchecked Sendable {
    let pointer: OpaquePointer
    private let unused: OpaquePointer
    let meta: OpaquePointer
    let data: OpaquePointer
    let hints: OpaquePointer

    /// `default` is RocksDB's own and stays empty. Families are added at the end: a folder from before one
    /// was gets it when it is next opened for use.
    private static let familyNames = ["default", "meta", "data", "hints"]

    /// Those that hold something.
    var families: [OpaquePointer] { [data, meta, hints] }

    private var isOpen = true

    deinit { close() }

    func close() {
        guard isOpen else { return }
        isOpen = false
        rocksdb_cancel_all_background_work(pointer, 1)
        for family in [unused] + families { rocksdb_column_family_handle_destroy(family) }
        rocksdb_close(pointer)
    }

    private enum Mode {
        /// Replays the log in memory and changes nothing but RocksDB's own log of events.
        case inspect
        case use
    }

    private init(_ pointer: OpaquePointer, families: [OpaquePointer]) {
        self.pointer = pointer
        unused = families[0]
        meta = families[1]
        data = families[2]
        hints = families[3]
    }

    /// Opens the database for use; families that it lacks are made.
    static func open(
        _ path: String, options: borrowing EngineOptions
    ) throws(EngineFailure) -> EngineDatabase {
        let (database, families) = try open(path, families: familyNames, options: options, mode: .use)
        return EngineDatabase(database, families: families)
    }

    /// The sequence number that opening it would recover. Only families that are there can be opened so.
    static func recoverableSequence(
        _ path: String, options: borrowing EngineOptions
    ) throws(EngineFailure) -> UInt64 {
        var count = 0
        let list = try callEngine {
            rocksdb_list_column_families(options.small.pointer, path, &count, $0)
        }
        var present: [String] = []
        for i in 0..<count { if let name = list?[i] { present.append(String(cString: name)) } }
        if let list { rocksdb_list_column_families_destroy(list, count) }
        let known = familyNames.filter { present.contains($0) }
        let (database, families) = try open(path, families: known, options: options, mode: .inspect)
        defer {
            for family in families { rocksdb_column_family_handle_destroy(family) }
            rocksdb_close(database)
        }
        return rocksdb_get_latest_sequence_number(database)
    }

    private static func open(
        _ path: String, families: [String], options: borrowing EngineOptions, mode: Mode
    ) throws(EngineFailure) -> (OpaquePointer, [OpaquePointer]) {
        let names = families.map { strdup($0) }
        defer { for name in names { free(name) } }
        let namePointers = names.map { UnsafePointer($0) }
        let small = options.small.pointer
        let familyOptions: [OpaquePointer?] = families.map { options.options(of: $0) }
        var handles = [OpaquePointer?](repeating: nil, count: names.count)
        let count = Int32(names.count)
        let opened = try callEngine { failure in
            switch mode {
            case .inspect:
                rocksdb_open_for_read_only_column_families(
                    small, path, count, namePointers, familyOptions, &handles, 0, failure)
            case .use:
                rocksdb_open_column_families(
                    small, path, count, namePointers, familyOptions, &handles, failure)
            }
        }
        let made = handles.compactMap { $0 }
        guard let opened, made.count == names.count else {
            invariantBroken("RocksDB opened \(path) without an error, yet gave nothing")
        }
        return (opened, made)
    }

    var latestSequence: UInt64 { rocksdb_get_latest_sequence_number(pointer) }

    func number(_ property: String, in family: OpaquePointer) -> Int {
        var value: UInt64 = 0
        guard rocksdb_property_int_cf(pointer, family, property, &value) == 0 else { return 0 }
        return Int(clamping: value)
    }

    /// A property that RocksDB gives as text.
    func text(_ property: String, in family: OpaquePointer) -> String? {
        guard let text = rocksdb_property_value_cf(pointer, family, property) else { return nil }
        defer { rocksdb_free(text) }
        return String(cString: text)
    }

    /// Writes the tables in memory to table files, durably, and waits for it.
    func flushTables() throws(EngineFailure) {
        let options = EngineHandle(rocksdb_flushoptions_create(), rocksdb_flushoptions_destroy)
        rocksdb_flushoptions_set_wait(options.pointer, 1)
        for family in families {
            try callEngine { rocksdb_flush_cf(pointer, options.pointer, family, $0) }
        }
    }

    /// Writes the log's buffer to the log file, and makes the file durable.
    func syncLog() throws(EngineFailure) { try callEngine { rocksdb_flush_wal(pointer, 1, $0) } }
}

/// How the database is opened. The reasons that aren't obvious:
///
/// * `manual_wal_flush`: the loop's writes go to a buffer, and the syncer thread writes and syncs it. So a
///   write on the loop takes 35 us at the 99th percentile while another thread syncs without pause, instead
///   of 87.
/// * Point-in-time recovery is the only mode that opens after an ordinary power cut and never skips a
///   damaged record to go on behind it. What it can't tell, whether the record that it stopped at had been
///   durable, SYNCED tells.
/// * `max_successive_merges` stays 0: a merge over that limit joins on the writing thread, with a read of
///   the disk when the base isn't in memory (71 us in the mean), and the writing thread is the loop. The
///   record cache bounds the operands of hot keys instead.
/// * Indexes and filters live in the block cache: then `block_cache` and `memtable` bound the engine's
///   memory, and a read from memory alone never opens a file.
/// * RocksDB's own log of events is kept to its head. Debian builds RocksDB with its assertions, and one of
///   them ends the process when a second message is written to that log on a full disk. What the log would
///   tell comes with the errors and from `statistics`.
/// * Hints are compressed here, as all table files are: a block of many hints compresses better than each by
///   itself, and no write waits for it.
/// * Each table file is rewritten at least every seven days, so that what expired without being written
///   again goes too.
struct EngineOptions: ~Copyable {
    /// The database's, and those of the small families.
    let small: EngineHandle
    let data: EngineHandle
    let hints: EngineHandle

    private static let bitsPerKey = 10.0
    private static let rewriteSeconds = 7 * 24 * 3_600
    private static let smallMemtableBytes = 4 << 20
    /// Hints that are delivered soon are put and deleted again within one table in memory, and no table file
    /// ever sees them.
    private static let hintsMemtableBytes = 16 << 20
    private static let memtablesMax: Int32 = 4

    private init(
        small: consuming EngineHandle, data: consuming EngineHandle, hints: consuming EngineHandle
    ) {
        self.small = small
        self.data = data
        self.hints = hints
    }

    func options(of family: String) -> OpaquePointer {
        switch family {
        case "data": data.pointer
        case "hints": hints.pointer
        default: small.pointer
        }
    }

    static func make(
        _ settings: RocksDBSettings, rules: RecordJoin, expiry: ExpiryFilter.Context
    ) throws(EngineFailure) -> EngineOptions {
        // The table options of both families share it.
        let cache = EngineHandle(rocksdb_cache_create_lru(settings.blockCacheBytes), rocksdb_cache_destroy)
        let database = try withText(
            """
            max_background_jobs=2;bytes_per_sync=1048576;wal_bytes_per_sync=0;\
            avoid_unnecessary_blocking_io=true;\
            allow_concurrent_memtable_write=false;enable_write_thread_adaptive_yield=false;\
            stats_dump_period_sec=0;stats_persist_period_sec=0;info_log_level=FATAL_LEVEL;\
            keep_log_file_num=\(Limits.engineLogFilesMax);max_open_files=\(Limits.openFilesMax);\
            max_total_wal_size=\(settings.memtableBytes * Int(memtablesMax));
            """)
        rocksdb_options_set_create_if_missing(database.pointer, 1)
        rocksdb_options_set_create_missing_column_families(database.pointer, 1)
        rocksdb_options_set_paranoid_checks(database.pointer, 1)
        rocksdb_options_set_manual_wal_flush(database.pointer, 1)
        rocksdb_options_set_wal_recovery_mode(
            database.pointer, Int32(rocksdb_point_in_time_recovery))
        setTables(database.pointer, memtableBytes: smallMemtableBytes, cache: cache.pointer)

        let family = try withText("periodic_compaction_seconds=\(Self.rewriteSeconds);")
        setTables(family.pointer, memtableBytes: settings.memtableBytes, cache: cache.pointer)
        rocksdb_options_set_merge_operator(family.pointer, MergeOperator.make(rules))
        rocksdb_options_set_compaction_filter_factory(family.pointer, ExpiryFilter.makeFactory(expiry))
        rocksdb_options_set_max_successive_merges(family.pointer, 0)
        // Purged records leave the engine's own tombstones, which every scan passes: a file of many of them
        // is rewritten soon, and not when others come to overlap it.
        rocksdb_options_add_compact_on_deletion_collector_factory(
            family.pointer, Self.deletionWindow, Self.deletionsMax)

        let hints = try withText("")
        setTables(hints.pointer, memtableBytes: hintsMemtableBytes, cache: cache.pointer)
        return EngineOptions(small: database, data: family, hints: hints)
    }

    /// So many deletions among so many entries in a row mark a file for rewriting.
    private static let deletionWindow = 1_024
    private static let deletionsMax = 512

    /// Options as RocksDB's text form has them: the C API lacks a setter for some.
    private static func withText(_ text: String) throws(EngineFailure) -> EngineHandle {
        let base = EngineHandle(rocksdb_options_create(), rocksdb_options_destroy)
        let options = EngineHandle(rocksdb_options_create(), rocksdb_options_destroy)
        try callEngine { rocksdb_get_options_from_string(base.pointer, text, options.pointer, $0) }
        return options
    }

    private static func setTables(_ options: OpaquePointer, memtableBytes: Int, cache: OpaquePointer) {
        let tables = EngineHandle(rocksdb_block_based_options_create(), rocksdb_block_based_options_destroy)
        // The table options take over the filter policy.
        rocksdb_block_based_options_set_filter_policy(
            tables.pointer, rocksdb_filterpolicy_create_bloom_full(bitsPerKey))
        rocksdb_block_based_options_set_whole_key_filtering(tables.pointer, 1)
        // In parts of a few KiB: a whole filter or index of a large file is most of a megabyte, and each
        // read that found it gone from the cache would read all of it again.
        rocksdb_block_based_options_set_index_type(
            tables.pointer, Int32(rocksdb_block_based_table_index_type_two_level_index_search))
        rocksdb_block_based_options_set_partition_filters(tables.pointer, 1)
        rocksdb_block_based_options_set_pin_top_level_index_and_filter(tables.pointer, 1)
        rocksdb_block_based_options_set_block_cache(tables.pointer, cache)
        rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables.pointer, 1)
        rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(tables.pointer, 1)
        rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(tables.pointer, 1)
        rocksdb_options_set_block_based_table_factory(options, tables.pointer)
        rocksdb_options_set_compaction_style(options, Int32(rocksdb_level_compaction))
        rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1)
        rocksdb_options_set_compression(options, Int32(rocksdb_lz4_compression))
        rocksdb_options_set_write_buffer_size(options, memtableBytes)
        rocksdb_options_set_max_write_buffer_number(options, memtablesMax)
    }
}
