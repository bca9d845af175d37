import CRocksDB
import Glibc
import MartletBase
import MartletStorage
import Synchronization

/// RocksDB's compaction filter: drops the value bytes of expired records as they are rewritten.
///
/// It is shown neither merge operands nor what a merge just made, only values that were stored before; so a
/// record sheds its value in the second compaction after its last write. Stamps and expiry stay: without
/// them another replica's copy would look new. Purging isn't done here, because a filter sees only pieces
/// of a key's history.
enum ExpiryFilter {
    final class Context: Sendable {
        let rules: RecordJoin
        /// Wall microseconds; records that expired before are shed.
        let cutoff = Atomic<Int64>(.min)
        let dropped = Atomic<Int>(0)

        init(_ rules: RecordJoin) { self.rules = rules }
    }

    /// One compaction's filter. RocksDB calls it on one thread, and copies what it returns before it calls
    /// again.
    private final class Run {
        let context: Context
        let cutoff: WallTime
        var memory: UnsafeMutableRawPointer?
        var scratch = ByteWriter()

        init(_ context: Context) {
            self.context = context
            cutoff = WallTime(microseconds: context.cutoff.load(ordering: .relaxed))
        }

        deinit { free(memory) }
    }

    /// Owned by the options that it is given to, and by the database that is opened with them.
    static func makeFactory(_ context: Context) -> OpaquePointer {
        rocksdb_compactionfilterfactory_create(
            Unmanaged.passRetained(context).toOpaque(), destroyContext, makeRun, name)
    }

    private static let nameText: StaticString = "martlet.expiry.1"

    private static let name: @convention(c) (UnsafeMutableRawPointer?) -> UnsafePointer<CChar>? = { _ in
        UnsafeRawPointer(nameText.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    private static let destroyContext: @convention(c) (UnsafeMutableRawPointer?) -> Void = { context in
        Unmanaged<Context>.fromOpaque(context!).release()
    }

    private static let destroyRun: @convention(c) (UnsafeMutableRawPointer?) -> Void = { run in
        Unmanaged<Run>.fromOpaque(run!).release()
    }

    private static let makeRun: @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?) -> OpaquePointer? =
        { context, _ in
            let run = Run(Unmanaged<Context>.fromOpaque(context!).takeUnretainedValue())
            return rocksdb_compactionfilter_create(
                Unmanaged.passRetained(run).toOpaque(), destroyRun, filter, name)
        }

    private static let filter:
        @convention(c) (
            UnsafeMutableRawPointer?, Int32, UnsafePointer<CChar>?, Int, UnsafePointer<CChar>?, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, UnsafeMutablePointer<Int>?,
            UnsafeMutablePointer<UInt8>?
        ) -> UInt8 = { run, _, _, _, value, valueCount, newValue, newCount, isChanged in
            let run = Unmanaged<Run>.fromOpaque(run!).takeUnretainedValue()
            let record = UnsafeRawBufferPointer(start: value, count: valueCount)
            if run.context.rules.dropExpired(record, run.cutoff, &run.scratch) {
                let count = run.scratch.bytes.count
                // RocksDB neither takes over nor frees what it is given, so the memory belongs to the run.
                run.memory = realloc(run.memory, max(1, count))
                invariant(run.memory != nil, "no memory for a record of \(count) bytes")
                run.scratch.bytes.withUnsafeBytes {
                    run.memory!.copyMemory(from: $0.baseAddress!, byteCount: count)
                }
                run.scratch.bytes.removeAll(keepingCapacity: true)
                newValue!.pointee = run.memory!.assumingMemoryBound(to: CChar.self)
                newCount!.pointee = count
                isChanged!.pointee = 1
                run.context.dropped.wrappingAdd(1, ordering: .relaxed)
            }
            return 0  // Keep: nothing is ever removed here.
        }
}
