import MartletBase

/// One of the ring's 16,384 arcs: Redis Cluster's slot, and the top 14 bits of a token.
///
/// Nodes own slots, never parts of one, so any Redis Cluster client can route to an owner.
package struct Slot: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let index: UInt16

    /// `index` is below `Limits.slots`.
    @inlinable package init(index: UInt16) {
        invariant(index < UInt16(Limits.slots), "no slot \(index): there are \(Limits.slots)")
        self.index = index
    }

    @inlinable package init(_ index: Int) { self.init(index: UInt16(index)) }

    package static let first = Slot(index: 0)
    package static let last = Slot(index: UInt16(Limits.slots - 1))

    /// The slot that Redis Cluster gives the key: CRC16 of the key, or of what stands between its first `{`
    /// and the first `}` after it when that is not empty, modulo 16,384.
    package init(key: RawSpan) {
        self = key.withUnsafeBytes { Slot(keyBytes: $0) }
    }

    init(keyBytes key: UnsafeRawBufferPointer) {
        self.init(index: CRC16.checksum(Self.hashTag(of: key)) % UInt16(Limits.slots))
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let index = try reader.u16()
        guard index < UInt16(Limits.slots) else { throw .invalid("slot") }
        self.index = index
    }

    @inlinable package static func < (a: Slot, b: Slot) -> Bool { a.index < b.index }
    package var description: String { String(index) }

    /// The part of the key that is hashed: the hash tag where there is one, else the key.
    private static func hashTag(of key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let open = index(of: UInt8(ascii: "{"), in: key, from: 0),
            let close = index(of: UInt8(ascii: "}"), in: key, from: open + 1),
            close > open + 1
        else { return key }
        return UnsafeRawBufferPointer(rebasing: key[(open + 1)..<close])
    }

    private static func index(of byte: UInt8, in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var i = start
        // A word holds the byte where, after the exclusive or, one of its bytes is zero.
        let ones: UInt64 = 0x0101_0101_0101_0101
        let pattern = ones &* UInt64(byte)
        while i + 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self) ^ pattern
            if (word &- ones) & ~word & (ones << 7) != 0 { break }
            i += 8
        }
        while i < bytes.count {
            if bytes[i] == byte { return i }
            i += 1
        }
        return nil
    }
}

/// A key's point on the ring, and the order in which storage keeps keys:
///
///     value = slot (14 bits) | XXH3-64(whole key) (its low 50 bits)
///
/// The slot comes first, so a range of the ring is a contiguous range on disk. The hash covers the whole key,
/// its hash tag or not, so keys that share a tag share a slot and still spread over the slot's sixteen Merkle
/// leaves.
package struct Token: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let value: UInt64

    package static let hashBits: UInt64 = 50
    @usableFromInline static let hashMask: UInt64 = (1 << hashBits) - 1

    @inlinable package init(value: UInt64) { self.value = value }

    package init(key: RawSpan) {
        self = key.withUnsafeBytes { Token(keyBytes: $0) }
    }

    package init(key: Blob) {
        self = key.withUnsafeBytes { Token(keyBytes: $0) }
    }

    private init(keyBytes key: UnsafeRawBufferPointer) {
        value = UInt64(Slot(keyBytes: key).index) << Self.hashBits | XXH3.hash(key) & Self.hashMask
    }

    /// Every token of the ring.
    package static let all = Token(value: 0)...Token(value: .max)

    /// The first and the last token of a slot.
    package static func bounds(of slot: Slot) -> ClosedRange<Token> {
        let first = UInt64(slot.index) << hashBits
        return Token(value: first)...Token(value: first | hashMask)
    }

    /// All tokens of some slots, as storage has them.
    package static func values(of span: SlotSpan) -> ClosedRange<UInt64> {
        UInt64(span.first) << hashBits...(UInt64(span.last) << hashBits | hashMask)
    }

    /// The token after this one; nil at the end of the ring.
    @inlinable package var next: Token? { value == .max ? nil : Token(value: value + 1) }

    @inlinable package var slot: Slot { Slot(index: UInt16(truncatingIfNeeded: value >> Self.hashBits)) }

    @inlinable package var leaf: Leaf { Leaf(index: UInt32(truncatingIfNeeded: value >> Leaf.tokenBits)) }

    @inlinable package static func < (a: Token, b: Token) -> Bool { a.value < b.value }
    package var description: String { hex(value) }
}

/// One of the sixteen equal parts of a slot: the top 18 bits of a token. Small enough that the keys of one
/// leaf can be listed, so it is the unit in which two replicas compare what they hold.
package struct Leaf: Hashable, Comparable, Sendable {
    package static let count = 16 * Limits.slots
    @usableFromInline static let tokenBits: UInt64 = 46

    package let index: UInt32

    /// `index` is below `count`.
    @inlinable package init(index: UInt32) { self.index = index }

    package var first: Token { Token(value: UInt64(index) << Self.tokenBits) }
    package var last: Token { Token(value: UInt64(index) << Self.tokenBits | (1 << Self.tokenBits - 1)) }

    @inlinable package static func < (a: Leaf, b: Leaf) -> Bool { a.index < b.index }
}
