/// Why an engine's call failed.
package enum StorageError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nothing was done; it heals by itself.
    case refused(StorageRefusal)
    /// An fsync failed: what the disk holds is unknown from here on. Never retried; the node must stop.
    case failedSync(String)
    /// The engine can't be trusted any more (an unreadable file, an input or output error): the node must
    /// stop.
    case failed(String)

    package var description: String {
        switch self {
        case .refused(let refusal): refusal.description
        case .failedSync(let detail):
            """
            the disk failed to make a write durable (\(detail)): this is never retried, because the data \
            that was on its way may be gone; check the disk, then start the node again
            """
        case .failed(let detail):
            """
            the storage engine failed (\(detail)): check the disk and the file that is named, then start \
            the node again
            """
        }
    }
}

extension StorageRefusal: CustomStringConvertible {
    package var description: String {
        switch self {
        case .stalled: "compaction can't keep up with the writes"
        case .diskFull: "the disk has less than disk_free_min left"
        case .readQueueFull: "too many reads wait for the disk"
        }
    }
}
