import MartletBase
import MartletRESP

// MARK: Requests

/// What a server finds in a client's bytes.
private enum Found: Hashable {
    case request([Blob])
    case oversized(OversizedRequest)
    case refused([UInt8])
}

/// Requests are found alike however their bytes come; none is held beyond the limits; one that is written
/// again is found again.
func checkRequests(_ input: [UInt8]) throws(PropertyFailure) {
    var small = RequestLimits(argumentBytesMax: 40)
    small.requestBytesMax = 120
    for limits in [RequestLimits(), small] {
        for isAuthenticated in [true, false] {
            var whole: [Found]?
            for split in splits(of: input) {
                let found = try requests(input, split, limits, isAuthenticated: isAuthenticated)
                try require(
                    found == whole ?? found, "\(Blob(input)) gives other requests when it comes in pieces")
                whole = found
            }
            guard isAuthenticated else { continue }
            for case .request(let arguments) in whole ?? [] {
                var writer = RequestWriter()
                writer.request(arguments)
                let again = try requests(
                    writer.bytes, [0..<writer.bytes.count], RequestLimits(), isAuthenticated: true)
                try require(again == [.request(arguments)], "\(arguments) isn't read as it is written")
            }
        }
    }
}

private func requests(
    _ input: [UInt8], _ split: [Range<Int>], _ limits: RequestLimits, isAuthenticated: Bool
) throws(PropertyFailure) -> [Found] {
    var parser = RequestParser(limits: limits)
    parser.isAuthenticated = isAuthenticated
    var found: [Found] = []
    var held: [UInt8] = []
    for range in split {
        held += input[range]
        var position = 0
        var isWaiting = false
        while !isWaiting {
            let rest = held.span.bytes.extracting(droppingFirst: position)
            let outcome = parser.next(rest)
            let used: Int
            switch outcome {
            case .needMore(let consumed):
                used = consumed
                isWaiting = true
            case .request(let consumed):
                used = consumed
                try require(consumed > 0, "a request of no bytes")
                found.append(.request(arguments(parser.request(in: rest))))
            case .oversized(let request, let consumed):
                used = consumed
                found.append(.oversized(request))
            case .protocolError(let error):
                let again = parser.next(rest)
                try require(again == outcome, "a connection that broke is whole again")
                return found + [.refused(error.line)]
            }
            try require((0...rest.byteCount).contains(used), "\(used) of \(rest.byteCount) bytes are used")
            position += used
        }
        held.removeFirst(position)
        // What the limits allow of arguments, and a line that isn't complete.
        let heldMax = limits.requestBytesMax + Limits.inlineBytesMax + 2
        try require(held.count <= heldMax, "\(held.count) bytes are held of a request")
    }
    return found
}

private func arguments(_ request: Request) -> [Blob] {
    var out: [Blob] = []
    for index in 0..<request.count { out.append(Blob(copying: request[index])) }
    return out
}

// MARK: Replies

/// Replies are read alike however their bytes come, and what is written of one reads as the same again, for
/// both versions of the protocol.
func checkReplies(_ input: [UInt8]) throws(PropertyFailure) {
    var small = ReplyLimits()
    small.bulkBytesMax = 30
    small.lineBytesMax = 20
    small.depthMax = 3
    small.elementsMax = 12
    small.bytesMax = 60
    for limits in [ReplyLimits(), small] {
        var whole: (written: [UInt8], failure: WireError?, left: Int)?
        for split in splits(of: input) {
            let (values, failure, left) = try replies(input, split, limits)
            // Written rather than compared, because a double that is no number isn't equal to itself.
            let written = write(values, .three)
            if let whole {
                try require(
                    written == whole.written && failure == whole.failure && left == whole.left,
                    "\(Blob(input)) gives other replies when it comes in pieces")
            }
            whole = (written, failure, left)
            for value in values { try checkWriting(value) }
        }
    }
}

private func replies(
    _ input: [UInt8], _ split: [Range<Int>], _ limits: ReplyLimits
) throws(PropertyFailure) -> (values: [RESPValue], failure: WireError?, left: Int) {
    var parser = ReplyParser(limits: limits)
    var values: [RESPValue] = []
    var held: [UInt8] = []
    for range in split {
        held += input[range]
        var isWaiting = false
        while !isWaiting {
            let outcome: ReplyParser.Outcome
            do throws(WireError) {
                outcome = try parser.next(held.span.bytes)
            } catch {
                return (values, error, 0)
            }
            let used: Int
            switch outcome {
            case .needMore(let consumed):
                used = consumed
                isWaiting = true
            case .value(let value, let consumed):
                used = consumed
                values.append(value)
                try require(consumed > 0, "a reply of no bytes")
            }
            try require((0...held.count).contains(used), "\(used) of \(held.count) bytes are used")
            held.removeFirst(used)
        }
    }
    return (values, nil, held.count)
}

private func write(_ values: [RESPValue], _ version: RESPVersion) -> [UInt8] {
    var writer = ReplyWriter(version: version)
    for value in values { writer.value(value) }
    return writer.bytes
}

/// A value that was read can be written, and is one value in either version. Writing changes no more than
/// line ends within errors, so what was written once is written so for ever.
private func checkWriting(_ value: RESPValue) throws(PropertyFailure) {
    for version in [RESPVersion.two, .three] {
        let written = write([value], version)
        let (values, failure, left) = try replies(written, [0..<written.count], ReplyLimits())
        try require(
            values.count == 1 && failure == nil && left == 0,
            "\(Blob(written)) was written for one value and reads as \(values), \(failure as WireError?)")
        guard version == .three else { continue }
        try require(write(values, .three) == written, "\(Blob(written)) isn't written as it was read")
    }
}

/// The whole replies in a session's output; throws when anything in it is none.
func wholeReplies(_ output: [UInt8]) throws(PropertyFailure) -> [RESPValue] {
    let (values, failure, left) = try replies(output, [0..<output.count], ReplyLimits())
    try require(
        failure == nil && left == 0, "a client can't read \(Blob(output)): \(failure as WireError?)")
    return values
}
