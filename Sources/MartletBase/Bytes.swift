/// Bytes from a peer, a client or a disk that can't be what they should be. Answered or dropped, and counted;
/// never a trap.
package enum WireError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The bytes end before the value does.
    case truncated
    /// A length or count is over its limit.
    case tooLong(what: StaticName, count: Int, max: Int)
    /// A field holds a value that it can't have.
    case invalid(StaticName)
    /// The checksum doesn't match the bytes.
    case checksum
    /// Bytes are left where the value should end.
    case trailing

    package var description: String {
        switch self {
        case .truncated: "the bytes end too early"
        case .tooLong(let what, let count, let max):
            "\(what) has \(count) bytes or entries; at most \(max) are allowed"
        case .invalid(let what): "\(what) is not valid"
        case .checksum: "the checksum does not match"
        case .trailing: "bytes are left over at the end"
        }
    }
}

/// A name fixed at compile time, for errors that must not allocate.
package struct StaticName: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    package let string: StaticString

    package init(stringLiteral value: StaticString) { string = value }
    package var description: String { string.description }

    package static func == (a: StaticName, b: StaticName) -> Bool { a.description == b.description }
    package func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

/// A cursor that reads values out of borrowed bytes without copying. Integers are big-endian; varints are
/// unsigned LEB128, refused when longer than needed, so that equal values are equal bytes.
package struct ByteReader: ~Escapable {
    @usableFromInline let bytes: RawSpan
    @usableFromInline package var offset: Int

    @_lifetime(copy bytes)
    @inlinable package init(_ bytes: RawSpan) {
        self.bytes = bytes
        offset = 0
    }

    @inlinable package var remaining: Int { bytes.byteCount - offset }
    @inlinable package var isAtEnd: Bool { offset == bytes.byteCount }

    /// Throws `.trailing` unless everything was read.
    @inlinable package func expectEnd() throws(WireError) {
        if !isAtEnd { throw .trailing }
    }

    @inlinable @inline(__always)
    mutating func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) throws(WireError) -> T {
        guard remaining >= MemoryLayout<T>.size else { throw .truncated }
        let value = bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: type)
        offset += MemoryLayout<T>.size
        return T(bigEndian: value)
    }

    @inlinable package mutating func u8() throws(WireError) -> UInt8 { try load(UInt8.self) }
    @inlinable package mutating func u16() throws(WireError) -> UInt16 { try load(UInt16.self) }
    @inlinable package mutating func u32() throws(WireError) -> UInt32 { try load(UInt32.self) }
    @inlinable package mutating func u64() throws(WireError) -> UInt64 { try load(UInt64.self) }

    /// A byte that is 0 or 1.
    package mutating func bool(_ what: StaticName) throws(WireError) -> Bool {
        switch try u8() {
        case 0: return false
        case 1: return true
        default: throw .invalid(what)
        }
    }

    @inlinable package mutating func varint() throws(WireError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try u8()
            if shift == 63 && byte > 1 { throw .invalid("varint") }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 {
                if byte == 0 && shift > 0 { throw .invalid("varint") }
                return value
            }
            shift += 7
            if shift > 63 { throw .invalid("varint") }
        }
    }

    /// A count or length, at most `max`.
    @inlinable package mutating func count(max: Int, _ what: StaticName) throws(WireError) -> Int {
        let value = try varint()
        guard value <= UInt64(max) else { throw .tooLong(what: what, count: Int(clamping: value), max: max) }
        return Int(value)
    }

    /// The next `count` bytes, in place.
    @_lifetime(copy self)
    @inlinable package mutating func take(_ count: Int) throws(WireError) -> RawSpan {
        guard count >= 0, remaining >= count else { throw .truncated }
        let part = bytes.extracting(offset..<(offset + count))
        offset += count
        return part
    }

    /// A varint length of at most `max` and that many bytes, in place.
    @_lifetime(copy self)
    @inlinable package mutating func bytes(max: Int, _ what: StaticName) throws(WireError) -> RawSpan {
        let length = try count(max: max, what)
        return try take(length)
    }

    /// A varint length of at most `max` and that many bytes, copied.
    @inlinable package mutating func blob(max: Int, _ what: StaticName) throws(WireError) -> Blob {
        let length = try count(max: max, what)
        return Blob(copying: try take(length))
    }

    /// A varint length of at most `max` and that many bytes of UTF-8.
    package mutating func string(max: Int, _ what: StaticName) throws(WireError) -> String {
        guard let text = try blob(max: max, what).text else { throw .invalid(what) }
        return text
    }
}

/// Appends values to a byte array that its owner reuses. The counterpart of `ByteReader`.
package struct ByteWriter {
    package var bytes: [UInt8]

    @inlinable package init(reservingCapacity capacity: Int = 0) {
        bytes = []
        if capacity > 0 { bytes.reserveCapacity(capacity) }
    }

    /// Takes over an array and appends to it.
    @inlinable package init(appendingTo bytes: consuming [UInt8]) { self.bytes = bytes }

    @inlinable package var count: Int { bytes.count }

    @inlinable @inline(__always)
    mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        bytes.append(addingCapacity: MemoryLayout<T>.size) { out in
            out.withUnsafeMutableBufferPointer { buffer, count in
                UnsafeMutableRawBufferPointer(buffer).storeBytes(
                    of: value.bigEndian, toByteOffset: count, as: T.self)
                count += MemoryLayout<T>.size
            }
        }
    }

    /// Appends numbers that take `byteCount` bytes in all. Room for them is made once, which is most of what
    /// one by one costs.
    @inlinable @inline(__always)
    package mutating func fixed(_ byteCount: Int, _ body: (inout FixedWriter) -> Void) {
        bytes.append(addingCapacity: byteCount) { out in
            out.withUnsafeMutableBufferPointer { buffer, count in
                let room = UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
                var writer = FixedWriter(room)
                body(&writer)
                invariant(writer.offset == byteCount, "more or fewer bytes were written than announced")
                count += byteCount
            }
        }
    }

    @inlinable package mutating func u8(_ value: UInt8) { bytes.append(value) }
    @inlinable package mutating func u16(_ value: UInt16) { store(value) }
    @inlinable package mutating func u32(_ value: UInt32) { store(value) }
    @inlinable package mutating func u64(_ value: UInt64) { store(value) }

    @inlinable package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    @inlinable package mutating func raw(_ span: RawSpan) {
        span.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    @inlinable package mutating func raw(_ array: [UInt8]) { bytes.append(contentsOf: array) }
    @inlinable package mutating func raw(_ blob: Blob) { bytes.append(contentsOf: blob.bytes) }

    /// A varint length and the bytes.
    @inlinable package mutating func blob(_ blob: Blob) {
        varint(UInt64(blob.count))
        raw(blob)
    }

    /// A varint length and the UTF-8 bytes.
    @inlinable package mutating func string(_ string: String) {
        varint(UInt64(string.utf8.count))
        bytes.append(contentsOf: string.utf8)
    }

    /// Overwrites four bytes that were written before: for lengths and checksums that are known last.
    @inlinable package mutating func patch(u32 value: UInt32, at offset: Int) {
        invariant(offset + 4 <= bytes.count, "patch past the end of the bytes")
        bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
        }
    }
}

/// Writes numbers into room that `ByteWriter.fixed` has made.
package struct FixedWriter {
    @usableFromInline let room: UnsafeMutableRawBufferPointer
    @usableFromInline var offset = 0

    @inlinable init(_ room: UnsafeMutableRawBufferPointer) { self.room = room }

    @inlinable @inline(__always)
    mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        invariant(offset + MemoryLayout<T>.size <= room.count, "more bytes were written than announced")
        room.storeBytes(of: value.bigEndian, toByteOffset: offset, as: T.self)
        offset += MemoryLayout<T>.size
    }

    @inlinable package mutating func u8(_ value: UInt8) { store(value) }
    @inlinable package mutating func u16(_ value: UInt16) { store(value) }
    @inlinable package mutating func u32(_ value: UInt32) { store(value) }
    @inlinable package mutating func u64(_ value: UInt64) { store(value) }
}
