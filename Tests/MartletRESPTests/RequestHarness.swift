import MartletBase
import MartletRESP

/// What a parser found.
enum Item: Hashable {
    case request([Blob])
    case oversized(OversizedRequest)
    case protocolError(String)
}

/// Feeds a parser as a connection would, by its contract, and keeps what it found.
struct RequestFeed: ~Copyable {
    var parser: RequestParser
    var items: [Item] = []
    var unread: [UInt8] = []
    var unreadMax = 0
    var calls = 0
    private var isBroken = false

    init(limits: RequestLimits = RequestLimits(), isAuthenticated: Bool = true) {
        parser = RequestParser(limits: limits)
        parser.isAuthenticated = isAuthenticated
    }

    mutating func feed(_ piece: some Sequence<UInt8>) {
        if isBroken { return }
        // Taken out, since a span of a member holds all of `self`.
        var held: [UInt8] = []
        swap(&held, &unread)
        held += piece
        unreadMax = max(unreadMax, held.count)
        let dropped = read(held)
        held.removeFirst(dropped)
        unread = held
    }

    private static func copy(_ request: Request) -> [Blob] {
        var arguments: [Blob] = []
        for i in 0..<request.count { arguments.append(Blob(copying: request[i])) }
        return arguments
    }

    /// Reads what there is, and says how much of it is done with.
    private mutating func read(_ held: [UInt8]) -> Int {
        var position = 0
        while !isBroken {
            calls += 1
            let bytes = held.span.bytes.extracting(droppingFirst: position)
            let outcome = parser.next(bytes)
            switch outcome {
            case .needMore(let consumed):
                invariant(consumed <= bytes.byteCount, "consumed more than there is")
                return position + consumed
            case .request(let consumed):
                invariant(consumed > 0 && consumed <= bytes.byteCount, "a request has a length")
                let arguments = Self.copy(parser.request(in: bytes))
                items.append(.request(arguments))
                position += consumed
            case .oversized(let request, let consumed):
                invariant(consumed <= bytes.byteCount, "consumed more than there is")
                items.append(.oversized(request))
                position += consumed
            case .protocolError(let error):
                items.append(.protocolError(String(decoding: error.line, as: UTF8.self)))
                let again = parser.next(bytes)
                invariant(again == outcome, "a broken connection stays broken")
                isBroken = true
            }
        }
        return held.count
    }
}

/// Parses the input cut at these positions.
func parseRequests(
    _ input: [UInt8], cuts: [Int] = [], limits: RequestLimits = RequestLimits(), isAuthenticated: Bool = true
) -> [Item] {
    var feed = RequestFeed(limits: limits, isAuthenticated: isAuthenticated)
    var start = 0
    for cut in cuts + [input.count] {
        feed.feed(input[start..<cut])
        start = cut
    }
    return feed.items
}

func parseRequests(
    _ input: String, limits: RequestLimits = RequestLimits(), isAuthenticated: Bool = true
) -> [Item] {
    parseRequests(Array(input.utf8), limits: limits, isAuthenticated: isAuthenticated)
}

func request(_ arguments: String...) -> Item { .request(arguments.map { Blob($0) }) }
func refused(_ text: String) -> Item { .protocolError("ERR Protocol error: " + text) }

/// A request as clients send it.
func encoded(_ arguments: String...) -> [UInt8] {
    var writer = RequestWriter()
    writer.request(arguments)
    return writer.bytes
}

/// Inputs of every form, good and bad: the material of the splitting, mutating and comparing tests. The
/// commands are such that a real server may be asked them too.
let requestCorpus: [[UInt8]] =
    [
        "*1\r\n$4\r\nPING\r\n", "*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\n", "PING\r\n", "PING\n", "\r\n\r\nPING\r\n",
        "*0\r\n*-1\r\n*-2\r\n*-5000000000\r\nPING\r\n", "  \t \r\nECHO a\r\n", "PING\rPING\nPING\r\n",
        "*1\rX$4\rXPINGYY", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "*2\r\n$4\r\nECHO\r\n$5\r\n\r\n\r\n\0\r\n",
        "*2\r\n$4\r\necho\r\n$10\r\n0123456789\r\nPING a\r\n*1\r\n$4\r\nping\r\n",
        "*1048577\r\n", "*2147483648\r\n", "*99999999999999999999\r\n", "*\r\n", "* 1\r\n", "*+1\r\n",
        "*01\r\n",
        "*-0\r\n", "*1\r\n$-1\r\n", "*1\r\n$-2\r\n", "*1\r\n$2147483648\r\n", "*1\r\n$536870913\r\n",
        "*1\r\n$9223372036854775808\r\n", "*1\r\n$-9223372036854775809\r\n", "*1\r\n$04\r\nPING\r\n",
        "*1\r\n$\r\n",
        "*1\r\n4\r\n", "*1\r\n\r\nPING\r\n", "*1\r\n\n\r\n", "*1\r\nxx\r\n", "*1\r\n:4\r\nPING\r\n",
        "*1\r\n$4 \r\n",
        "*1\r\n$4\r\nPING\r\n*x\r\nPING\r\n", "PI\0NG\r\nPING\r\n", "*1\0\r\n$4\r\nPING\r\n",
        "*1\r\n$4\0\r\nPING\r\n",
        "PING \"\r\n", "PING 'a\r\n", "PING \"a\"b\r\n", "PING 'a'b\r\n", "PING \"\\\r\n", "PING '\\'\r\n",
        "ECHO \"\"\r\n", "ECHO ''\r\n", "ECHO a\"b c\"\r\n",
        "ECHO \"a\\x41\\n\\r\\t\\b\\a\\q\\x4\\xZZ\\\"\"\r\n",
        "ECHO 'a\\'b\\n\\\\'\r\n", "ECHO \\x41\r\n", "ECHO a\u{B}b\r\n", "\u{B}\u{C}PING\u{C}\r\n",
        "ECHO \"a\"\u{B}\r\n",
        "PING", "*1\r\n$4\r\nPING\r", "*1\r\n$4\r\nPI", "*2\r\n$4\r\nECHO\r\n", "*", "$", "\r", "",
        "*3\r\n$4\r\nECHO\r\n$1\r\na\r\n$1\r\nb\r\n", "ECHO\r\n", "ECHO a b\r\n", "GET / HTTP/1.1\r\n",
        "EVAL 'return ARGV' 0 a 'b c' \"d\\x00e\" \"\" f\"g h\" \\\r\n",
        "*6\r\n$4\r\nEVAL\r\n$11\r\nreturn ARGV\r\n$1\r\n0\r\n$1\r\na\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n",
    ].map { Array($0.utf8) } + [Array("*1\r\n".utf8) + [0xFF, 13, 10], [0xFE, 0xFF, 10], [0]]
