import MartletBase

/// A reply as far as a load generator needs it: of which kind, and where its bytes are.
///
/// MartletRESP's `ReplyParser` makes values; at a million replies a second making them would be most of the
/// generator's work, and here they are compared and dropped. What isn't one of the kinds below (RESP3's own)
/// is never asked for.
package struct ScannedReply: Hashable, Sendable {
    package enum Kind: Hashable, Sendable { case simple, error, integer, bulk, null, array }

    package var kind: Kind
    /// Of the payload: the line without its mark, or the bulk string.
    package var payload: Range<Int>
    /// An integer's value; an array's count of elements.
    package var number = 0
    /// Of an array: elements that are null.
    package var nulls = 0
    /// After the reply.
    package var end: Int
}

package enum ReplyScanner {
    private static let linesMax = 64 * 1_024
    private static let elementsMax = 1_000_000

    /// The reply that begins at `start`; nil when more bytes are needed.
    @inline(__always)
    package static func next(
        _ bytes: UnsafeRawBufferPointer, at start: Int
    ) throws(WireError) -> ScannedReply? {
        guard start < bytes.count else { return nil }
        switch bytes[start] {
        case UInt8(ascii: "$"):
            return try bulk(bytes, start)
        case UInt8(ascii: "+"):
            guard let end = try lineEnd(bytes, start + 1) else { return nil }
            return ScannedReply(kind: .simple, payload: start + 1..<end, end: end + 2)
        case UInt8(ascii: "-"):
            guard let end = try lineEnd(bytes, start + 1) else { return nil }
            return ScannedReply(kind: .error, payload: start + 1..<end, end: end + 2)
        case UInt8(ascii: ":"):
            guard let end = try lineEnd(bytes, start + 1) else { return nil }
            let number = try integer(bytes, start + 1..<end)
            return ScannedReply(kind: .integer, payload: start + 1..<end, number: number, end: end + 2)
        case UInt8(ascii: "*"):
            return try array(bytes, start)
        default:
            throw .invalid("reply type")
        }
    }

    private static func bulk(_ bytes: UnsafeRawBufferPointer, _ start: Int) throws(WireError) -> ScannedReply?
    {
        guard let line = try lineEnd(bytes, start + 1) else { return nil }
        let length = try integer(bytes, start + 1..<line)
        if length == -1 { return ScannedReply(kind: .null, payload: line..<line, end: line + 2) }
        guard length >= 0, length <= Limits.bulkBytesMax else { throw .invalid("payload's length") }
        let first = line + 2
        guard bytes.count >= first + length + 2 else { return nil }
        guard bytes[first + length] == 13, bytes[first + length + 1] == 10 else {
            throw .invalid("payload's end")
        }
        return ScannedReply(kind: .bulk, payload: first..<first + length, end: first + length + 2)
    }

    private static func array(
        _ bytes: UnsafeRawBufferPointer, _ start: Int
    ) throws(WireError) -> ScannedReply? {
        guard let line = try lineEnd(bytes, start + 1) else { return nil }
        let count = try integer(bytes, start + 1..<line)
        if count == -1 { return ScannedReply(kind: .null, payload: line..<line, end: line + 2) }
        guard 0...elementsMax ~= count else { throw .invalid("count of elements") }
        var position = line + 2
        var nulls = 0
        for _ in 0..<count {
            guard position < bytes.count else { return nil }
            // Flat arrays are all that the requests of a load are answered with.
            guard bytes[position] != UInt8(ascii: "*"), let element = try next(bytes, at: position) else {
                if bytes[position] == UInt8(ascii: "*") { throw .invalid("nested array") }
                return nil
            }
            if element.kind == .null { nulls += 1 }
            position = element.end
        }
        return ScannedReply(
            kind: .array, payload: line + 2..<position, number: count, nulls: nulls, end: position)
    }

    /// Where the carriage return stands that ends the line; nil until its line feed has come too.
    @inline(__always)
    private static func lineEnd(_ bytes: UnsafeRawBufferPointer, _ start: Int) throws(WireError) -> Int? {
        var place = start
        let limit = min(bytes.count, start + linesMax)
        while place < limit {
            if bytes[place] == 13 {
                guard place + 1 < bytes.count else { return nil }
                guard bytes[place + 1] == 10 else { throw .invalid("line end") }
                return place
            }
            place += 1
        }
        if place - start >= linesMax { throw .tooLong(what: "line", count: place - start, max: linesMax) }
        return nil
    }

    @inline(__always)
    private static func integer(
        _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>
    ) throws(WireError) -> Int {
        var place = range.lowerBound
        let isNegative = place < range.upperBound && bytes[place] == UInt8(ascii: "-")
        if isNegative { place += 1 }
        guard place < range.upperBound, range.upperBound - place <= 18 else { throw .invalid("number") }
        var value = 0
        while place < range.upperBound {
            let digit = bytes[place] &- UInt8(ascii: "0")
            guard digit <= 9 else { throw .invalid("number") }
            value = value * 10 + Int(digit)
            place += 1
        }
        return isNegative ? -value : value
    }
}
