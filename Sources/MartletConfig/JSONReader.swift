import MartletBase

/// Reads one JSON text (RFC 8259), strictly: what isn't JSON, or is nested too deep, is an error.
package struct JSONReader {
    private let bytes: [UInt8]
    private var position = 0
    private let depthMax = 32

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    package static func read(_ bytes: [UInt8]) throws(WireError) -> JSONValue {
        var reader = JSONReader(bytes)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.position == bytes.count else { throw .trailing }
        return value
    }

    private mutating func value(depth: Int) throws(WireError) -> JSONValue {
        guard depth < depthMax else { throw .tooLong(what: "JSON's depth", count: depth, max: depthMax) }
        skipSpace()
        switch peek {
        case nil: throw .truncated
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func object(depth: Int) throws(WireError) -> JSONValue {
        position += 1
        var members: [JSONValue.Member] = []
        if takes(UInt8(ascii: "}")) { return .members([]) }
        repeat {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw .invalid("member of a JSON object") }
            let name = try string()
            guard takes(UInt8(ascii: ":")) else { throw .invalid("member of a JSON object") }
            members.append(JSONValue.Member(name: name, value: try value(depth: depth + 1)))
        } while takes(UInt8(ascii: ","))
        guard takes(UInt8(ascii: "}")) else { throw .invalid("end of a JSON object") }
        return .members(members)
    }

    private mutating func array(depth: Int) throws(WireError) -> JSONValue {
        position += 1
        var values: [JSONValue] = []
        if takes(UInt8(ascii: "]")) { return .array([]) }
        repeat {
            values.append(try value(depth: depth + 1))
        } while takes(UInt8(ascii: ","))
        guard takes(UInt8(ascii: "]")) else { throw .invalid("end of a JSON array") }
        return .array(values)
    }

    private mutating func word(_ text: StaticString, _ value: JSONValue) throws(WireError) -> JSONValue {
        let word = text.withUTF8Buffer { Array($0) }
        guard bytes[position...].starts(with: word) else { throw .invalid("JSON value") }
        position += word.count
        return value
    }

    private mutating func number() throws(WireError) -> JSONValue {
        let start = position
        if peek == UInt8(ascii: "-") { position += 1 }
        let whole = digits()
        guard whole == 1 || (whole > 1 && bytes[position - whole] != UInt8(ascii: "0")) else {
            throw .invalid("JSON value")
        }
        if peek == UInt8(ascii: ".") {
            position += 1
            guard digits() > 0 else { throw .invalid("JSON number") }
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            position += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            guard digits() > 0 else { throw .invalid("JSON number") }
        }
        return .number(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func digits() -> Int {
        let start = position
        while let byte = peek, byte &- UInt8(ascii: "0") < 10 { position += 1 }
        return position - start
    }

    private mutating func string() throws(WireError) -> String {
        position += 1
        var out: [UInt8] = []
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: out, as: UTF8.self) else { throw .invalid("JSON string") }
                return text
            case UInt8(ascii: "\\"): out += try escaped()
            case 0..<32: throw .invalid("JSON string")
            default: out.append(byte)
            }
        }
        throw .truncated
    }

    private mutating func escaped() throws(WireError) -> [UInt8] {
        guard let byte = peek else { throw .truncated }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "u"):
            var value = try hexDigits()
            if (0xD800..<0xDC00).contains(value) {
                guard bytes[position...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")]) else {
                    throw .invalid("JSON string")
                }
                position += 2
                let low = try hexDigits()
                guard (0xDC00..<0xE000).contains(low) else { throw .invalid("JSON string") }
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw .invalid("JSON string") }
            return Array(String(Character(scalar)).utf8)
        default: throw .invalid("JSON string")
        }
    }

    private mutating func hexDigits() throws(WireError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw .truncated }
        let text = String(decoding: bytes[position..<position + 4], as: UTF8.self)
        guard text.first != "+", text.first != "-", let value = UInt32(text, radix: 16) else {
            throw .invalid("JSON string")
        }
        position += 4
        return value
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func takes(_ byte: UInt8) -> Bool {
        skipSpace()
        guard peek == byte else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 32 || byte == 9 || byte == 10 || byte == 13 { position += 1 }
    }
}
