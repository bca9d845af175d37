import MartletBase

/// The protocol that a connection speaks: RESP2 until `HELLO 3`.
package enum RESPVersion: UInt8, Hashable, Sendable {
    case two = 2
    case three = 3
}

/// Appends replies to a byte array that its owner reuses. What RESP2 lacks is written as Redis writes it for
/// RESP2 clients, so that a command's code is the same for both.
///
/// Aggregates are headers: the caller then writes as many replies as it announced (twice as many for a map).
package struct ReplyWriter: Sendable {
    package var bytes: [UInt8]
    package var version: RESPVersion

    @inlinable package init(appendingTo bytes: consuming [UInt8] = [], version: RESPVersion = .two) {
        self.bytes = bytes
        self.version = version
    }

    // MARK: Lines

    /// A text fixed at compile time, without a line end in it.
    @inlinable package mutating func simpleString(_ text: StaticString) {
        line(UInt8(ascii: "+"), text)
    }

    /// Line ends within the text become spaces: else the client would read the rest as another reply.
    package mutating func simpleString(_ text: String) { line(UInt8(ascii: "+"), text.utf8) }

    @inlinable package mutating func ok() { raw("+OK\r\n") }

    /// `PREFIX text`, without a line end in it.
    @inlinable package mutating func error(_ text: StaticString) { line(UInt8(ascii: "-"), text) }

    /// `PREFIX text`; line ends within it become spaces.
    package mutating func error(_ text: String) { line(UInt8(ascii: "-"), text.utf8) }

    package mutating func error(_ error: ProtocolError) { line(UInt8(ascii: "-"), error.line) }

    // MARK: Scalars

    @inlinable package mutating func integer(_ value: Int64) { header(UInt8(ascii: ":"), value) }
    @inlinable package mutating func integer(_ value: Int) { header(UInt8(ascii: ":"), Int64(value)) }

    @inlinable package mutating func bulk(_ payload: RawSpan) {
        payload.withUnsafeBytes { bytes.appendBulk($0, mark: UInt8(ascii: "$")) }
    }

    @inlinable package mutating func bulk(_ payload: Blob) { bulk(payload.span) }
    @inlinable package mutating func bulk(_ payload: [UInt8]) { bulk(payload.span.bytes) }

    package mutating func bulk(_ text: String) {
        var text = text
        text.withUTF8 { bytes.appendBulk(UnsafeRawBufferPointer($0), mark: UInt8(ascii: "$")) }
    }

    /// No value, where a value would be.
    @inlinable package mutating func null() {
        raw(version == .two ? "$-1\r\n" : "_\r\n")
    }

    /// No array, where an array would be.
    @inlinable package mutating func nullArray() {
        raw(version == .two ? "*-1\r\n" : "_\r\n")
    }

    /// RESP2: 1 or 0.
    @inlinable package mutating func boolean(_ value: Bool) {
        switch version {
        case .two: integer(value ? 1 : 0)
        case .three: raw(value ? "#t\r\n" : "#f\r\n")
        }
    }

    /// The shortest text that reads back as the value (as Redis writes it from 7.2 on; 7.0 writes 17 digits).
    /// RESP2: a bulk string.
    package mutating func double(_ value: Double) {
        let text = doubleText(value)
        switch version {
        case .two: bulk(text)
        case .three: line(UInt8(ascii: ","), text.utf8)
        }
    }

    /// Decimal digits with an optional minus. RESP2: a bulk string.
    package mutating func bigNumber(_ digits: String) {
        switch version {
        case .two: bulk(digits)
        case .three: line(UInt8(ascii: "("), digits.utf8)
        }
    }

    /// Text with a format of three characters, `txt` or `mkd`. RESP2: a bulk string.
    package mutating func verbatim(_ text: Blob, format: String = "txt") {
        invariant(format.utf8.count == 3, "a verbatim string's format has three characters")
        if version == .two { return bulk(text) }
        header(UInt8(ascii: "="), Int64(text.count + 4))
        bytes.append(contentsOf: format.utf8)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(contentsOf: text.bytes)
        raw("\r\n")
    }

    // MARK: Aggregates

    @inlinable package mutating func array(count: Int) { header(UInt8(ascii: "*"), Int64(count)) }

    /// Followed by `count` pairs. RESP2: an array of twice as many.
    @inlinable package mutating func map(count: Int) {
        switch version {
        case .two: header(UInt8(ascii: "*"), Int64(2 * count))
        case .three: header(UInt8(ascii: "%"), Int64(count))
        }
    }

    /// RESP2: an array.
    @inlinable package mutating func set(count: Int) {
        header(version == .two ? UInt8(ascii: "*") : UInt8(ascii: "~"), Int64(count))
    }

    /// What answers no request. RESP2: an array.
    @inlinable package mutating func push(count: Int) {
        header(version == .two ? UInt8(ascii: "*") : UInt8(ascii: ">"), Int64(count))
    }

    // MARK: Parts

    @inlinable @inline(__always)
    mutating func header(_ mark: UInt8, _ value: Int64) { bytes.appendHeader(mark, value) }

    /// Bytes as they stand.
    @inlinable mutating func raw(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inlinable mutating func line(_ mark: UInt8, _ text: StaticString) {
        bytes.append(mark)
        raw(text)
        raw("\r\n")
    }

    private mutating func line(_ mark: UInt8, _ text: some BidirectionalCollection<UInt8>) {
        func isLineEnd(_ byte: UInt8) -> Bool { byte == carriageReturn || byte == lineFeed }
        var end = text.endIndex
        while end > text.startIndex, isLineEnd(text[text.index(before: end)]) {
            end = text.index(before: end)
        }
        bytes.append(mark)
        for byte in text[..<end] { bytes.append(isLineEnd(byte) ? UInt8(ascii: " ") : byte) }
        raw("\r\n")
    }
}

private func doubleText(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    // Whole numbers without an exponent as long as every digit counts.
    if value == value.rounded(.towardZero), abs(value) < 1e17, value != 0 || value.sign == .plus {
        return String(Int64(value))
    }
    return value == 0 ? "-0" : value.description
}
