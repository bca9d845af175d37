import MartletBase
import MartletNode
import MartletRESP
import MartletRing

/// A command that goes over the keys, page after page in the core: SCAN, KEYS, DBSIZE, RANDOMKEY.
///
/// The keys are walked in the order of their tokens, through the ranges that the session shows
/// (`RedisSession.scannedRanges`). A page never splits the keys of one token, so a token says exactly where a
/// walk stands: it is SCAN's cursor, which needs no state on the server. A key that is there throughout is
/// met, whatever is written meanwhile and whichever node is asked for the next page.
struct KeyWalk {
    enum Purpose {
        /// SCAN: about so many keys, from the cursor on.
        case page(count: Int)
        /// CLUSTER GETKEYSINSLOT: so many keys at most.
        case some(count: Int)
        case keys
        case size
        case randomKey
    }

    let sequence: UInt64
    let purpose: Purpose
    /// Nil: all of them.
    let pattern: GlobPattern?
    /// What is left to go over, in the order in which that is done.
    private var ranges: [ClosedRange<Token>]
    private let began: Instant
    private(set) var isPageDue = false
    private var pages = 0
    /// Those that the pages had, whether they matched or not.
    private var seen = 0
    private(set) var keyCount = 0
    /// The keys that matched, each as a reply.
    private(set) var keys = ReplyWriter()

    init(
        _ sequence: UInt64, _ purpose: Purpose, ranges: [ClosedRange<Token>], pattern: GlobPattern? = nil,
        began: Instant
    ) {
        self.sequence = sequence
        self.purpose = purpose
        self.ranges = ranges
        self.pattern = pattern
        self.began = began
    }

    /// The next page to ask for; nil while one is on its way and when all is done.
    mutating func nextPage() -> Scan? {
        guard !isPageDue, let range = ranges.first else { return nil }
        isPageDue = true
        pages += 1
        return switch purpose {
        case .page(let count): Scan(range, .keys(about: max(1, min(count - seen, Limits.scanKeysMax))))
        case .some(let count): Scan(range, .keys(about: min(count - keyCount, Limits.scanKeysMax)))
        case .keys: Scan(range, .keys(about: Limits.scanKeysMax))
        case .size: Scan(range, .count)
        case .randomKey: Scan(range, .keys(about: 1))
        }
    }

    /// Takes the page that was asked for; returns whether the walk is done.
    mutating func take(_ page: KeyPage, now: Instant) -> Bool {
        invariant(isPageDue, "a page came that nobody asked for")
        isPageDue = false
        let range = ranges.removeFirst()
        if let next = page.next {
            invariant(range.contains(next) && next > range.lowerBound, "a page ends where it began")
            ranges.insert(next...range.upperBound, at: 0)
        }
        seen += page.count
        for key in page.keys where pattern?.matches(key.bytes) ?? true {
            // The keys of one token come together, so there may be more than were asked for.
            if case .some(let count) = purpose, keyCount == count { break }
            keys.bulk(key)
            keyCount += 1
        }
        if ranges.isEmpty { return true }
        return switch purpose {
        case .page(let count):
            seen >= count || keys.bytes.count >= Limits.clientScanBytesMax
                || pages >= Limits.clientScanPagesMax
                || now - began >= Limits.clientScanTimeMax
        case .some(let count): keyCount >= count
        case .keys, .size: false
        case .randomKey: keyCount > 0
        }
    }

    /// Where the walk would go on; 0 when it has been everywhere.
    private var cursor: UInt64 { ranges.first?.lowerBound.value ?? 0 }

    func write(to writer: inout ReplyWriter) {
        switch purpose {
        case .page:
            writer.array(count: 2)
            writer.bulk("\(cursor)")
            writer.array(count: keyCount)
            writer.bytes.append(contentsOf: keys.bytes)
        case .keys, .some:
            writer.array(count: keyCount)
            writer.bytes.append(contentsOf: keys.bytes)
        case .size: writer.integer(seen)
        case .randomKey:
            if keyCount == 0 { writer.null() } else { writer.bytes.append(contentsOf: keys.firstBulk) }
        }
    }

    /// The parts of `ranges` from `token` on. The ranges are in order and apart from each other.
    static func rest(of ranges: [ClosedRange<Token>], from token: Token) -> [ClosedRange<Token>] {
        ranges.filter { $0.upperBound >= token }.map { max($0.lowerBound, token)...$0.upperBound }
    }

    /// All of `ranges`, beginning at `token`.
    static func rotation(of ranges: [ClosedRange<Token>], from token: Token) -> [ClosedRange<Token>] {
        let before = ranges.filter { $0.lowerBound < token }.map { range in
            range.lowerBound...min(range.upperBound, Token(value: token.value - 1))
        }
        return rest(of: ranges, from: token) + before
    }
}

extension ReplyWriter {
    /// The first of several bulk strings: when many keys share a token, one page has more than one.
    fileprivate var firstBulk: ArraySlice<UInt8> {
        guard let lineEnd = bytes.firstIndex(of: UInt8(ascii: "\n")),
            let length = parseInteger(bytes.span.bytes.extracting(1..<(lineEnd - 1)))
        else { invariantBroken("a key that isn't a bulk string") }
        return bytes[..<(lineEnd + 1 + Int(length) + 2)]
    }
}
