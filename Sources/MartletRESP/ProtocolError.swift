/// Bytes of a client that are no request. The connection is answered with `line` and closed: what follows
/// can't be understood. The texts are Redis 7.0's to the letter, since clients match on them.
package enum ProtocolError: Error, Hashable, Sendable {
    case invalidMultibulkLength
    case invalidBulkLength
    case unauthenticatedMultibulkLength
    case unauthenticatedBulkLength
    /// The first byte of a line that should announce an argument.
    case expectedDollar(got: UInt8)
    case unbalancedQuotes
    case tooBigInlineRequest
    case tooBigMultibulkCount
    case tooBigBulkCount

    /// The error reply without its `-` and line end. Bytes, as the offending one may be anything.
    package var line: [UInt8] {
        var line = Array("ERR Protocol error: ".utf8)
        switch self {
        case .invalidMultibulkLength: line += "invalid multibulk length".utf8
        case .invalidBulkLength: line += "invalid bulk length".utf8
        case .unauthenticatedMultibulkLength: line += "unauthenticated multibulk length".utf8
        case .unauthenticatedBulkLength: line += "unauthenticated bulk length".utf8
        case .expectedDollar(let got):
            line += "expected '$', got '".utf8
            line.append(got == carriageReturn || got == lineFeed ? UInt8(ascii: " ") : got)
            line.append(UInt8(ascii: "'"))
        case .unbalancedQuotes: line += "unbalanced quotes in request".utf8
        case .tooBigInlineRequest: line += "too big inline request".utf8
        case .tooBigMultibulkCount: line += "too big mbulk count string".utf8
        case .tooBigBulkCount: line += "too big bulk count string".utf8
        }
        return line
    }
}
