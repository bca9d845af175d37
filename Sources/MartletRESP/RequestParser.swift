import MartletBase

/// Finds the requests in a connection's bytes, in place: RESP multibulk (`*N`, then `$length` and bytes N
/// times) and inline lines. One a connection.
///
/// **Contract.** `next` is given the connection's unread bytes from the front, and says how many of them are
/// done with (`consumed`): the caller drops these and, unless the outcome was `.needMore`, calls again at
/// once, also with no bytes left. After `.needMore` it calls again when more have arrived. After `.request`
/// the arguments are ranges of the bytes that were given: read them through `request(in:)` before dropping
/// anything.
///
/// **Progress is kept.** What was parsed of an incomplete request isn't parsed again: a value that arrives in
/// a thousand pieces costs a thousand comparisons. The outcome is the same wherever the bytes are split.
///
/// **Memory is bounded** by `RequestLimits`. Nothing is reserved because a client announced it. A request
/// with an argument above `argumentBytesMax`, or above `requestBytesMax` in all, is skipped as it arrives
/// (`.needMore` then consumes) and ends as `.oversized`, which the server answers without closing.
///
/// **Redis's behaviour** is kept where a client could see it: empty lines and `*0`, `*-1` are skipped; the
/// byte after a carriage return and the two after an argument are passed over unread; a NUL hides the rest of
/// a length line or an inline line (Redis searches with `strchr`), so that such a connection waits until 64
/// KiB have come and is then refused; no line may be longer than 64 KiB. Two differences: that limit holds
/// for a line that arrives in one piece too (in Redis it depends on how the bytes were split), and
/// `argumentCountMax` is Redis 6's.
package struct RequestParser: ~Copyable {
    package enum Outcome: Hashable, Sendable {
        case needMore(consumed: Int)
        case request(consumed: Int)
        case oversized(OversizedRequest, consumed: Int)
        /// Answer and close. Every later call says the same.
        case protocolError(ProtocolError)
    }

    /// Where in a request the parser stands.
    enum Phase {
        case idle
        case arguments
        /// In a request that will be `.oversized`.
        case skipping
    }

    /// How reading on ended; positions are in the bytes given.
    enum Step {
        case needMore
        case request(end: Int)
        /// Nothing was asked (an empty line, `*0`).
        case empty(end: Int)
        /// The arguments from here on are to be skipped.
        case skip(from: Int)
        case oversized(OversizedRequest, end: Int)
    }

    package var limits: RequestLimits
    /// While false, Redis's limits for strangers hold: ten arguments of 16 KiB.
    package var isAuthenticated = true
    /// The last request's arguments: ranges of the bytes given to `next` or, if `isInline`, of `inlineBytes`.
    package internal(set) var arguments: ContiguousArray<Range<Int>> = []
    /// The last request was an inline line, whose arguments, quotes resolved, are in `inlineBytes`.
    package internal(set) var isInline = false
    package internal(set) var inlineBytes: [UInt8] = []

    var phase = Phase.idle
    /// Parsed of the present request, from its first byte.
    var parsed = 0
    /// Of the line at `parsed`: searched for its end without finding it.
    var lineSearched = 0
    var argumentsLeft = 0
    /// The announced length of the argument at `parsed`; -1 while its line is awaited.
    var argumentLength = -1
    /// Of the argument being skipped and its line end: still to come.
    var skipBytesLeft = 0
    /// All of the request being skipped, up to the present argument's end.
    var skipBytesTotal = 0
    var oversized: OversizedRequest?
    var failure: ProtocolError?

    package init(limits: RequestLimits = RequestLimits()) { self.limits = limits }

    /// The request that `next` found in these bytes.
    @_lifetime(borrow self, copy bytes)
    package func request(in bytes: RawSpan) -> Request {
        Request(bytes: isInline ? inlineBytes.span.bytes : bytes, ranges: arguments.span)
    }

    package mutating func next(_ bytes: RawSpan) -> Outcome {
        if let failure { return .protocolError(failure) }
        do {
            return try read(bytes)
        } catch {
            failure = error
            return .protocolError(error)
        }
    }

    private mutating func read(_ bytes: RawSpan) throws(ProtocolError) -> Outcome {
        var start = 0
        while true {
            let step: Step
            switch phase {
            case .idle:
                if start == bytes.byteCount { return .needMore(consumed: start) }
                step = try beginRequest(bytes, at: start)
            case .arguments: step = try readArguments(bytes, from: start)
            case .skipping: step = try skipArguments(bytes, from: &start)
            }
            switch step {
            case .request(let end): return .request(consumed: end)
            case .needMore:
                if start > 0 { moveArguments(by: -start) }
                return .needMore(consumed: start)
            case .empty(let end): start = end
            case .skip(let position): start = position
            case .oversized(let request, let end): return .oversized(request, consumed: end)
            }
        }
    }

    private mutating func beginRequest(_ bytes: RawSpan, at start: Int) throws(ProtocolError) -> Step {
        isInline = false
        if arguments.capacity > Limits.keptArgumentsMax {
            arguments = []
        } else {
            arguments.removeAll(keepingCapacity: true)
        }
        if bytes.byte(start) != UInt8(ascii: "*") { return try readInline(bytes, at: start) }
        let count: Int
        let end: Int
        if let plain = plainLength(bytes, at: start, mark: UInt8(ascii: "*")) {
            (count, end) = plain
            lineSearched = 0
        } else {
            guard let line = try lengthLine(bytes, at: start, otherwise: .tooBigMultibulkCount) else {
                return .needMore
            }
            guard let length = line.length else { throw .invalidMultibulkLength }
            (count, end) = (length, line.end)
        }
        if count > limits.argumentCountMax { throw .invalidMultibulkLength }
        if !isAuthenticated, count > Limits.strangerArgumentCountMax {
            throw .unauthenticatedMultibulkLength
        }
        if count <= 0 { return .empty(end: end) }
        phase = .arguments
        argumentsLeft = count
        argumentLength = -1
        parsed = end - start
        return try readArguments(bytes, from: start)
    }

    private mutating func readArguments(_ bytes: RawSpan, from start: Int) throws(ProtocolError) -> Step {
        // Locals, since the compiler won't keep members of `self` in registers over the loop.
        var position = start + parsed
        var left = argumentsLeft
        var length = argumentLength
        while left > 0 {
            if length < 0 {
                guard let line = try argumentLine(bytes, at: position) else { break }
                (length, position) = line
                let total = position - start + length + 2
                if length > limits.argumentBytesMax || total > limits.requestBytesMax {
                    argumentsLeft = left
                    beginSkipping(bytes, length: length, total: total)
                    return .skip(from: position)
                }
            }
            guard bytes.byteCount - position >= length + 2 else { break }
            arguments.append(Range(uncheckedBounds: (position, position + length)))
            position += length + 2
            length = -1
            left -= 1
        }
        if left > 0 {
            argumentsLeft = left
            argumentLength = length
            parsed = position - start
            return .needMore
        }
        phase = .idle
        return .request(end: position)
    }

    private mutating func moveArguments(by distance: Int) {
        for i in arguments.indices {
            arguments[i] = arguments[i].lowerBound + distance..<arguments[i].upperBound + distance
        }
    }
}
