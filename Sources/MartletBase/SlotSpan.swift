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

    /// The slots that lie in some span of each list. Spans of a list are ascending and apart.
    package static func common(_ a: [SlotSpan], _ b: [SlotSpan]) -> [SlotSpan] {
        var common: [SlotSpan] = []
        var (i, k) = (0, 0)
        while i < a.count, k < b.count {
            let (first, last) = (max(a[i].first, b[k].first), min(a[i].last, b[k].last))
            if first <= last { common.append(SlotSpan(first: first, last: last)) }
            if a[i].last < b[k].last { i += 1 } else { k += 1 }
        }
        return common
    }

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
