import MartletBase

/// A JSON value (RFC 8259). Numbers are kept as they were written, members in their order.
package indirect enum JSONValue: Hashable, Sendable, CustomStringConvertible {
    case null
    case boolean(Bool)
    case number(String)
    case string(String)
    case array([JSONValue])
    case members([Member])

    package struct Member: Hashable, Sendable {
        package let name: String
        package let value: JSONValue
    }

    package static func object(_ members: [(String, JSONValue)]) -> JSONValue {
        .members(members.map { Member(name: $0.0, value: $0.1) })
    }

    package static func integer(_ value: Int) -> JSONValue { .number(String(value)) }
    package static func strings(_ values: [String]) -> JSONValue { .array(values.map(JSONValue.string)) }
    /// Null for what JSON has no number for, and for nothing.
    package static func finite(_ value: Double?) -> JSONValue {
        guard let value, value.isFinite else { return .null }
        return .number(
            value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : value.description)
    }
    package static func optional(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }

    /// A member's value; nil when there is none, or when this is no object.
    package subscript(_ name: String) -> JSONValue? {
        guard case .members(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    package var text: String? {
        if case .string(let text) = self { text } else { nil }
    }

    package var double: Double? {
        if case .number(let text) = self { Double(text) } else { nil }
    }

    package var integer: Int? {
        if case .number(let text) = self { Int(text) } else { nil }
    }

    package var boolean: Bool? {
        if case .boolean(let value) = self { value } else { nil }
    }

    package var elements: [JSONValue] {
        if case .array(let values) = self { values } else { [] }
    }

    /// On one line, without spaces.
    package var description: String {
        switch self {
        case .null: "null"
        case .boolean(let value): value ? "true" : "false"
        case .number(let text): text
        case .string(let text): Self.quote(text)
        case .array(let values): "[" + values.map(\.description).joined(separator: ",") + "]"
        case .members(let members):
            "{" + members.map { Self.quote($0.name) + ":" + $0.value.description }.joined(separator: ",")
                + "}"
        }
    }

    private static func quote(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 32 || scalar.value == 127:
                out += "\\u00" + hexByte(UInt8(scalar.value))
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
