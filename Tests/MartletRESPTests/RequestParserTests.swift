import MartletBase
import MartletRESP
import Testing

@Suite struct RequestParserTests {
    @Test func multibulkRequestsAreFoundInPlace() {
        #expect(parseRequests("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nxy\r\n") == [request("SET", "a", "xy")])
        #expect(parseRequests("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n") == [request("ECHO", "\r\n\r\n")])
        #expect(parseRequests("*1\r\n$0\r\n\r\n") == [request("")])
        #expect(
            parseRequests("*1\r\n$4\r\nPING\r\nECHO a\r\n*1\r\n$4\r\nQUIT\r\n")
                == [request("PING"), request("ECHO", "a"), request("QUIT")])
    }

    @Test func argumentsAreRangesOfTheGivenBytes() {
        var parser = RequestParser()
        let bytes = Array("\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\nrest".utf8)
        let outcome = parser.next(bytes.span.bytes)
        #expect(outcome == .request(consumed: 24))
        let ranges = parser.arguments
        #expect(ranges == [10..<13, 19..<22])
        #expect(bytes[ranges[1]].elementsEqual("key".utf8))
        let isInline = parser.isInline
        #expect(!isInline)
    }

    @Test func nothingAskedIsPassedOver() {
        for empty in [
            "\r\n", "\n", " \t\r\n", "*0\r\n", "*-1\r\n", "*-9223372036854775808\r\n", "\r\n\n*0\r\n",
        ] {
            #expect(parseRequests(empty) == [], "\(empty.debugDescription)")
            #expect(parseRequests(empty + "PING\r\n") == [request("PING")], "\(empty.debugDescription)")
        }
    }

    /// Redis passes over the byte after a carriage return and the two after an argument without a look.
    @Test func lineEndsAreTakenOnTrust() {
        #expect(parseRequests("*1\rX$4\rXPINGYY*1\r\n$1\r\na\r\n") == [request("PING"), request("a")])
    }

    @Test func wordsAreSplitAsRedisSplitsThem() {
        let cases: [(String, [String])] = [
            ("set a 1", ["set", "a", "1"]),
            (" a\tb  c ", ["a", "b", "c"]),
            ("a\rb", ["a", "b"]),
            ("a\u{B}b \u{C}c", ["a\u{B}b", "c"]),
            (#"a "" ''"#, ["a", "", ""]),
            (#""\x41\x7a\n\r\t\b\a\q\"\\""#, ["Az\n\r\t\u{8}\u{7}q\"\\"]),
            (#""\x4" "\xg1" "\x""#, ["x4", "xg1", "x"]),
            (#"'\n\'\"\\ '"#, [#"\n'\"\\ "#]),
            (#"foo"bar baz" x"#, ["foobar baz", "x"]),
            (#"foo'bar baz' x"#, ["foobar baz", "x"]),
            ("\"a\"\u{B}b c", ["a", "b", "c"]),
            (#"\x41 a\ b"#, [#"\x41"#, "a\\", "b"]),
            (#""it's" '"'"#, ["it's", "\""]),
        ]
        for (line, words) in cases {
            #expect(parseRequests(line + "\r\n") == [.request(words.map { Blob($0) })], "\(line)")
            #expect(parseRequests(line + "\n") == [.request(words.map { Blob($0) })], "\(line)")
        }
        #expect(parseRequests("a \"\\x00\\xff\"\n") == [.request([Blob("a"), Blob([0, 255])])])
        for line in [
            "\"", "'", "a \"b", "a 'b", "\"a\"b", "'a'b", "\"a\\", "\"a\\\"", "'a\\'", "a\"b\"c", "\"\"\"\"",
        ] {
            #expect(parseRequests(line + "\r\n") == [refused("unbalanced quotes in request")], "\(line)")
        }
    }

    @Test func badLengthsAreRefusedInRedissWords() {
        let counts = [
            "*1048577", "*2147483648", "*9223372036854775808", "*", "*x", "* 1", "*+1", "*01", "*-0", "*1x",
            "*1 ",
        ]
        for line in counts + ["*-", "*--1", "*-9223372036854775809", "*99999999999999999999999"] {
            #expect(parseRequests(line + "\r\n") == [refused("invalid multibulk length")], "\(line)")
        }
        let lengths = [
            "$-1", "$-2", "$536870913", "$2147483648", "$9223372036854775808", "$", "$x", "$ 4", "$+4", "$04",
        ]
        for line in lengths + ["$4x", "$-0", "$00", "$18446744073709551616", "$-9223372036854775808", "$1\n"]
        {
            #expect(parseRequests("*1\r\n" + line + "\r\n") == [refused("invalid bulk length")], "\(line)")
        }
        for (line, got) in [
            ("4", "4"), (":4", ":"), ("*1", "*"), ("", " "), ("\n", " "), (" $4", " "), ("\t", "\t"),
        ] {
            #expect(
                parseRequests("*1\r\n" + line + "\r\n") == [refused("expected '$', got '\(got)'")], "\(line)")
        }
        var parser = RequestParser()
        let outcome = parser.next(Array("*1\r\n\u{FF}\r\n".utf8).span.bytes)
        #expect(outcome == .protocolError(.expectedDollar(got: 0xC3)))
        #expect(ProtocolError.expectedDollar(got: 0xC3).line.suffix(3) == [39, 0xC3, 39])
    }

    @Test func lengthsUpToTheLimitsAreWaitedFor() {
        for input in [
            "*1048576\r\n", "*1\r\n$536870912\r\n", "*1\r\n$16777216\r\nabc", "*1\r", "*1\r\n$", "*1\r\nxx",
            "PING", "\r",
        ] {
            #expect(parseRequests(input) == [], "\(input.debugDescription)")
        }
    }

    @Test func aNULHidesTheRestOfALine() {
        for input in [
            "PI\0NG\r\nPING\r\n", "\0\r\nPING\r\n", "*1\0\r\n$4\r\nPING\r\n", "*1\r\n$4\0\r\nPING\r\n",
            "*1\r\n\0\r\n",
        ] {
            #expect(parseRequests(input) == [], "\(input.debugDescription)")
        }
        let rest = String(repeating: "x\r\n", count: 30_000)
        #expect(parseRequests("PI\0NG\r\n" + rest) == [refused("too big inline request")])
        #expect(parseRequests("*1\0\r\n" + rest) == [refused("too big mbulk count string")])
        #expect(parseRequests("*1\r\n$1\0\r\n" + rest) == [refused("too big bulk count string")])
    }

    @Test func linesOver64KiBAreRefused() {
        let most = String(repeating: "1", count: Limits.inlineBytesMax)
        #expect(parseRequests(most) == [])
        #expect(parseRequests(most + "\n") == [request(most)])
        #expect(parseRequests(most + "1") == [refused("too big inline request")])
        #expect(parseRequests(most + "\r\n") == [refused("too big inline request")])
        #expect(parseRequests("*" + most.dropLast()) == [])
        #expect(parseRequests("*" + most.dropLast() + "\r\n") == [refused("invalid multibulk length")])
        #expect(parseRequests("*" + most) == [refused("too big mbulk count string")])
        #expect(parseRequests("*1\r\n" + most) == [])
        #expect(parseRequests("*1\r\n" + most + "1") == [refused("too big bulk count string")])
    }

    @Test func strangersAreHeldShort() {
        func ask(_ input: String) -> [Item] { parseRequests(input, isAuthenticated: false) }
        #expect(ask("*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n") == [request("AUTH", "x")])
        #expect(ask("*11\r\n") == [refused("unauthenticated multibulk length")])
        #expect(ask("*1\r\n$16385\r\n") == [refused("unauthenticated bulk length")])
        #expect(ask("*1\r\n$16384\r\n") == [])
        #expect(ask("*1\r\n$536870913\r\n") == [refused("invalid bulk length")])
    }

    @Test func theCountIsASetting() {
        var limits = RequestLimits()
        limits.argumentCountMax = 2
        #expect(parseRequests("*3\r\n", limits: limits) == [refused("invalid multibulk length")])
        #expect(parseRequests("*1\r\n$1\r\na\r\n", limits: limits) == [request("a")])
    }

    /// 16 MiB in pieces of 64 KiB: each piece is looked at once, and only as a length.
    @Test func aLargeValueIsNotScannedAgain() {
        var feed = RequestFeed()
        feed.feed("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$16777216\r\n".utf8)
        let piece = [UInt8](repeating: 10, count: 64 << 10)
        for _ in 0..<256 { feed.feed(piece) }
        var count = feed.items.count
        #expect(count == 0)
        feed.feed("\r\n".utf8)
        count = feed.items.count
        #expect(count == 1)
        guard case .request(let arguments) = feed.items[0] else { return #expect(Bool(false)) }
        #expect(arguments.map(\.count) == [3, 1, 16 << 20])
    }
}
