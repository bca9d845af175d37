/// Bytes of a key or a value, which the store keeps as they are, whatever they hold.
///
/// A literal makes one (`let key: Bytes = "user:1"`), and so do strings and arrays of bytes. Copying is
/// cheap: copies share the bytes. The order is that of the unsigned bytes.
public struct Bytes: Hashable, Comparable, Sendable {
    /// The bytes.
    public let array: [UInt8]

    /// Takes over an array, without a copy.
    public init(_ array: [UInt8]) { self.array = array }

    /// Copies any other sequence of bytes.
    public init(_ sequence: some Sequence<UInt8>) { array = Array(sequence) }

    /// The UTF-8 bytes of a text.
    public init(_ text: some StringProtocol) { array = Array(text.utf8) }

    /// How many bytes there are.
    public var count: Int { array.count }

    /// Whether there are none.
    public var isEmpty: Bool { array.isEmpty }

    /// The text, when the bytes are UTF-8; else nil.
    public var string: String? { String(validating: array, as: UTF8.self) }

    /// Compares byte by byte; a prefix comes before what it begins.
    public static func < (a: Bytes, b: Bytes) -> Bool { a.array.lexicographicallyPrecedes(b.array) }
}

extension Bytes: ExpressibleByStringInterpolation, ExpressibleByArrayLiteral {
    /// The UTF-8 bytes of a literal.
    public init(stringLiteral text: String) { self.init(text) }

    /// The bytes of a literal.
    public init(arrayLiteral bytes: UInt8...) { self.init(bytes) }
}

extension Bytes: CustomStringConvertible {
    /// For logs: the text, or how many bytes there are when it is none.
    public var description: String { string ?? "\(count) bytes" }
}

/// What can be a key or a value: strings, arrays of bytes, ``Bytes``. Let a type of your own conform, and the
/// client takes it everywhere.
public protocol BytesConvertible {
    /// The bytes that are sent and stored.
    var martletBytes: Bytes { get }
}

extension Bytes: BytesConvertible {
    /// Itself.
    public var martletBytes: Bytes { self }
}

extension Array: BytesConvertible where Element == UInt8 {
    /// The array's bytes, without a copy.
    public var martletBytes: Bytes { Bytes(self) }
}

extension String: BytesConvertible {
    /// The text's UTF-8 bytes.
    public var martletBytes: Bytes { Bytes(self) }
}

extension Substring: BytesConvertible {
    /// The text's UTF-8 bytes.
    public var martletBytes: Bytes { Bytes(self) }
}
