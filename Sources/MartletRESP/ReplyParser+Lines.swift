import MartletBase

extension ReplyParser {
    /// Reads the line at `position`: a scalar, the header of an aggregate or that of a payload. Nil and no
    /// move: more bytes are needed. Nil after a move: only a header was read.
    mutating func readHeaderOrScalar(_ bytes: RawSpan, at position: inout Int) throws(WireError) -> RESPValue?
    {
        guard let end = try findLineEnd(bytes, at: position) else { return nil }
        guard end > position else { throw .invalid("reply type") }
        let mark = bytes.byte(position)
        let line = bytes.extracting(position + 1..<end)
        position = end + 2
        elementsTotal += 1
        if elementsTotal > limits.elementsMax {
            throw .tooLong(what: "reply", count: elementsTotal, max: limits.elementsMax)
        }
        switch mark {
        case UInt8(ascii: "$"): return try beginPayload(.string, line)
        case UInt8(ascii: "!"): return try beginPayload(.error, line)
        case UInt8(ascii: "="): return try beginPayload(.verbatim, line)
        case UInt8(ascii: "*"): return try beginAggregate(.array, line, valuesPerEntry: 1)
        case UInt8(ascii: "~"): return try beginAggregate(.set, line, valuesPerEntry: 1)
        case UInt8(ascii: ">"): return try beginAggregate(.push, line, valuesPerEntry: 1)
        case UInt8(ascii: "%"): return try beginAggregate(.map, line, valuesPerEntry: 2)
        case UInt8(ascii: "|"): return try beginAggregate(.attributes, line, valuesPerEntry: 2)
        default: return try scalar(mark, line)
        }
    }

    /// Where the line's carriage return stands; nil until its line feed has come too.
    private mutating func findLineEnd(_ bytes: RawSpan, at start: Int) throws(WireError) -> Int? {
        let limit = min(bytes.byteCount, start + limits.lineBytesMax + 1)
        var position = start + lineSearched
        while position < limit {
            let byte = bytes.byte(position)
            if byte == lineFeed { throw .invalid("line end") }
            if byte == carriageReturn {
                guard position + 1 < bytes.byteCount else { break }
                guard bytes.byte(position + 1) == lineFeed else { throw .invalid("line end") }
                lineSearched = 0
                return position
            }
            position += 1
        }
        lineSearched = position - start
        if lineSearched > limits.lineBytesMax {
            throw .tooLong(what: "line", count: lineSearched, max: limits.lineBytesMax)
        }
        return nil
    }

    private func scalar(_ mark: UInt8, _ line: RawSpan) throws(WireError) -> RESPValue {
        switch mark {
        case UInt8(ascii: "+"): return .simpleString(text(line))
        case UInt8(ascii: "-"): return .error(text(line))
        case UInt8(ascii: ":"):
            guard let value = parseInteger(line) else { throw .invalid("integer") }
            return .integer(value)
        case UInt8(ascii: "_"):
            guard line.isEmpty else { throw .invalid("null") }
            return .null
        case UInt8(ascii: "#"):
            if line.byteCount == 1, line.byte(0) == UInt8(ascii: "t") { return .boolean(true) }
            if line.byteCount == 1, line.byte(0) == UInt8(ascii: "f") { return .boolean(false) }
            throw .invalid("boolean")
        case UInt8(ascii: ","):
            guard let value = parseDouble(line) else { throw .invalid("double") }
            return .double(value)
        case UInt8(ascii: "("):
            guard isBigNumber(line) else { throw .invalid("big number") }
            return .bigNumber(text(line))
        default: throw .invalid("reply type")
        }
    }

    private mutating func beginPayload(_ kind: Payload, _ line: RawSpan) throws(WireError) -> RESPValue? {
        guard let length = parseInteger(line) else { throw .invalid("payload's length") }
        if length == -1, case .string = kind { return .null }
        guard length >= 0 else { throw .invalid("payload's length") }
        guard length <= limits.bulkBytesMax else {
            throw .tooLong(what: "payload", count: Int(length), max: limits.bulkBytesMax)
        }
        bytesTotal += Int(length)
        guard bytesTotal <= limits.bytesMax else {
            throw .tooLong(what: "reply", count: bytesTotal, max: limits.bytesMax)
        }
        payload = (kind, Int(length))
        return nil
    }

    private mutating func beginAggregate(
        _ kind: Frame.Kind, _ line: RawSpan, valuesPerEntry: Int
    ) throws(WireError) -> RESPValue? {
        guard let count = parseInteger(line) else { throw .invalid("count of elements") }
        if count == -1, case .array = kind { return .null }
        guard count >= 0 else { throw .invalid("count of elements") }
        guard count <= limits.elementsMax else {
            throw .tooLong(what: "reply", count: Int(count), max: limits.elementsMax)
        }
        guard stack.count < limits.depthMax else {
            throw .tooLong(what: "reply's depth", count: stack.count + 1, max: limits.depthMax)
        }
        var frame = Frame(kind: kind, elementsLeft: Int(count) * valuesPerEntry)
        if count == 0 { return finish(frame) }
        // What is only announced costs no more than this.
        frame.elements.reserveCapacity(min(frame.elementsLeft, 256))
        stack.append(frame)
        return nil
    }
}

/// RESP3's doubles: decimal with an optional fraction and exponent, `inf`, `-inf`, `nan`. (Redis can write
/// `-nan`.)
private func parseDouble(_ line: RawSpan) -> Double? {
    if equalsIgnoringCase(line, "inf") { return .infinity }
    if equalsIgnoringCase(line, "-inf") { return -.infinity }
    if equalsIgnoringCase(line, "nan") || equalsIgnoringCase(line, "-nan") { return .nan }
    // Double's own parser also takes hexadecimal and names, which the protocol doesn't have.
    for i in 0..<line.byteCount {
        switch line.byte(i) {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "e"), UInt8(ascii: "E"):
            continue
        default: return nil
        }
    }
    return Double(text(line))
}

private func isBigNumber(_ line: RawSpan) -> Bool {
    guard !line.isEmpty else { return false }
    let isSigned = line.byte(0) == UInt8(ascii: "-") || line.byte(0) == UInt8(ascii: "+")
    guard line.byteCount > (isSigned ? 1 : 0) else { return false }
    for i in (isSigned ? 1 : 0)..<line.byteCount where line.byte(i) &- UInt8(ascii: "0") > 9 { return false }
    return true
}
