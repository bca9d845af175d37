import MartletBase
import MartletVersions

/// Asks a node that owns nothing of the key to stand in for an owner that can't be reached: to keep the write
/// as a hint for it.
package struct HintRequest: Hashable, Sendable {
    package var request: UInt64
    /// The digest of the sender's placement of the key's slot.
    package var placement: UInt64
    package var keyspace: UInt32
    /// The owner that misses the write.
    package var target: NodeID
    package var key: Blob
    package var record: Blob

    package init(
        request: UInt64, placement: UInt64, keyspace: UInt32, target: NodeID, key: Blob, record: Blob
    ) {
        self.request = request
        self.placement = placement
        self.keyspace = keyspace
        self.target = target
        self.key = key
        self.record = record
    }
}

// MARK: Codec
extension HintRequest {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        writer.u64(placement)
        writer.u32(keyspace)
        target.write(to: &writer)
        writer.blob(key)
        writer.raw(record)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        placement = try reader.u64()
        keyspace = try reader.u32()
        target = try NodeID(from: &reader)
        key = try reader.blob(max: Limits.keyBytesMax, "key")
        guard reader.remaining <= Limits.recordBytesMax else {
            throw .tooLong(what: "record", count: reader.remaining, max: Limits.recordBytesMax)
        }
        record = Blob(copying: try reader.take(reader.remaining))
        try Record.validate(record.span)
    }
}
