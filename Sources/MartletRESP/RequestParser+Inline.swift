import MartletBase

extension RequestParser {
    /// A line of words, as a person types it.
    mutating func readInline(_ bytes: RawSpan, at start: Int) throws(ProtocolError) -> Step {
        let feed = try findLineEnd(bytes, at: start, terminator: lineFeed, otherwise: .tooBigInlineRequest)
        guard let feed else { return .needMore }
        lineSearched = 0
        var end = feed
        if end > start, bytes.byte(end - 1) == carriageReturn { end -= 1 }
        guard splitWords(bytes.extracting(start..<end)) else { throw .unbalancedQuotes }
        isInline = true
        return arguments.isEmpty ? .empty(end: feed + 1) : .request(end: feed + 1)
    }

    /// Splits as Redis's `sdssplitargs` does, quotes and escapes resolved, into `inlineBytes`. False when a
    /// quote isn't closed, or is followed by anything but a blank. Vertical tabs and form feeds part words
    /// only after a blank or a quote: within a word they are a part of it.
    private mutating func splitWords(_ line: RawSpan) -> Bool {
        if inlineBytes.capacity > Limits.keptInlineBytesMax {
            inlineBytes = []
        } else {
            inlineBytes.removeAll(keepingCapacity: true)
        }
        var position = 0
        while true {
            while position < line.byteCount, isBlank(line.byte(position)) { position += 1 }
            if position == line.byteCount { return true }
            let first = inlineBytes.count
            guard let end = appendWord(line, at: position) else { return false }
            arguments.append(first..<inlineBytes.count)
            position = end
        }
    }

    /// Appends the word at `start`, resolved, and gives the position after it; nil for unbalanced quotes.
    private mutating func appendWord(_ line: RawSpan, at start: Int) -> Int? {
        var position = start
        while position < line.byteCount {
            let byte = line.byte(position)
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), carriageReturn, lineFeed: return position
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                // The closing quote ends the word, wherever the opening one stands in it.
                guard let end = appendQuoted(line, at: position + 1, quote: byte) else { return nil }
                return end == line.byteCount || isBlank(line.byte(end)) ? end : nil
            default:
                inlineBytes.append(byte)
                position += 1
            }
        }
        return position
    }

    /// Appends what stands from `start` to the closing quote and gives the position after that; nil without
    /// one.
    private mutating func appendQuoted(_ line: RawSpan, at start: Int, quote: UInt8) -> Int? {
        let backslash = UInt8(ascii: "\\")
        let isDouble = quote == UInt8(ascii: "\"")
        var position = start
        while position < line.byteCount {
            let byte = line.byte(position)
            if byte == quote { return position + 1 }
            position += 1
            guard byte == backslash, position < line.byteCount else {
                inlineBytes.append(byte)
                continue
            }
            let next = line.byte(position)
            if !isDouble {
                // Between single quotes only the quote itself can be escaped.
                if next == quote { position += 1 }
                inlineBytes.append(next == quote ? quote : backslash)
            } else if next == UInt8(ascii: "x"), position + 2 < line.byteCount,
                let high = hexValue(line.byte(position + 1)), let low = hexValue(line.byte(position + 2))
            {
                inlineBytes.append(high << 4 | low)
                position += 3
            } else {
                inlineBytes.append(escaped(next))
                position += 1
            }
        }
        return nil
    }
}

private func escaped(_ byte: UInt8) -> UInt8 {
    switch byte {
    case UInt8(ascii: "n"): lineFeed
    case UInt8(ascii: "r"): carriageReturn
    case UInt8(ascii: "t"): UInt8(ascii: "\t")
    case UInt8(ascii: "b"): 8
    case UInt8(ascii: "a"): 7
    default: byte
    }
}

private func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}

/// C's `isspace`.
private func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (9...13).contains(byte) }
