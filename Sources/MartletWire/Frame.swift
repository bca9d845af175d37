import CLZ4
import MartletBase
import MartletVersions

/// What a connection between nodes is a sequence of:
///
///     length 4 | its check 4 | checksum 4 | sender's hybrid time 8 | kind 1 | flags 1 | body
///
/// `length` counts what follows its check, which is the low half of XXH3 over the length: a damaged length
/// would otherwise be waited for, and the connection hang. `checksum` is that of all that follows it: TCP's
/// sixteen bits let through what a faulty card or switch does about once in a hundred million packets. With
/// flag 1 the body is LZ4-compressed behind its plain length (4 bytes); only bodies of at least
/// `compressionBytesMin` are, and only when that makes them smaller.
package struct Frame: Hashable, Sendable {
    package var time: HybridTime
    package var message: Message

    package init(time: HybridTime, message: Message) {
        self.time = time
        self.message = message
    }

    package static let headerBytes = 22
    /// The length and its check.
    static let prefixBytes = 8
    package static let compressionBytesMin = 4 << 10
    static let compressedFlag: UInt8 = 1

    /// Appends the frame to the output of a connection.
    package func write(to writer: inout ByteWriter) {
        let start = writer.count
        writer.fixed(Self.headerBytes) {
            $0.u32(0)
            $0.u32(0)
            $0.u32(0)
            $0.u64(time.bits)
            $0.u8(message.kind.rawValue)
            $0.u8(0)
        }
        message.write(to: &writer)
        let bodyStart = start + Self.headerBytes
        if writer.count - bodyStart >= Self.compressionBytesMin {
            Self.compressBody(of: &writer, from: bodyStart)
        }
        let length = writer.count - start - Self.prefixBytes
        invariant(length <= Limits.frameBytesMax, "a frame of \(length) bytes is over the limit")
        writer.patch(u32: UInt32(length), at: start)
        writer.patch(u32: Self.check(ofLength: length), at: start + 4)
        let sum = XXH3.hash(writer.bytes.span.bytes.extracting((start + Self.prefixBytes + 4)...))
        writer.patch(u32: UInt32(truncatingIfNeeded: sum), at: start + Self.prefixBytes)
    }

    private static func check(ofLength length: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: XXH3.hash(UInt64(length)))
    }

    /// Replaces the body by its compressed form, if that is smaller.
    private static func compressBody(of writer: inout ByteWriter, from bodyStart: Int) {
        let plainLength = writer.count - bodyStart
        let packed = [UInt8](unsafeUninitializedCapacity: plainLength - 4) { target, count in
            let written = writer.bytes.withUnsafeBufferPointer { source in
                LZ4_compress_default(
                    UnsafeRawPointer(source.baseAddress! + bodyStart).assumingMemoryBound(to: CChar.self),
                    UnsafeMutableRawPointer(target.baseAddress!).assumingMemoryBound(to: CChar.self),
                    Int32(plainLength), Int32(plainLength - 4))
            }
            count = Int(written)
        }
        // LZ4 answers zero when the target is too small: the body stays as it is.
        guard !packed.isEmpty else { return }
        writer.bytes.removeSubrange(bodyStart...)
        writer.u32(UInt32(plainLength))
        writer.raw(packed)
        writer.bytes[bodyStart - 1] |= compressedFlag
    }
}

/// What the front of a connection's unread bytes holds.
package enum FrameScan: Sendable {
    /// At least this many bytes in all are needed before it is worth looking again.
    case needMore(total: Int)
    case frame(Frame, consumed: Int)
}

extension Frame {
    /// Reads one frame from the front of the bytes.
    ///
    /// - Parameter lengthMax: what this connection may send at most: small until its hello was accepted.
    /// - Throws: `WireError`; the connection can't be read on and must be closed.
    package static func scan(_ bytes: RawSpan, lengthMax: Int = Limits.frameBytesMax) throws(WireError)
        -> FrameScan
    {
        guard bytes.byteCount >= prefixBytes else { return .needMore(total: headerBytes) }
        var reader = ByteReader(bytes)
        let length = Int(try reader.u32())
        guard try reader.u32() == check(ofLength: length) else { throw .checksum }
        guard length >= headerBytes - prefixBytes else { throw .invalid("frame length") }
        guard length <= lengthMax else { throw .tooLong(what: "frame", count: length, max: lengthMax) }
        let end = prefixBytes + length
        guard bytes.byteCount >= end else { return .needMore(total: end) }
        let sum = try reader.u32()
        let rest = bytes.extracting((prefixBytes + 4)..<end)
        guard sum == UInt32(truncatingIfNeeded: XXH3.hash(rest)) else { throw .checksum }
        let time = HybridTime(bits: try reader.u64())
        guard let kind = Message.Kind(rawValue: try reader.u8()) else { throw .invalid("message kind") }
        let flags = try reader.u8()
        guard flags & ~compressedFlag == 0 else { throw .invalid("frame flags") }
        let body = bytes.extracting(headerBytes..<end)
        let message: Message
        if flags & compressedFlag != 0 {
            let plain = try decompress(body, lengthMax: lengthMax)
            message = try Message(kind: kind, from: plain.span.bytes)
        } else {
            message = try Message(kind: kind, from: body)
        }
        return .frame(Frame(time: time, message: message), consumed: end)
    }

    private static func decompress(_ body: RawSpan, lengthMax: Int) throws(WireError) -> [UInt8] {
        var reader = ByteReader(body)
        let plainLength = Int(try reader.u32())
        guard plainLength <= lengthMax else {
            throw .tooLong(what: "frame", count: plainLength, max: lengthMax)
        }
        // LZ4 can't expand by more than 255 times: a forged length must not make us allocate.
        guard plainLength <= reader.remaining * 255 + 64 else { throw .invalid("compressed length") }
        let packed = try reader.take(reader.remaining)
        let plain = [UInt8](unsafeUninitializedCapacity: plainLength) { target, count in
            let written = packed.withUnsafeBytes { source in
                LZ4_decompress_safe(
                    source.baseAddress?.assumingMemoryBound(to: CChar.self),
                    UnsafeMutableRawPointer(target.baseAddress!).assumingMemoryBound(to: CChar.self),
                    Int32(source.count), Int32(plainLength))
            }
            count = written == Int32(plainLength) ? plainLength : 0
        }
        guard plain.count == plainLength else { throw .invalid("compressed body") }
        return plain
    }
}
