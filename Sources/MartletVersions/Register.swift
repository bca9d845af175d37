import MartletBase

/// The last-writer-wins record: one value with its stamp, and an expiry with a stamp of its own.
///
/// A register is the pair (value part, expiry part), and its join is, in this order:
///
///     greater value stamp wins, with its expiry part
///     at equal value stamps    value part: present or tombstone beats dropped, then the greater bytes
///                              expiry part: greater expiry stamp, then the greater expiry
///
/// Value stamps form a chain; over each stamp both parts are chains; so the whole is a join-semilattice, and
/// the three laws follow (`RegisterLawTests`). `EXPIRE` writes the expiry part for the value stamp that it
/// read, with the whole record: against a later value it loses, so it never revives what was replaced.
///
/// A *dropped* value is an expired one whose bytes were deleted to free the disk. It keeps the hash of what
/// it was, so the record's digest is the same before and after, and replicas that drop at different times
/// still agree.
///
/// Encoding (canonical: equal registers are equal bytes):
///
///     kind 1 | flags 1 | value stamp | expiry stamp, unless it is the value's | expiry 8, when there is one
///     | value
///
/// where value is: the bytes to the end (present), nothing (tombstone), or hash 8 and length varint
/// (dropped).
package struct Register: Hashable, Sendable {
    package enum Value: Hashable, Sendable {
        case present(Blob)
        case tombstone
        case dropped(hash: UInt64, length: Int)
    }

    package var stamp: Stamp
    package var value: Value
    package var expiryStamp: Stamp
    /// Milliseconds since 1970; nil for never.
    package var expiry: Int64?

    package init(stamp: Stamp, value: Value, expiryStamp: Stamp? = nil, expiry: Int64? = nil) {
        self.stamp = stamp
        self.value = value
        self.expiryStamp = expiryStamp ?? stamp
        self.expiry = expiry
    }

    package func encoded() -> Blob {
        var length = 0
        if case .present(let bytes) = value { length = bytes.count }
        var writer = ByteWriter(reservingCapacity: 2 + 2 * Stamp.encodedBytesMax + 8 + length)
        write(to: &writer)
        return Blob(writer.bytes)
    }

    package func write(to writer: inout ByteWriter) {
        let state: RegisterView.State =
            switch value {
            case .present: .present
            case .tombstone: .tombstone
            case .dropped: .dropped
            }
        RegisterView.writeHead(
            state: state, stamp: stamp, expiryStamp: expiryStamp, expiry: expiry, to: &writer)
        switch value {
        case .present(let bytes): writer.raw(bytes)
        case .tombstone: break
        case .dropped(let hash, let length):
            writer.u64(hash)
            writer.varint(UInt64(length))
        }
    }

    /// The encoding of a fresh put: what the coordinator builds, in one allocation.
    package static func encodePut(stamp: Stamp, value: RawSpan, expiry: Int64?) -> Blob {
        var writer = ByteWriter(reservingCapacity: 2 + Stamp.encodedBytesMax + 8 + value.byteCount)
        RegisterView.writeHead(
            state: .present, stamp: stamp, expiryStamp: stamp, expiry: expiry, to: &writer)
        writer.raw(value)
        return Blob(writer.bytes)
    }
}

/// A register read in place: every field but the value decoded, the value as a range of the encoded bytes.
package struct RegisterView: Hashable, Sendable {
    /// In the order in which the join prefers them.
    package enum State: UInt8, Sendable, Comparable {
        case dropped = 0
        case tombstone = 1
        case present = 2

        @inlinable package static func < (a: State, b: State) -> Bool { a.rawValue < b.rawValue }
    }

    package let state: State
    package let stamp: Stamp
    package let expiryStamp: Stamp
    /// Milliseconds since 1970; nil for never.
    package let expiry: Int64?
    /// Where in the encoded record the value part is.
    package let valueOffset: Int
    package let valueLength: Int

    @usableFromInline static let stateMask: UInt8 = 0b0000_0011
    @usableFromInline static let hasExpiry: UInt8 = 0b0000_0100
    @usableFromInline static let hasExpiryStamp: UInt8 = 0b0000_1000

    /// Decodes an encoded register, kind byte included; refuses every spelling but the canonical one.
    @inlinable package init(_ bytes: RawSpan) throws(WireError) {
        var reader = ByteReader(bytes)
        guard try reader.u8() == RecordKind.register.rawValue else { throw .invalid("record kind") }
        let flags = try reader.u8()
        let known = Self.stateMask | Self.hasExpiry | Self.hasExpiryStamp
        guard flags & ~known == 0, let state = State(rawValue: flags & Self.stateMask) else {
            throw .invalid("register flags")
        }
        self.state = state
        stamp = try Stamp(from: &reader)
        if flags & Self.hasExpiryStamp != 0 {
            expiryStamp = try Stamp(from: &reader)
            guard expiryStamp != stamp else { throw .invalid("expiry stamp") }
        } else {
            expiryStamp = stamp
        }
        if flags & Self.hasExpiry != 0 {
            let milliseconds = try reader.u64()
            guard milliseconds > 0, milliseconds <= UInt64(Int64.max) else { throw .invalid("expiry") }
            expiry = Int64(milliseconds)
        } else {
            expiry = nil
        }
        valueOffset = reader.offset
        valueLength = reader.remaining
        switch state {
        case .present: break
        case .tombstone: try reader.expectEnd()
        case .dropped:
            _ = try reader.u64()
            _ = try reader.count(max: Limits.valueBytesMax, "dropped value")
            try reader.expectEnd()
        }
    }

    @inlinable package var isTombstone: Bool { state == .tombstone }

    /// Whether a coordinator whose wall clock shows `wall` takes the value for expired.
    @inlinable package func isExpired(_ wall: WallTime) -> Bool {
        guard let expiry else { return false }
        return expiry <= wall.milliseconds
    }

    /// Whether a reader at `wall` sees a value.
    @inlinable package func isLive(_ wall: WallTime) -> Bool { state == .present && !isExpired(wall) }

    static func writeHead(
        state: State, stamp: Stamp, expiryStamp: Stamp, expiry: Int64?, to writer: inout ByteWriter
    ) {
        writer.u8(RecordKind.register.rawValue)
        var flags = state.rawValue
        if expiry != nil { flags |= hasExpiry }
        if expiryStamp != stamp { flags |= hasExpiryStamp }
        writer.u8(flags)
        stamp.write(to: &writer)
        if expiryStamp != stamp { expiryStamp.write(to: &writer) }
        if let expiry {
            invariant(expiry > 0, "an expiry is a positive number of milliseconds, got \(expiry)")
            writer.u64(UInt64(expiry))
        }
    }

    /// The hash that a dropped value keeps and a present one still has to compute.
    func valueHash(_ bytes: RawSpan) -> UInt64 {
        let value = bytes.extracting(valueOffset..<(valueOffset + valueLength))
        switch state {
        case .present: return XXH3.hash(value)
        case .tombstone: return 0
        case .dropped: return value.unsafeLoadUnaligned(as: UInt64.self).bigEndian
        }
    }

    /// Covers the stamps, the expiry and the value's hash, and so outlives the dropping of the value.
    func digest(_ bytes: RawSpan) -> UInt64 {
        // A dropped value was present: both must give one digest.
        let words: InlineArray<9, UInt64> = [
            state == .tombstone ? 1 : 2,
            stamp.time.bits, stamp.writer.node, stamp.writer.run,
            expiryStamp.time.bits, expiryStamp.writer.node, expiryStamp.writer.run,
            UInt64(expiry ?? 0), valueHash(bytes),
        ]
        return XXH3.hash(words.span.bytes)
    }

    /// The join of two encoded registers: one of them, or what is appended to `writer`.
    static func join(
        _ a: RegisterView, _ aBytes: RawSpan, _ b: RegisterView, _ bBytes: RawSpan,
        into writer: inout ByteWriter
    ) -> Record.JoinOutcome {
        if a.stamp != b.stamp { return a.stamp > b.stamp ? .first : .second }
        let aValue = aBytes.extracting(a.valueOffset..<aBytes.byteCount)
        let bValue = bBytes.extracting(b.valueOffset..<bBytes.byteCount)
        let valueOrder = a.state != b.state ? (a.state > b.state ? 1 : -1) : compare(aValue, bValue)
        let expiryOrder =
            if a.expiryStamp != b.expiryStamp {
                a.expiryStamp > b.expiryStamp ? 1 : -1
            } else {
                Int(((a.expiry ?? 0) - (b.expiry ?? 0)).signum())
            }
        if valueOrder >= 0, expiryOrder >= 0 { return .first }
        if valueOrder <= 0, expiryOrder <= 0 { return .second }
        let (value, expiry) = valueOrder > 0 ? (a, b) : (b, a)
        writeHead(
            state: value.state, stamp: a.stamp, expiryStamp: expiry.expiryStamp, expiry: expiry.expiry,
            to: &writer)
        writer.raw(valueOrder > 0 ? aValue : bValue)
        return .written
    }
}

/// Lexicographic order of unsigned bytes.
@inlinable func compare(_ a: RawSpan, _ b: RawSpan) -> Int {
    a.withUnsafeBytes { x in b.withUnsafeBytes { y in compareBytes(x, y) } }
}

extension Register {
    /// Decodes an encoded register that was validated before.
    package init(decoding record: Blob) {
        guard let view = try? RegisterView(record.span) else {
            invariantBroken("a record that was validated does not decode: \(record)")
        }
        let part = record.span.extracting(view.valueOffset..<record.count)
        switch view.state {
        case .present: value = .present(Blob(copying: part))
        case .tombstone: value = .tombstone
        case .dropped:
            var reader = ByteReader(part)
            guard let hash = try? reader.u64(),
                let length = try? reader.count(max: Limits.valueBytesMax, "dropped value")
            else {
                invariantBroken("a dropped value that was validated does not decode: \(record)")
            }
            value = .dropped(hash: hash, length: length)
        }
        stamp = view.stamp
        expiryStamp = view.expiryStamp
        expiry = view.expiry
    }
}
