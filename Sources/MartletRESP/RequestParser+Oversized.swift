import MartletBase

extension RequestParser {
    /// Goes over to skipping, before the bytes of an argument that is too long or makes the request so. What
    /// is known of the request is copied, as its bytes are dropped from here on.
    mutating func beginSkipping(_ bytes: RawSpan, length: Int, total: Int) {
        let isArgument = length > limits.argumentBytesMax
        var command: Blob?
        var key: Blob?
        if arguments.count > 0 {
            let range = arguments[0]
            let end = min(range.upperBound, range.lowerBound + OversizedRequest.commandBytesMax)
            command = Blob(copying: bytes.extracting(range.lowerBound..<end))
        }
        if arguments.count > 1, arguments[1].count <= Limits.keyBytesMax {
            key = Blob(copying: bytes.extracting(arguments[1]))
        }
        oversized = OversizedRequest(
            subject: isArgument ? .argument(index: arguments.count) : .request,
            bytes: length,
            bytesMax: isArgument ? limits.argumentBytesMax : limits.requestBytesMax,
            command: command, key: key)
        arguments.removeAll(keepingCapacity: true)
        phase = .skipping
        parsed = 0
        argumentsLeft -= 1
        argumentLength = -1
        skipBytesLeft = length + 2
        skipBytesTotal = total
    }

    /// Passes over the rest of the request, as much of it as there is, and moves `start` along.
    mutating func skipArguments(_ bytes: RawSpan, from start: inout Int) throws(ProtocolError) -> Step {
        while true {
            let skipped = min(skipBytesLeft, bytes.byteCount - start)
            start += skipped
            skipBytesLeft -= skipped
            if skipBytesLeft > 0 { return .needMore }
            if argumentsLeft == 0 { break }
            guard let line = try argumentLine(bytes, at: start) else { return .needMore }
            skipBytesTotal += line.end - start + line.length + 2
            skipBytesLeft = line.length + 2
            start = line.end
            argumentsLeft -= 1
        }
        phase = .idle
        guard var request = oversized else { invariantBroken("a request is skipped for no reason") }
        oversized = nil
        if request.subject == .request { request.bytes = skipBytesTotal }
        return .oversized(request, end: start)
    }
}
