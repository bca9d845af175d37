import CRocksDB
import MartletStorage

/// Owns something that RocksDB's C API made, and destroys it.
///
/// Safe: a pointer that is only read; what it points to may be used from any thread, as RocksDB documents.
struct EngineHandle: ~Copyable, @unchecked Sendable {
    let pointer: OpaquePointer
    private let destroy: (OpaquePointer?) -> Void

    init(_ pointer: OpaquePointer!, _ destroy: @escaping @convention(c) (OpaquePointer?) -> Void) {
        self.pointer = pointer
        self.destroy = destroy
    }

    deinit { destroy(pointer) }
}

/// What RocksDB says when a call fails: `Status::ToString()`, whose start names the kind.
struct EngineFailure: Error, Hashable, Sendable {
    let text: String

    /// Takes over and frees the text.
    init(taking text: UnsafeMutablePointer<CChar>) {
        self.text = String(cString: text)
        rocksdb_free(text)
    }

    /// A read that would have waited for the disk, or a write that would have waited for compaction.
    var isIncomplete: Bool { text.hasPrefix("Result incomplete") }
    var isDiskFull: Bool { text.contains("No space left on device") }
    private var namesLog: Bool {
        text.split(whereSeparator: { " :,;".contains($0) }).contains { $0.hasSuffix(".log") }
    }
    var isCorruption: Bool { text.hasPrefix("Corruption") }

    /// The file in the folder that the text names. When it names the manifest and another, the manifest
    /// only tells of it.
    func file(in folder: String) -> String? {
        let files = text.ranges(of: folder + "/").map { range in
            let name = text[range.upperBound...].prefix { !" :,;\t\n".contains($0) }
            return folder + "/" + name
        }
        return files.first { !$0.hasPrefix(folder + "/MANIFEST") } ?? files.first
    }

    /// What the failure of a running engine means. RocksDB recovers by itself from a full disk that kept it
    /// from writing a table file; from one that kept it from writing its log it doesn't, see `RocksDBEngine`.
    var storageError: StorageError {
        if isIncomplete { return .refused(.stalled) }
        return isDiskFull && !namesLog ? .refused(.diskFull) : .failed(text)
    }
}

typealias EngineFailureSlot = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

/// Calls RocksDB with a place for an error, and throws the error that it leaves there.
@inline(__always)
func callEngine<Result>(_ call: (EngineFailureSlot) -> Result) throws(EngineFailure) -> Result {
    var text: UnsafeMutablePointer<CChar>?
    let result = withUnsafeMutablePointer(to: &text) { call($0) }
    if let text { throw EngineFailure(taking: text) }
    return result
}
