import MartletBase

extension RequestParser {
    /// The position of the terminator of the line at `start`; nil until it has come. The search goes on from
    /// where the last one stopped, and never passes a NUL. Throws `error` for a line that is too long.
    mutating func findLineEnd(
        _ bytes: RawSpan, at start: Int, terminator: UInt8, otherwise error: ProtocolError
    ) throws(ProtocolError) -> Int? {
        let limit = min(bytes.byteCount, start + Limits.inlineBytesMax + 1)
        var position = start + lineSearched
        while position < limit {
            let byte = bytes.byte(position)
            if byte == 0 { break }
            if byte == terminator {
                lineSearched = position - start
                return position
            }
            position += 1
        }
        lineSearched = position - start
        if bytes.byteCount - start > Limits.inlineBytesMax { throw error }
        return nil
    }

    /// The line at `start`: the number after its mark (nil when it is none) and where the next thing begins.
    /// Nil until the carriage return and the byte after it have come. The caller judges the mark.
    mutating func lengthLine(
        _ bytes: RawSpan, at start: Int, otherwise error: ProtocolError
    ) throws(ProtocolError) -> (length: Int?, end: Int)? {
        let found = try findLineEnd(bytes, at: start, terminator: carriageReturn, otherwise: error)
        guard let found, found + 1 < bytes.byteCount else { return nil }
        lineSearched = 0
        let digits = found > start ? bytes.extracting(start + 1..<found) : bytes.extracting(first: 0)
        return (parseInteger(digits).map(Int.init), found + 2)
    }

    /// The length in an argument's line, and where the argument begins; nil until the line is complete.
    @inline(__always)
    mutating func argumentLine(
        _ bytes: RawSpan, at start: Int
    ) throws(ProtocolError) -> (length: Int, end: Int)? {
        if let plain = plainLength(bytes, at: start, mark: UInt8(ascii: "$")) {
            lineSearched = 0
            try checkLength(plain.length)
            return plain
        }
        return try unusualArgumentLine(bytes, at: start)
    }

    @inline(never)
    private mutating func unusualArgumentLine(
        _ bytes: RawSpan, at start: Int
    ) throws(ProtocolError) -> (length: Int, end: Int)? {
        guard let line = try lengthLine(bytes, at: start, otherwise: .tooBigBulkCount) else { return nil }
        let mark = bytes.byte(start)
        guard mark == UInt8(ascii: "$") else { throw .expectedDollar(got: mark) }
        guard let length = line.length else { throw .invalidBulkLength }
        try checkLength(length)
        return (length, line.end)
    }

    @inline(__always)
    private func checkLength(_ length: Int) throws(ProtocolError) {
        if length < 0 || length > limits.bulkBytesMax { throw .invalidBulkLength }
        if !isAuthenticated, length > Limits.strangerBulkBytesMax { throw .unauthenticatedBulkLength }
    }
}
