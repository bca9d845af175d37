import CRocksDB
import Glibc
import MartletBase
import MartletStorage

/// RocksDB's merge operator, as the join of records. Its calls come on the threads that read and compact,
/// several at once. RocksDB may group operands as it likes, because the join is associative, and needs no
/// base, because it is total.
enum MergeOperator {
    final class Context: Sendable {
        let rules: RecordJoin
        init(_ rules: RecordJoin) { self.rules = rules }
    }

    /// Owned by the options that it is given to, and by the database that is opened with them.
    static func make(_ rules: RecordJoin) -> OpaquePointer {
        rocksdb_mergeoperator_create(
            Unmanaged.passRetained(Context(rules)).toOpaque(), destroy, fullMerge, partialMerge, freeResult,
            name)
    }

    // The name is stored in every table file; RocksDB warns when it changes.
    private static let nameText: StaticString = "martlet.join.1"

    private static let name: @convention(c) (UnsafeMutableRawPointer?) -> UnsafePointer<CChar>? = { _ in
        UnsafeRawPointer(nameText.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    private static let destroy: @convention(c) (UnsafeMutableRawPointer?) -> Void = { context in
        Unmanaged<Context>.fromOpaque(context!).release()
    }

    private static let freeResult:
        @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, Int) -> Void = { _, value, _ in
            free(UnsafeMutableRawPointer(mutating: value))
        }

    private static let fullMerge:
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<CChar>?, Int, UnsafePointer<CChar>?, Int,
            UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int>?, Int32, UnsafeMutablePointer<UInt8>?,
            UnsafeMutablePointer<Int>?
        ) -> UnsafeMutablePointer<CChar>? = {
            context, _, _, existing, existingCount, operands, counts, operandCount, success, resultCount in
            var fold = Fold(Unmanaged<Context>.fromOpaque(context!).takeUnretainedValue().rules)
            if let existing { fold.add(UnsafeRawBufferPointer(start: existing, count: existingCount)) }
            for i in 0..<Int(operandCount) {
                fold.add(UnsafeRawBufferPointer(start: operands![i], count: counts![i]))
            }
            success!.pointee = 1
            return fold.takeResult(count: resultCount!)
        }

    private static let partialMerge:
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<CChar>?, Int, UnsafePointer<UnsafePointer<CChar>?>?,
            UnsafePointer<Int>?, Int32, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int>?
        ) -> UnsafeMutablePointer<CChar>? = {
            context, _, _, operands, counts, operandCount, success, resultCount in
            var fold = Fold(Unmanaged<Context>.fromOpaque(context!).takeUnretainedValue().rules)
            for i in 0..<Int(operandCount) {
                fold.add(UnsafeRawBufferPointer(start: operands![i], count: counts![i]))
            }
            success!.pointee = 1
            return fold.takeResult(count: resultCount!)
        }
}

/// Joins records one after another. While the join so far is one of the inputs it is only pointed to; a new
/// one is held in memory from `malloc`, which RocksDB hands back to be freed.
private struct Fold: ~Copyable {
    private let rules: RecordJoin
    private var current: UnsafeRawBufferPointer?
    /// What `current` points into, when that isn't an input.
    private var owned: UnsafeMutableRawPointer?
    private var scratch = ByteWriter()

    init(_ rules: RecordJoin) { self.rules = rules }

    deinit { free(owned) }

    mutating func add(_ record: UnsafeRawBufferPointer) {
        guard let present = current else {
            current = record
            return
        }
        switch rules.join(present, record, &scratch) {
        case .first: return
        case .second:
            current = record
            free(owned)
            owned = nil
        case .written:
            let joined = scratch.bytes.withUnsafeBytes(Self.copy)
            current = UnsafeRawBufferPointer(joined)
            free(owned)
            owned = joined.baseAddress
            scratch.bytes.removeAll(keepingCapacity: true)
        }
    }

    /// The join, in memory that the caller frees.
    mutating func takeResult(count: UnsafeMutablePointer<Int>) -> UnsafeMutablePointer<CChar>? {
        let result = current ?? UnsafeRawBufferPointer(start: nil, count: 0)
        count.pointee = result.count
        let memory = owned ?? Self.copy(result).baseAddress
        owned = nil
        return memory?.assumingMemoryBound(to: CChar.self)
    }

    private static func copy(_ bytes: UnsafeRawBufferPointer) -> UnsafeMutableRawBufferPointer {
        let memory = malloc(max(1, bytes.count))
        invariant(memory != nil, "no memory for a record of \(bytes.count) bytes")
        let copy = UnsafeMutableRawBufferPointer(start: memory, count: bytes.count)
        copy.copyMemory(from: bytes)
        return copy
    }
}
