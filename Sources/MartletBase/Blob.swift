/// Immutable shared bytes: what is copied once out of a frame when it must outlive it, and then only referred
/// to.
///
/// Equality, hashing and order are those of the bytes (lexicographic, unsigned).
package struct Blob: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let bytes: [UInt8]

    @inlinable package init(_ bytes: [UInt8]) { self.bytes = bytes }
    @inlinable package init(_ string: String) { self.bytes = Array(string.utf8) }

    /// Copies the span's bytes.
    @inlinable package init(copying span: RawSpan) {
        bytes = span.withUnsafeBytes { Array($0) }
    }

    /// Copies the buffer's bytes.
    @inlinable package init(copying buffer: UnsafeRawBufferPointer) { bytes = Array(buffer) }

    package static let empty = Blob([])

    @inlinable package var count: Int { bytes.count }
    @inlinable package var isEmpty: Bool { bytes.isEmpty }

    /// The bytes in place, for a cursor.
    package var span: RawSpan {
        @_lifetime(borrow self)
        @inlinable get { bytes.span.bytes }
    }

    @inlinable package func withUnsafeBytes<R, E>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        // Array's own withUnsafeBytes erases the error's type; the span's keeps it.
        try bytes.span.bytes.withUnsafeBytes(body)
    }

    @inlinable package static func < (a: Blob, b: Blob) -> Bool {
        a.bytes.span.bytes.withUnsafeBytes { x in
            b.bytes.span.bytes.withUnsafeBytes { y in compareBytes(x, y) < 0 }
        }
    }

    /// The text, when the bytes are UTF-8.
    package var text: String? { String(validating: bytes, as: UTF8.self) }

    /// For logs and errors: text where printable, `\xNN` elsewhere, cut after 64 bytes.
    package var description: String {
        var out = ""
        for byte in bytes.prefix(64) {
            switch byte {
            case UInt8(ascii: "\\"): out += "\\\\"
            case 0x20...0x7E: out.unicodeScalars.append(Unicode.Scalar(byte))
            default: out += "\\x" + hexByte(byte)
            }
        }
        return bytes.count > 64 ? out + "..." : out
    }
}

/// Lexicographic comparison of unsigned bytes: negative, zero or positive. No C call, so the pure floors need
/// no libc.
@inlinable
package func compareBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let common = min(a.count, b.count)
    var i = 0
    while i + 8 <= common {
        let x = a.loadUnaligned(fromByteOffset: i, as: UInt64.self)
        let y = b.loadUnaligned(fromByteOffset: i, as: UInt64.self)
        if x != y { return UInt64(bigEndian: x) < UInt64(bigEndian: y) ? -1 : 1 }
        i += 8
    }
    while i < common {
        if a[i] != b[i] { return a[i] < b[i] ? -1 : 1 }
        i += 1
    }
    return a.count - b.count
}
