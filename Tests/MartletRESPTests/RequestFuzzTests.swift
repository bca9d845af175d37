import MartletBase
import MartletRESP
import Testing

/// Changes inputs as a broken client or a hostile one would.
struct Mutator {
    var random: Random
    static let pieces: [[UInt8]] = [
        "\r\n", "\r", "\n", "\0", "*", "$", "\"", "'", "\\x4", " ", "*1\r\n", "$-1\r\n", "$4\r\n", "*0\r\n",
        "0", "-",
        "9223372036854775807", "2147483648", "99999999999999999999", "536870912", "PING\r\n", "\u{B}",
        "*3\r\n",
    ].map { Array($0.utf8) }

    init(seed: UInt64) { random = Random(seed: seed) }

    mutating func mutate(_ input: [UInt8]) -> [UInt8] {
        var out = input
        for _ in 0..<1 + random.below(4) {
            let at = random.below(out.count + 1)
            switch random.below(5) {
            case 0: out.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)], at: at)
            case 1 where at < out.count: out[at] = UInt8(truncatingIfNeeded: random.next())
            case 2 where at < out.count: out.removeSubrange(at..<min(out.count, at + 1 + random.below(4)))
            case 3 where at < out.count: out[at] = UInt8(48 + random.below(10))
            default: out += out[random.below(out.count + 1)...]
            }
        }
        return out
    }

    mutating func cuts(_ count: Int) -> [Int] {
        if count == 0 { return [] }
        return (0..<random.below(6)).map { _ in random.below(count + 1) }.sorted()
    }
}

@Suite struct RequestFuzzTests {
    @Test func everySplitOfTheCorpusGivesTheSame() {
        for input in requestCorpus {
            let whole = parseRequests(input)
            for cut in 0...input.count {
                #expect(parseRequests(input, cuts: [cut]) == whole, "\(Blob(input)) cut at \(cut)")
            }
            if input.count > 1 {
                #expect(
                    parseRequests(input, cuts: Array(1..<input.count)) == whole, "\(Blob(input)) by bytes")
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func mutatedRequestsNeverTrapAndSplitAlike(seed: UInt64) {
        var mutator = Mutator(seed: seed)
        var limits = RequestLimits(argumentBytesMax: 40)
        limits.requestBytesMax = 120
        for round in 0..<2_000 {
            var input = requestCorpus[mutator.random.below(requestCorpus.count)]
            input += requestCorpus[mutator.random.below(requestCorpus.count)]
            input = mutator.mutate(input)
            let chosen = round.isMultiple(of: 2) ? limits : RequestLimits()
            let whole = parseRequests(input, limits: chosen)
            let cuts = mutator.cuts(input.count)
            let split = parseRequests(input, cuts: cuts, limits: chosen)
            #expect(split == whole, "seed \(seed), round \(round): \(Blob(input)) cut at \(cuts)")
        }
    }

    /// However the bytes come, what a connection must hold is its limit and one piece.
    @Test func whatIsHeldIsBounded() {
        var mutator = Mutator(seed: 5)
        var limits = RequestLimits(argumentBytesMax: 1_000)
        limits.requestBytesMax = 4_000
        for round in 0..<200 {
            var feed = RequestFeed(limits: limits)
            for _ in 0..<40 {
                var writer = RequestWriter()
                let count = 1 + mutator.random.below(12)
                writer.begin(argumentCount: count)
                for _ in 0..<count {
                    let size = mutator.random.below(mutator.random.chance(0.1) ? 5_000 : 600)
                    writer.argument(Blob([UInt8](repeating: 65, count: size)))
                }
                let bytes = mutator.random.chance(0.02) ? mutator.mutate(writer.bytes) : writer.bytes
                var start = 0
                while start < bytes.count {
                    let end = min(bytes.count, start + 100)
                    feed.feed(bytes[start..<end])
                    start = end
                }
            }
            let unreadMax = feed.unreadMax
            #expect(unreadMax <= Limits.inlineBytesMax + 200, "seed 5, round \(round)")
        }
    }
}
