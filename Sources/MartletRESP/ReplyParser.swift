import MartletBase

/// What a client takes of a server's replies; more is an error, so that a broken or hostile server can't
/// exhaust it.
package struct ReplyLimits: Hashable, Sendable {
    /// One payload.
    package var bulkBytesMax = Limits.bulkBytesMax
    /// A line: a simple string, an error, a number.
    package var lineBytesMax = Limits.replyLineBytesMax
    /// Aggregates within aggregates.
    package var depthMax = Limits.replyDepthMax
    /// All values of one reply, at every depth.
    package var elementsMax = Limits.replyElementsMax
    /// All payloads of one reply.
    package var bytesMax = Limits.replyBytesMax

    package init() {}
}

/// Reads replies, RESP2 and RESP3 alike. One a connection.
///
/// **Contract.** `next` is given the connection's unread bytes from the front, and says how many of them are
/// done with (`consumed`): the caller drops these and, unless the outcome was `.needMore`, calls again at
/// once. After an error, which every later call repeats, the connection is of no use: it isn't known where
/// the next reply begins.
///
/// **Progress is kept**: the finished elements of an unfinished aggregate are consumed and held as values on
/// a stack (no recursion: depth costs no call stack), and a payload is waited for without looking at it
/// again.
///
/// Stricter than the request side: lengths are plain decimal numbers, lines and payloads end in both a
/// carriage return and a line feed. RESP3's streamed strings and aggregates (`$?`, `*?`), which no server
/// sends, are refused.
package struct ReplyParser: ~Copyable {
    package enum Outcome: Hashable, Sendable {
        case needMore(consumed: Int)
        case value(RESPValue, consumed: Int)
    }

    /// An aggregate whose elements are still coming.
    struct Frame {
        enum Kind {
            case array
            case set
            case push
            case map
            case attributes
            /// Waits for the value that these belong to.
            case attributed([RESPValue.Pair])
        }

        var kind: Kind
        var elementsLeft: Int
        var elements: [RESPValue] = []
    }

    enum Payload {
        case string
        case error
        case verbatim
    }

    package let limits: ReplyLimits
    var stack: [Frame] = []
    /// The payload whose length line was read, and its length.
    var payload: (kind: Payload, length: Int)?
    /// Of the line at the front: searched for its end without finding it.
    var lineSearched = 0
    /// Of the present reply.
    var elementsTotal = 0
    var bytesTotal = 0
    var failure: WireError?

    package init(limits: ReplyLimits = ReplyLimits()) { self.limits = limits }

    package mutating func next(_ bytes: RawSpan) throws(WireError) -> Outcome {
        if let failure { throw failure }
        do {
            return try read(bytes)
        } catch {
            failure = error
            stack = []
            throw error
        }
    }

    private mutating func read(_ bytes: RawSpan) throws(WireError) -> Outcome {
        var position = 0
        while true {
            let before = position
            let value: RESPValue?
            if let (kind, length) = payload {
                value = try readPayload(bytes, kind: kind, length: length, at: &position)
            } else {
                value = try readHeaderOrScalar(bytes, at: &position)
            }
            if let value {
                if let whole = deliver(value) {
                    elementsTotal = 0
                    bytesTotal = 0
                    return .value(whole, consumed: position)
                }
            } else if position == before {
                return .needMore(consumed: position)
            }
        }
    }

    /// Nil and no move: more bytes are needed. Nil after a move: only a header was read.
    private mutating func readPayload(
        _ bytes: RawSpan, kind: Payload, length: Int, at position: inout Int
    ) throws(WireError) -> RESPValue? {
        guard bytes.byteCount - position >= length + 2 else { return nil }
        let end = position + length
        guard bytes.byte(end) == carriageReturn, bytes.byte(end + 1) == lineFeed else {
            throw .invalid("payload's end")
        }
        let content = bytes.extracting(position..<end)
        position = end + 2
        payload = nil
        switch kind {
        case .string: return .bulkString(Blob(copying: content))
        case .error: return .error(text(content))
        case .verbatim:
            guard length >= 4, content.byte(3) == UInt8(ascii: ":") else {
                throw .invalid("verbatim string")
            }
            let format = text(content.extracting(first: 3))
            guard format.utf8.count == 3 else { throw .invalid("verbatim string") }
            return .verbatimString(format: format, text: Blob(copying: content.extracting(4..<length)))
        }
    }

    /// Puts a finished value where it belongs; gives it back when it is the whole reply.
    private mutating func deliver(_ value: RESPValue) -> RESPValue? {
        var value = value
        while let top = stack.indices.last {
            stack[top].elements.append(value)
            stack[top].elementsLeft -= 1
            if stack[top].elementsLeft > 0 { return nil }
            let frame = stack.removeLast()
            guard let finished = finish(frame) else { return nil }
            value = finished
        }
        return value
    }

    /// The aggregate of a frame that is full. Nil for attributes: what they belong to is still to come.
    mutating func finish(_ frame: Frame) -> RESPValue? {
        switch frame.kind {
        case .array: return .array(frame.elements)
        case .set: return .set(frame.elements)
        case .push: return .push(frame.elements)
        case .map: return .map(pairs(frame.elements))
        case .attributes:
            stack.append(Frame(kind: .attributed(pairs(frame.elements)), elementsLeft: 1))
            return nil
        case .attributed(let attributes):
            return .attributed(attributes: attributes, value: frame.elements[0])
        }
    }

    private func pairs(_ elements: [RESPValue]) -> [RESPValue.Pair] {
        stride(from: 0, to: elements.count, by: 2).map { RESPValue.Pair(elements[$0], elements[$0 + 1]) }
    }
}

func text(_ bytes: RawSpan) -> String {
    bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
}
