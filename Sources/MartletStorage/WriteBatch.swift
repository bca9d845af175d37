import MartletBase

/// All the writes of one loop turn: applied together, lost together. Its owner reuses it.
package struct WriteBatch {
    package enum Write: Sendable {
        /// Join the record into the one stored under the key.
        case merge(StorageKey, Blob)
        /// Overwrite a fact of the node's own.
        case putMeta(key: Blob, value: Blob)
        case putHint(key: Blob, value: Blob)
        case deleteHint(key: Blob)
        case delete(StorageKey)
        /// All records of a keyspace with such tokens that were written before this.
        case deleteRange(keyspace: UInt32, ClosedRange<UInt64>)
    }

    package private(set) var writes: ContiguousArray<Write> = []
    /// Keys and values, for the owner's bound on a turn's writes.
    package private(set) var byteCount = 0

    package init() {}

    package var isEmpty: Bool { writes.isEmpty }
    package var count: Int { writes.count }

    package mutating func merge(_ key: StorageKey, _ record: Blob) {
        writes.append(.merge(key, record))
        byteCount += key.bytes.count + record.count
    }

    package mutating func putMeta(_ key: Blob, _ value: Blob) {
        writes.append(.putMeta(key: key, value: value))
        byteCount += key.count + value.count
    }

    package mutating func putHint(_ key: Blob, _ value: Blob) {
        writes.append(.putHint(key: key, value: value))
        byteCount += key.count + value.count
    }

    package mutating func deleteHint(_ key: Blob) {
        writes.append(.deleteHint(key: key))
        byteCount += key.count
    }

    package mutating func delete(_ key: StorageKey) {
        writes.append(.delete(key))
        byteCount += key.bytes.count
    }

    package mutating func deleteRange(keyspace: UInt32, _ tokens: ClosedRange<UInt64>) {
        writes.append(.deleteRange(keyspace: keyspace, tokens))
    }

    /// Keeps the memory for the next turn.
    package mutating func removeAll() {
        writes.removeAll(keepingCapacity: true)
        byteCount = 0
    }
}
