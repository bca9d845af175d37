extension [UInt8] {
    /// A mark, a number and a line end.
    @inlinable @inline(__always)
    mutating func appendHeader(_ mark: UInt8, _ value: Int64) {
        append(addingCapacity: headerBytesMax) { out in out.appendHeader(mark, value) }
    }

    /// A mark, the payload's length, the payload, and a line end after each.
    @inlinable @inline(__always)
    mutating func appendBulk(_ payload: UnsafeRawBufferPointer, mark: UInt8) {
        append(addingCapacity: headerBytesMax + payload.count + 2) { out in
            out.appendHeader(mark, Int64(payload.count))
            out.withUnsafeMutableBufferPointer { buffer, count in
                UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
                    .copyMemory(from: payload)
                count += payload.count
            }
            out.append(carriageReturn)
            out.append(lineFeed)
        }
    }
}

/// A mark, a sign, 19 digits and a line end.
@usableFromInline let headerBytesMax = 23

extension OutputSpan<UInt8> {
    @inlinable @inline(__always)
    mutating func appendHeader(_ mark: UInt8, _ value: Int64) {
        append(mark)
        appendDecimal(value)
        append(carriageReturn)
        append(lineFeed)
    }

    @inlinable @inline(__always)
    mutating func appendDecimal(_ value: Int64) {
        if value >= 0, value < 10 { return append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: value)) }
        if value < 0 { append(UInt8(ascii: "-")) }
        appendDigits(value.magnitude)
    }

    @inlinable mutating func appendDigits(_ value: UInt64) {
        var power: UInt64 = 10
        while power <= value / 10 { power *= 10 }
        if power > value { power = 1 }
        var rest = value
        while power > 0 {
            append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest / power))
            rest %= power
            power /= 10
        }
    }
}
