import MartletBase
import MartletRESP
import Testing

@Suite struct OversizedTests {
    static let limits = {
        var limits = RequestLimits(argumentBytesMax: 100)
        limits.requestBytesMax = 300
        return limits
    }()

    static func oversized(
        _ index: Int, _ bytes: Int, command: String?, key: String?
    ) -> Item {
        .oversized(
            OversizedRequest(
                subject: .argument(index: index), bytes: bytes, bytesMax: 100,
                command: command.map { Blob($0) },
                key: key.map { Blob($0) }))
    }

    static func text(_ count: Int) -> String { String(repeating: "v", count: count) }

    @Test func aLongArgumentIsSkippedAndTheConnectionGoesOn() {
        let most = encoded("SET", "k", Self.text(100))
        #expect(parseRequests(most, limits: Self.limits) == [request("SET", "k", Self.text(100))])
        let over = encoded("SET", "k", Self.text(101)) + encoded("PING")
        let expected = [Self.oversized(2, 101, command: "SET", key: "k"), request("PING")]
        #expect(parseRequests(over, limits: Self.limits) == expected)
    }

    @Test func theFirstLongArgumentIsNamed() {
        let input = encoded("MSET", "a", Self.text(150), "b", Self.text(160), "c", "d")
        #expect(
            parseRequests(input, limits: Self.limits) == [Self.oversized(2, 150, command: "MSET", key: "a")])
        #expect(
            parseRequests(encoded("GET", Self.text(150)), limits: Self.limits)
                == [Self.oversized(1, 150, command: "GET", key: nil)])
        #expect(
            parseRequests(encoded(Self.text(150), "k"), limits: Self.limits)
                == [Self.oversized(0, 150, command: nil, key: nil)])
        #expect(
            parseRequests(encoded(Self.text(90), "k", Self.text(101)), limits: Self.limits)
                == [Self.oversized(2, 101, command: Self.text(64), key: "k")])
    }

    @Test func manyArgumentsMakeALongRequest() {
        let input = encoded(
            "MSET", "a", Self.text(90), "b", Self.text(90), "c", Self.text(90), "d", Self.text(200))
        let found = parseRequests(input + encoded("PING"), limits: Self.limits)
        let expected = Item.oversized(
            OversizedRequest(
                subject: .request, bytes: input.count, bytesMax: 300, command: Blob("MSET"), key: Blob("a")))
        #expect(found == [expected, request("PING")])
    }

    @Test func whatIsSkippedIsCheckedLikeTheRest() {
        let start = "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$101\r\n" + Self.text(101) + "\r\n"
        #expect(parseRequests(start + "$-1\r\n", limits: Self.limits) == [refused("invalid bulk length")])
        #expect(parseRequests(start + "x\r\n", limits: Self.limits) == [refused("expected '$', got 'x'")])
        #expect(
            parseRequests(start + "$536870913\r\n", limits: Self.limits) == [refused("invalid bulk length")])
        #expect(parseRequests(start, limits: Self.limits) == [])
    }

    @Test func nothingOfItIsHeld() {
        var feed = RequestFeed()
        feed.feed("*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$104857600\r\n".utf8)
        let piece = [UInt8](repeating: 10, count: 64 << 10)
        for _ in 0..<1_600 { feed.feed(piece) }
        feed.feed("\r\n$7\r\nKEEPTTL\r\nPING\r\n".utf8)
        let unreadMax = feed.unreadMax
        #expect(unreadMax <= piece.count)
        let expected = OversizedRequest(
            subject: .argument(index: 2), bytes: 100 << 20, bytesMax: 16 << 20, command: Blob("SET"),
            key: Blob("k"))
        let items = feed.items
        #expect(items == [.oversized(expected), request("PING")])
    }

    @Test func everySplitGivesTheSame() {
        let input =
            encoded("SET", "k", Self.text(150), "EX", "1") + encoded("PING") + Array("\r\nECHO a\r\n".utf8)
            + encoded("MSET", "a", Self.text(99), "b", Self.text(99), "c", Self.text(99)) + encoded("PING")
        let whole = parseRequests(input, limits: Self.limits)
        #expect(whole.count == 5)
        for cut in 0...input.count {
            let split = parseRequests(input, cuts: [cut], limits: Self.limits)
            #expect(split == whole, "cut at \(cut)")
        }
        let single = parseRequests(input, cuts: Array(1..<input.count), limits: Self.limits)
        #expect(single == whole)
    }
}
