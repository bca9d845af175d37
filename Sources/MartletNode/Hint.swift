import MartletBase
import MartletVersions

/// A hint's key in the storage:
///
///     target's id 20 | class 1 | hybrid time 8 | boot 4 | serial 8
///
/// A target's hints are a contiguous range, in the order in which they are replayed: first the class of those
/// that *count* towards an acknowledgement (they are data), then the others, each in the order of its stamps.
/// The boot and the serial number of the hint in it make the key one that was never used before, so what is
/// counted when it is put is what is taken off when it is deleted.
package struct HintKey: Hashable, Sendable {
    package let target: NodeID
    package let counts: Bool
    /// The later of the record's two stamps: when it was written.
    package let time: HybridTime
    let boot: UInt32
    let serial: UInt64

    static let byteCount = NodeID.byteCount + 1 + 8 + 4 + 8

    init(target: NodeID, counts: Bool, time: HybridTime, boot: UInt32, serial: UInt64) {
        self.target = target
        self.counts = counts
        self.time = time
        self.boot = boot
        self.serial = serial
    }

    /// Nil for bytes that no node writes.
    package init?(_ stored: Blob) {
        guard stored.count == Self.byteCount else { return nil }
        var reader = ByteReader(stored.span)
        guard let target = try? NodeID(from: &reader), let order = try? reader.u8(), order <= 1,
            let time = try? reader.u64(), let boot = try? reader.u32(), let serial = try? reader.u64()
        else { return nil }
        self.init(
            target: target, counts: order == 0, time: HybridTime(bits: time), boot: boot, serial: serial)
    }

    var stored: Blob {
        var writer = ByteWriter(reservingCapacity: Self.byteCount)
        target.write(to: &writer)
        writer.u8(counts ? 0 : 1)
        writer.u64(time.bits)
        writer.u32(boot)
        writer.u64(serial)
        return Blob(writer.bytes)
    }

    /// The place before all hints for the target, before those of them that don't count, or behind them all.
    enum Place: UInt8 { case first = 0, uncounted = 1, end = 2 }

    static func position(_ place: Place, of target: NodeID) -> Blob {
        var writer = ByteWriter(reservingCapacity: NodeID.byteCount + 1)
        target.write(to: &writer)
        writer.u8(place.rawValue)
        return Blob(writer.bytes)
    }
}

/// What a hint holds: the write that its target missed.
///
///     format 1 | keyspace 4 | key, with its length | record
package struct HintedWrite: Hashable, Sendable {
    package let keyspace: UInt32
    package let key: Blob
    package let record: Blob

    private static let format: UInt8 = 1

    init(keyspace: UInt32, key: Blob, record: Blob) {
        self.keyspace = keyspace
        self.key = key
        self.record = record
    }

    /// Refuses what can't be merged: it would be refused by its target as well, for ever.
    package init(stored: Blob) throws(WireError) {
        var reader = ByteReader(stored.span)
        guard try reader.u8() == Self.format else { throw .invalid("hint format") }
        keyspace = try reader.u32()
        key = try reader.blob(max: Limits.keyBytesMax, "key")
        record = Blob(copying: try reader.take(reader.remaining))
        try Record.validate(record.span)
    }

    var stored: Blob {
        var writer = ByteWriter(reservingCapacity: 8 + key.count + record.count)
        writer.u8(Self.format)
        writer.u32(keyspace)
        writer.blob(key)
        writer.raw(record)
        return Blob(writer.bytes)
    }
}
