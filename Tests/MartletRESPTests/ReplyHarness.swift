import MartletBase
import MartletRESP

/// What a client saw.
enum Seen: Hashable {
    case value(RESPValue)
    case failure(WireError)
}

/// Reads replies from the input cut at these positions. Also says how many bytes were left over.
func parseReplies(
    _ input: [UInt8], cuts: [Int] = [], limits: ReplyLimits = ReplyLimits()
) -> (seen: [Seen], left: Int) {
    var parser = ReplyParser(limits: limits)
    var seen: [Seen] = []
    var unread: [UInt8] = []
    var start = 0
    for cut in cuts + [input.count] {
        unread += input[start..<cut]
        start = cut
        var isWaiting = false
        while !isWaiting {
            do {
                let outcome = try parser.next(unread.span.bytes)
                switch outcome {
                case .needMore(let consumed):
                    unread.removeFirst(consumed)
                    isWaiting = true
                case .value(let value, let consumed):
                    unread.removeFirst(consumed)
                    seen.append(.value(value))
                }
            } catch {
                seen.append(.failure(error))
                return (seen, 0)
            }
        }
    }
    return (seen, unread.count)
}

func parseReplies(_ input: String, limits: ReplyLimits = ReplyLimits()) -> [Seen] {
    parseReplies(Array(input.utf8), limits: limits).seen
}

/// Values of every kind, nested up to a depth.
struct ValueSource {
    var random: Random

    mutating func value(depth: Int) -> RESPValue {
        switch random.below(depth > 0 ? 14 : 9) {
        case 0: return .simpleString(text())
        case 1: return .error("ERR " + text())
        case 2: return .integer(Int64(bitPattern: random.next()) >> Int64(random.below(64)))
        case 3:
            return .bulkString(
                Blob((0..<random.below(20)).map { _ in UInt8(truncatingIfNeeded: random.next()) }))
        case 4: return .null
        case 5: return .boolean(random.chance(0.5))
        case 6: return .double(Double(random.within(-1_000...1_000)) / Double(1 + random.below(7)))
        case 7: return .bigNumber("-123456789012345678901234567890")
        case 8: return .verbatimString(format: "mkd", text: Blob(text()))
        case 9: return .array(values(depth))
        case 10: return .set(values(depth))
        case 11: return .push(values(depth))
        case 12: return .map(pairs(depth))
        default: return .attributed(attributes: pairs(depth), value: value(depth: depth - 1))
        }
    }

    private mutating func values(_ depth: Int) -> [RESPValue] {
        (0..<random.below(5)).map { _ in value(depth: depth - 1) }
    }

    private mutating func pairs(_ depth: Int) -> [RESPValue.Pair] {
        (0..<random.below(4)).map { _ in RESPValue.Pair(value(depth: depth - 1), value(depth: depth - 1)) }
    }

    private mutating func text() -> String {
        String((0..<random.below(10)).map { _ in Character(Unicode.Scalar(UInt8(33 + random.below(90)))) })
    }
}
