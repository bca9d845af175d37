import MartletBase
import MartletLoop
import Testing

@Suite struct InputBufferTests {
    /// Takes whole messages (a length byte and as many bytes) off the front.
    private static func parse(_ bytes: RawSpan, into messages: inout [[UInt8]]) -> Int {
        var used = 0
        while used < bytes.byteCount {
            let length = Int(bytes.unsafeLoad(fromByteOffset: used, as: UInt8.self))
            guard bytes.byteCount - used > length else { break }
            messages.append(bytes.extracting((used + 1)..<(used + 1 + length)).array)
            used += 1 + length
        }
        return used
    }

    @Test(arguments: 0..<50 as Range<UInt64>)
    func messagesComeWholeHoweverTheStreamIsCut(seed: UInt64) throws {
        var random = Random(seed: seed)
        let messages = (0..<200).map { _ in
            (0..<random.below(256)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }
        let stream = Blob(messages.flatMap { [UInt8($0.count)] + $0 })
        var buffer = InputBuffer(bytesMax: 4_096)
        var found: [[UInt8]] = []
        var offset = 0
        while offset < stream.count {
            let piece = min(1 + random.below(1_000), stream.count - offset)
            try buffer.parse(stream.span.extracting(offset..<(offset + piece))) { bytes in
                Self.parse(bytes, into: &found)
            }
            offset += piece
        }
        #expect(found == messages, "seed \(seed)")
        let isEmpty = buffer.isEmpty
        #expect(isEmpty)
    }

    @Test func aReadThatEndsWithItsMessageIsNotCopied() throws {
        var buffer = InputBuffer(bytesMax: 100)
        var found: [[UInt8]] = []
        let read = Blob([2, 7, 8])
        try buffer.parse(read.span) { Self.parse($0, into: &found) }
        #expect(found == [[7, 8]])
        let capacity = buffer.capacity
        #expect(capacity == 0)
    }

    @Test func whatAParserLeavesIsHandedOutAgainAfterAPause() throws {
        var buffer = InputBuffer(bytesMax: 100)
        try buffer.parse(Blob([1, 2, 3, 4]).span) { _ in 1 }
        var seen: [UInt8] = []
        try buffer.parse { bytes in
            seen = bytes.array
            return 2
        }
        #expect(seen == [2, 3, 4])
        let left = buffer.unread.array
        #expect(left == [4])
        buffer.removeAll()
        try buffer.parse { _ in
            Issue.record("nothing is left")
            return 0
        }
    }

    @Test func moreThanTheBoundIsRefused() throws {
        var buffer = InputBuffer(bytesMax: 4)
        try buffer.append(Blob([1, 2, 3]).span)
        buffer.consume(1)
        try buffer.append(Blob([4, 5]).span)
        var said: WireError?
        do { try buffer.append(Blob([6]).span) } catch { said = error }
        #expect(said == .tooLong(what: "unread input", count: 5, max: 4))
        let kept = buffer.unread.array
        #expect(kept == [2, 3, 4, 5])
    }

    @Test func theMemoryOfALargeMessageIsGivenBack() throws {
        var buffer = InputBuffer(bytesMax: 10 << 20)
        buffer.reserve(total: 8 << 20)
        let reserved = buffer.capacity
        #expect(reserved >= 8 << 20)
        let piece = Blob([UInt8](repeating: 1, count: 64 << 10))
        for _ in 0..<128 { try buffer.append(piece.span) }
        let grown = buffer.capacity
        #expect(grown == reserved, "what was reserved was enough")
        buffer.consume(buffer.count)
        let rest = buffer.capacity
        #expect(rest == 0)
    }
}
