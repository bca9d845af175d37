/// The name of a command or option as one number: up to 16 ASCII bytes, upper-cased. Made from an argument
/// without an allocation, so that a dictionary of handlers is found by what the client sent, whatever its
/// case.
package struct CommandName: Hashable, Sendable {
    @usableFromInline let high: UInt64
    @usableFromInline let low: UInt64

    /// No command of Redis's or ours is longer.
    package static let bytesMax = 16

    /// Nil when the argument is empty, too long, or holds a byte that no name has (so that two arguments
    /// never share a name unless they differ in case only).
    @inlinable package init?(_ argument: RawSpan) {
        let count = argument.byteCount
        guard count > 0, count <= 16 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for i in 0..<count {
            let byte = upperCased(argument.byte(i))
            guard byte > 0x20, byte < 0x7F else { return nil }
            high = high << 8 | low >> 56
            low = low << 8 | UInt64(byte)
        }
        self.high = high
        self.low = low
    }
}

extension CommandName: ExpressibleByStringLiteral, CustomStringConvertible {
    /// A name written in the code; another than 1 to 16 printable bytes is a mistake there.
    package init(stringLiteral value: StaticString) {
        let buffer = UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount)
        guard let name = CommandName(buffer.bytes) else { fatalError("\(value) can't be a command's name") }
        self = name
    }

    package var description: String {
        var bytes: [UInt8] = []
        for word in [high, low] {
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                let byte = UInt8(truncatingIfNeeded: word >> shift)
                if byte != 0 { bytes.append(byte) }
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
