/// A node's identity: 160 random bits drawn when its data folder is created, shown as 40 hexadecimal digits
/// (the form that Redis Cluster clients expect). Never reused; a removed id is fenced for ever.
package struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The first 64 bits: what stamps name their writer by. A ring refuses an entry whose `short` another id
    /// has.
    package let short: UInt64
    package let middle: UInt64
    package let low: UInt32

    package static let byteCount = 20

    @inlinable package init(short: UInt64, middle: UInt64, low: UInt32) {
        self.short = short
        self.middle = middle
        self.low = low
    }

    package init(random: inout Random) {
        self.init(short: random.next(), middle: random.next(), low: UInt32(truncatingIfNeeded: random.next()))
    }

    /// Nil unless the text is 40 hexadecimal digits.
    package init?(hex text: some StringProtocol) {
        guard let raw = bytes(fromHex: text), raw.count == Self.byteCount else { return nil }
        let blob = Blob(raw)
        var reader = ByteReader(blob.span)
        guard let id = try? NodeID(from: &reader) else { return nil }
        self = id
    }

    @inlinable package init(from reader: inout ByteReader) throws(WireError) {
        short = try reader.u64()
        middle = try reader.u64()
        low = try reader.u32()
    }

    @inlinable package func write(to writer: inout ByteWriter) {
        writer.u64(short)
        writer.u64(middle)
        writer.u32(low)
    }

    @inlinable package static func < (a: NodeID, b: NodeID) -> Bool {
        (a.short, a.middle, a.low) < (b.short, b.middle, b.low)
    }

    package var description: String {
        var writer = ByteWriter()
        write(to: &writer)
        return hex(writer.bytes)
    }
}
