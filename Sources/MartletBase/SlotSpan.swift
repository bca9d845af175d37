/// Consecutive slots, by their numbers: what nodes say of many slots at once.
package struct SlotSpan: Hashable, Sendable {
    package let first: UInt16
    package let last: UInt16

    package init(first: UInt16, last: UInt16) {
        invariant(first <= last && Int(last) < Limits.slots, "slots \(first) to \(last) are no span")
        self.first = first
        self.last = last
    }

    package static let all = SlotSpan(first: 0, last: UInt16(Limits.slots - 1))

    package func contains(_ slot: UInt16) -> Bool { first <= slot && slot <= last }

    package init(from reader: inout ByteReader) throws(WireError) {
        first = try reader.u16()
        last = try reader.u16()
        guard first <= last, Int(last) < Limits.slots else { throw .invalid("span of slots") }
    }

    package func write(to writer: inout ByteWriter) {
        writer.u16(first)
        writer.u16(last)
    }
}
