import MartletBase

/// The bytes of a stream that were received and not yet parsed.
///
/// `parse` lends a parser the unread bytes and drops as many as it says it has used. As long as each read
/// ends at the end of a message nothing is ever copied: the parser gets the read's own bytes. What it leaves
/// is kept in front of the next read. Memory that only a large message needed is given back once that is used
/// up.
package struct InputBuffer: ~Copyable {
    private var bytes: [UInt8] = []
    /// Bytes at the front that were used.
    private var offset = 0
    /// The most bytes that may be kept unread.
    package let bytesMax: Int

    package init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Unread bytes.
    package var count: Int { bytes.count - offset }
    package var isEmpty: Bool { count == 0 }

    /// Allocated bytes.
    package var capacity: Int { bytes.capacity }

    package var unread: RawSpan {
        @_lifetime(borrow self)
        get { bytes.span.bytes.extracting(offset..<bytes.count) }
    }

    /// Keeps a copy of `new` after the unread bytes.
    /// - Throws: `.tooLong` when more than `bytesMax` bytes would be unread; then nothing is kept of `new`.
    package mutating func append(_ new: RawSpan) throws(WireError) {
        let total = count + new.byteCount
        guard total <= bytesMax else { throw .tooLong(what: "unread input", count: total, max: bytesMax) }
        if offset > 0, offset >= count || bytes.count + new.byteCount > bytes.capacity {
            bytes.removeSubrange(..<offset)
            offset = 0
        }
        new.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    /// Makes room for a message of `total` bytes of which only the beginning has come, so that it doesn't
    /// move with each read. At most `bytesMax` bytes.
    package mutating func reserve(total: Int) {
        let wanted = min(total, bytesMax)
        if wanted > bytes.capacity - offset { bytes.reserveCapacity(offset + wanted) }
    }

    /// Drops the first `count` unread bytes.
    package mutating func consume(_ count: Int) {
        invariant(count >= 0 && count <= self.count, "a parser used more bytes than there are")
        offset += count
        guard offset == bytes.count else { return }
        offset = 0
        if bytes.capacity > Limits.inputRetainedBytesMax {
            bytes = []
        } else {
            bytes.removeAll(keepingCapacity: true)
        }
    }

    /// Lends `body` the unread bytes followed by `new`; it returns how many of these it has used, from the
    /// front. The rest is kept. `body` must not touch this buffer.
    /// - Throws: what `body` throws (then the buffer is of no more use), and what `append` does.
    package mutating func parse(
        _ new: RawSpan, _ body: (RawSpan) throws(WireError) -> Int
    ) throws(WireError) {
        guard isEmpty else {
            try append(new)
            return try parse(body)
        }
        let used = try body(new)
        invariant(used >= 0 && used <= new.byteCount, "a parser used more bytes than there are")
        if used < new.byteCount { try append(new.extracting(droppingFirst: used)) }
    }

    /// Lends `body` what was kept: to go on after a pause.
    package mutating func parse(_ body: (RawSpan) throws(WireError) -> Int) throws(WireError) {
        if isEmpty { return }
        consume(try body(unread))
    }

    /// Drops everything.
    package mutating func removeAll() { consume(count) }
}
