import MartletBase

/// Who writes: one run of one shard of one node. A writer issues each hybrid timestamp at most once, so no
/// two writes share a stamp.
package struct Writer: Hashable, Comparable, BitwiseCopyable, Sendable, CustomStringConvertible {
    /// `NodeID.short`.
    package let node: UInt64
    /// Counts the starts of the node's process.
    package let boot: UInt32
    package let shard: UInt16

    @inlinable package init(node: UInt64, boot: UInt32, shard: UInt16) {
        self.node = node
        self.boot = boot
        self.shard = shard
    }

    /// Above every writer that there is.
    package static let last = Writer(node: .max, boot: .max, shard: .max)

    /// Boot and shard in one word, for digests.
    var run: UInt64 { UInt64(boot) << 16 | UInt64(shard) }

    @inlinable package static func < (a: Writer, b: Writer) -> Bool {
        if a.node != b.node { return a.node < b.node }
        if a.boot != b.boot { return a.boot < b.boot }
        return a.shard < b.shard
    }

    package var description: String { "\(hex(node)).\(boot).\(shard)" }
}

/// A hybrid logical clock's reading: 48 bits of milliseconds since 1970, 16 bits of logical count (Kulkarni,
/// Demirbas and others: "Logical Physical Clocks", 2014).
package struct HybridTime: Hashable, Comparable, BitwiseCopyable, Sendable, CustomStringConvertible {
    package let bits: UInt64

    @inlinable package init(bits: UInt64) { self.bits = bits }

    /// The first reading of a wall millisecond. Times before 1970 count as 1970.
    @inlinable package init(_ wall: WallTime) {
        bits = UInt64(max(0, wall.milliseconds)) << 16
    }

    package static let zero = HybridTime(bits: 0)
    /// Greater times are refused wherever they come in (it is the year 6429), so that no sum with one
    /// overflows.
    package static let latest = HybridTime(bits: 1 << 63)

    @inlinable package var milliseconds: Int64 { Int64(bits >> 16) }
    @inlinable package var logical: UInt16 { UInt16(truncatingIfNeeded: bits) }
    /// The next reading. A full logical count carries into the milliseconds.
    @inlinable package var next: HybridTime { HybridTime(bits: bits + 1) }
    @inlinable package func advanced(by interval: Interval) -> HybridTime {
        HybridTime(bits: bits &+ UInt64(bitPattern: interval.milliseconds << 16))
    }

    @inlinable package static func < (a: HybridTime, b: HybridTime) -> Bool { a.bits < b.bits }
    package var description: String { "\(milliseconds)+\(logical)" }
}

/// What orders versions: hybrid time, then writer. Unique to a write, so that the last writer is one writer.
package struct Stamp: Hashable, Comparable, BitwiseCopyable, Sendable, CustomStringConvertible {
    package let time: HybridTime
    package let writer: Writer

    @inlinable package init(time: HybridTime, writer: Writer) {
        self.time = time
        self.writer = writer
    }

    /// Below every stamp that is issued.
    package static let zero = Stamp(time: .zero, writer: Writer(node: 0, boot: 0, shard: 0))

    /// Time 8 bytes, node 8 bytes, boot and shard as varints.
    package static let encodedBytesMax = 8 + 8 + 5 + 3

    @inlinable package init(from reader: inout ByteReader) throws(WireError) {
        time = HybridTime(bits: try reader.u64())
        guard time <= .latest else { throw .invalid("stamp") }
        let node = try reader.u64()
        let boot = try reader.varint()
        let shard = try reader.varint()
        guard boot <= UInt64(UInt32.max), shard <= UInt64(UInt16.max) else { throw .invalid("stamp") }
        writer = Writer(node: node, boot: UInt32(boot), shard: UInt16(shard))
    }

    @inlinable package func write(to bytes: inout ByteWriter) {
        bytes.u64(time.bits)
        bytes.u64(writer.node)
        bytes.varint(UInt64(writer.boot))
        bytes.varint(UInt64(writer.shard))
    }

    @inlinable package static func < (a: Stamp, b: Stamp) -> Bool {
        if a.time != b.time { return a.time < b.time }
        return a.writer < b.writer
    }

    package var description: String { "\(time)@\(writer)" }
}
