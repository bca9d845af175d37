import MartletBase

/// A reply as a client sees it: every type of RESP2 and RESP3. Texts that aren't UTF-8 are repaired with
/// U+FFFD; payloads are kept as they came.
package enum RESPValue: Hashable, Sendable {
    case simpleString(String)
    /// `PREFIX text`; also RESP3's bulk error.
    case error(String)
    case integer(Int64)
    case bulkString(Blob)
    /// RESP3's null, RESP2's null bulk string and null array.
    case null
    case boolean(Bool)
    case double(Double)
    /// Decimal digits with an optional sign, as they came.
    case bigNumber(String)
    /// The format has three characters: `txt`, `mkd`.
    case verbatimString(format: String, text: Blob)
    case array([RESPValue])
    case map([Pair])
    case set([RESPValue])
    /// What answers no request: an invalidation, a message.
    case push([RESPValue])
    /// A value and what the server says about it beside.
    indirect case attributed(attributes: [Pair], value: RESPValue)

    /// An entry of a map, in the order in which it came.
    package struct Pair: Hashable, Sendable {
        package var key: RESPValue
        package var value: RESPValue

        package init(_ key: RESPValue, _ value: RESPValue) {
            self.key = key
            self.value = value
        }
    }
}

extension RESPValue {
    package var isNull: Bool { self == .null }

    /// The error's line, if it is one.
    package var errorText: String? {
        if case .error(let text) = withoutAttributes { text } else { nil }
    }

    /// The payload of any kind of string.
    package var blob: Blob? {
        switch withoutAttributes {
        case .simpleString(let text), .bigNumber(let text): Blob(text)
        case .bulkString(let payload), .verbatimString(_, let payload): payload
        default: nil
        }
    }

    /// The payload of any kind of string, when it is UTF-8.
    package var text: String? { blob?.text }

    package var integer: Int64? {
        if case .integer(let value) = withoutAttributes { value } else { nil }
    }

    /// The elements of an array, a set or a push; those of a map one after another, as RESP2 gives them.
    package var elements: [RESPValue]? {
        switch withoutAttributes {
        case .array(let values), .set(let values), .push(let values): values
        case .map(let pairs): pairs.flatMap { [$0.key, $0.value] }
        default: nil
        }
    }

    package var withoutAttributes: RESPValue {
        if case .attributed(_, let value) = self { value.withoutAttributes } else { self }
    }
}

extension ReplyWriter {
    /// A whole value. In RESP2 attributes are left out.
    package mutating func value(_ value: RESPValue) {
        switch value {
        case .simpleString(let text): simpleString(text)
        case .error(let text): error(text)
        case .integer(let value): integer(value)
        case .bulkString(let payload): bulk(payload)
        case .null: null()
        case .boolean(let value): boolean(value)
        case .double(let value): double(value)
        case .bigNumber(let digits): bigNumber(digits)
        case .verbatimString(let format, let text): verbatim(text, format: format)
        case .array(let values):
            array(count: values.count)
            for value in values { self.value(value) }
        case .set(let values):
            set(count: values.count)
            for value in values { self.value(value) }
        case .push(let values):
            push(count: values.count)
            for value in values { self.value(value) }
        case .map(let pairs):
            map(count: pairs.count)
            write(pairs)
        case .attributed(let attributes, let value):
            if version == .three {
                header(UInt8(ascii: "|"), Int64(attributes.count))
                write(attributes)
            }
            self.value(value)
        }
    }

    private mutating func write(_ pairs: [RESPValue.Pair]) {
        for pair in pairs {
            value(pair.key)
            value(pair.value)
        }
    }
}
