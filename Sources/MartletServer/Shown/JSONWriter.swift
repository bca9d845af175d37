/// Writes one JSON text (RFC 8259), without spaces and with the members in the order in which they are given,
/// so that equal facts are equal bytes.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []
    /// Whether the object or array in hand has a member already.
    private var needsComma = false

    var text: String { String(decoding: bytes, as: UTF8.self) }

    mutating func object(_ body: (inout JSONWriter) -> Void) {
        enclose(UInt8(ascii: "{"), UInt8(ascii: "}"), body)
    }

    /// `body` writes one element.
    mutating func array<Elements: Sequence>(
        _ elements: Elements, _ body: (inout JSONWriter, Elements.Element) -> Void
    ) {
        enclose(UInt8(ascii: "["), UInt8(ascii: "]")) { writer in
            for element in elements {
                writer.separate()
                body(&writer, element)
                writer.needsComma = true
            }
        }
    }

    private mutating func enclose(_ open: UInt8, _ close: UInt8, _ body: (inout JSONWriter) -> Void) {
        bytes.append(open)
        needsComma = false
        body(&self)
        bytes.append(close)
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = false
    }

    // MARK: Members of an object

    mutating func member(_ name: String, _ value: (inout JSONWriter) -> Void) {
        separate()
        string(name)
        bytes.append(UInt8(ascii: ":"))
        value(&self)
        needsComma = true
    }

    mutating func member(_ name: String, _ text: String) { member(name) { $0.string(text) } }
    mutating func member(_ name: String, _ number: Int) { member(name) { $0.number(number) } }
    mutating func member(_ name: String, _ flag: Bool) { member(name) { $0.raw(flag ? "true" : "false") } }

    /// Null when there is none.
    mutating func member(_ name: String, _ number: Int?) {
        member(name) { writer in
            if let number { writer.number(number) } else { writer.raw("null") }
        }
    }

    /// Null when there is none, or when it isn't a finite number.
    mutating func member(_ name: String, _ number: Double?) {
        member(name) { writer in
            if let number, number.isFinite { writer.raw(number.description) } else { writer.raw("null") }
        }
    }

    // MARK: Values

    mutating func number(_ value: Int) { raw(String(value)) }
    private mutating func raw(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func string(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): raw("\\\"")
            case UInt8(ascii: "\\"): raw("\\\\")
            case UInt8(ascii: "\n"): raw("\\n")
            case UInt8(ascii: "\r"): raw("\\r")
            case UInt8(ascii: "\t"): raw("\\t")
            case 0..<0x20: raw("\\u00" + (byte < 0x10 ? "0" : "") + String(byte, radix: 16))
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
