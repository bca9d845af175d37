import MartletRESP

/// What a node answers to a command that was sent as it is.
public enum Reply: Hashable, Sendable {
    /// Nothing.
    case null
    /// A whole number.
    case integer(Int64)
    /// A floating-point number.
    case double(Double)
    /// True or false.
    case boolean(Bool)
    /// Every kind of string.
    case bytes(Bytes)
    /// An array or a set.
    case array([Reply])
    /// A map, in the order in which it came.
    case map([Entry])
    /// An error inside an array; one that is the whole answer is thrown.
    case error(String)

    /// An entry of a map.
    public struct Entry: Hashable, Sendable {
        /// Its key.
        public let key: Reply
        /// Its value.
        public let value: Reply
    }

    /// The text, of a string that is UTF-8.
    public var string: String? {
        if case .bytes(let bytes) = self { bytes.string } else { nil }
    }

    init(_ value: RESPValue) {
        switch value {
        case .null: self = .null
        case .integer(let number): self = .integer(number)
        case .double(let number): self = .double(number)
        case .boolean(let value): self = .boolean(value)
        case .simpleString(let text), .bigNumber(let text): self = .bytes(Bytes(text))
        case .bulkString(let blob), .verbatimString(_, let blob): self = .bytes(Bytes(blob.bytes))
        case .array(let values), .set(let values), .push(let values): self = .array(values.map(Reply.init))
        case .map(let pairs): self = .map(pairs.map { Entry(key: Reply($0.key), value: Reply($0.value)) })
        case .error(let line): self = .error(line)
        case .attributed(_, let value): self = Reply(value)
        }
    }
}
