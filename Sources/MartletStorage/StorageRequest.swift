import MartletBase

/// Where a record is stored: keyspace id (32 bits, big-endian), token (64 bits, big-endian), key. Storage
/// is ordered by these bytes, so a range of the ring is a contiguous range on disk.
package struct StorageKey: Hashable, Comparable, Sendable {
    package let bytes: Blob

    package static let prefixBytes = 12

    package init(keyspace: UInt32, token: UInt64, key: RawSpan) {
        var writer = ByteWriter(reservingCapacity: Self.prefixBytes + key.byteCount)
        writer.fixed(Self.prefixBytes) {
            $0.u32(keyspace)
            $0.u64(token)
        }
        writer.raw(key)
        bytes = Blob(writer.bytes)
    }

    package init(keyspace: UInt32, token: UInt64, key: Blob) {
        self.init(keyspace: keyspace, token: token, key: key.span)
    }

    /// Takes bytes as they stand on disk; nil when they are shorter than the prefix.
    package init?(stored bytes: Blob) {
        guard bytes.count >= Self.prefixBytes else { return nil }
        self.bytes = bytes
    }

    /// A place among stored keys, which need not be one: where a scan starts.
    init(position bytes: Blob) { self.bytes = bytes }

    /// The place before all keys of the keyspace whose tokens are at or above this one.
    package static func position(keyspace: UInt32, token: UInt64) -> Blob {
        var writer = ByteWriter(reservingCapacity: prefixBytes)
        writer.u32(keyspace)
        writer.u64(token)
        return Blob(writer.bytes)
    }

    /// The place after all keys of the keyspace whose tokens are at or below this one; nil at the very end.
    package static func position(keyspace: UInt32, after token: UInt64) -> Blob? {
        if token < .max { return position(keyspace: keyspace, token: token + 1) }
        return keyspace < .max ? position(keyspace: keyspace + 1, token: 0) : nil
    }

    /// The keyspace that the prefix holds.
    package var keyspace: UInt32 {
        bytes.span.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self).bigEndian
    }

    /// The token that the prefix holds.
    package var token: UInt64 {
        bytes.span.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt64.self).bigEndian
    }

    /// What follows the prefix.
    package var key: RawSpan {
        @_lifetime(borrow self) get { bytes.span.extracting(Self.prefixBytes..<bytes.count) }
    }

    @inlinable package static func < (a: StorageKey, b: StorageKey) -> Bool { a.bytes < b.bytes }
}

/// Numbers the writes of one node in the order in which it asked for them.
package struct WriteTicket: Hashable, Comparable, Sendable {
    package let number: UInt64
    @inlinable package init(_ number: UInt64) { self.number = number }
    @inlinable package static func < (a: WriteTicket, b: WriteTicket) -> Bool { a.number < b.number }
}

/// Names a read, so that its completion finds the one who asked.
package struct ReadTicket: Hashable, Sendable {
    package let number: UInt64
    @inlinable package init(_ number: UInt64) { self.number = number }
}

/// What the node asks of its storage. Requests take effect in the order in which they are given; a read
/// sees every write asked for before it, durable or not: the node itself withholds what isn't durable yet.
package enum StorageRequest: Sendable {
    /// Join the encoded record into the one stored under the key.
    case merge(WriteTicket, StorageKey, Blob)
    /// Overwrite a fact of the node's own (ring entries, keyspace definitions, peers' epochs).
    case putMeta(WriteTicket, key: Blob, value: Blob)
    /// Keep a write for a node that missed it. No key is ever put twice.
    case putHint(WriteTicket, key: Blob, value: Blob)
    /// Forget hints; those that aren't there make no difference.
    case deleteHints(WriteTicket, [Blob])
    /// Forget these records, at least one; those that aren't there make no difference.
    case delete(WriteTicket, [StorageKey])
    /// Forget every record of a keyspace whose token lies in the range.
    case deleteRange(WriteTicket, keyspace: UInt32, ClosedRange<UInt64>)
    case read(ReadTicket, StorageKey)
    /// Some records in the order of their stored keys, as one moment has them: from `lower` (included) to
    /// `upper` (excluded; nil: to the end).
    case scan(ReadTicket, from: Blob, until: Blob?, ScanLimit)
    /// The same of hints.
    case scanHints(ReadTicket, from: Blob, until: Blob?, ScanLimit)
    /// Digests of records, for the comparison with another node.
    case digest(ReadTicket, DigestQuery)
    /// The records under some keys, answered by `scanned`: as many as reach so many bytes.
    case collect(ReadTicket, [StorageKey], bytesMax: Int)
    /// Durably record that stamps up to the ceiling may have been issued, before any of them is.
    case reserveStamps(ceiling: UInt64)
}

/// What the storage answers.
package enum StorageCompletion: Sendable {
    /// Every write up to this ticket that was not refused is durable, as far as the node's durability mode
    /// promises.
    case durable(through: WriteTicket)
    /// The write was not done and never will be.
    case refused(WriteTicket, StorageRefusal)
    /// The merged record, or nil when nothing is stored under the key.
    case read(ReadTicket, Blob?)
    case scanned(ReadTicket, ScanPage)
    case digested(ReadTicket, DigestPage)
    /// A read or a scan that was not done.
    case readRefused(ReadTicket, StorageRefusal)
    case stampsReserved(ceiling: UInt64)
    /// The disk can't be trusted any more (a failed fsync, an unreadable file): the node must stop. Never
    /// retried.
    case failed(String)
}

/// Why the storage refuses a request; it heals by itself.
package enum StorageRefusal: Hashable, Sendable {
    /// Compaction can't keep up: a write would stall.
    case stalled
    /// Less than `disk_free_min` is left, or the disk is full.
    case diskFull
    /// Too many reads wait for the disk.
    case readQueueFull
}
