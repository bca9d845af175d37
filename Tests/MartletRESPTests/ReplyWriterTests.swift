import MartletBase
import MartletRESP
import Testing

@Suite struct ReplyWriterTests {
    /// What the writer makes of it in RESP2 and in RESP3.
    static func written(_ body: (inout ReplyWriter) -> Void) -> [String] {
        [RESPVersion.two, .three].map { version in
            var writer = ReplyWriter(version: version)
            body(&writer)
            return String(decoding: writer.bytes, as: UTF8.self)
        }
    }

    static func same(_ text: String) -> [String] { [text, text] }

    @Test func lines() {
        #expect(Self.written { $0.ok() } == Self.same("+OK\r\n"))
        #expect(Self.written { $0.simpleString("PONG") } == Self.same("+PONG\r\n"))
        let text = "two\r\nlines\n"
        #expect(Self.written { $0.simpleString(text) } == Self.same("+two  lines\r\n"))
        #expect(Self.written { $0.error("ERR syntax error") } == Self.same("-ERR syntax error\r\n"))
        #expect(Self.written { $0.error(text) } == Self.same("-two  lines\r\n"))
        #expect(
            Self.written { $0.error(ProtocolError.expectedDollar(got: 13)) }
                == Self.same("-ERR Protocol error: expected '$', got ' '\r\n"))
    }

    @Test func integersInAllLengths() {
        var values: [Int64] = [.max, .min, 0, -1]
        var power: Int64 = 1
        for _ in 0..<18 {
            power *= 10
            values += [power - 1, power, power + 1, -power, 1 - power]
        }
        for value in values {
            #expect(Self.written { $0.integer(value) } == Self.same(":\(value)\r\n"))
        }
    }

    @Test func bulks() {
        #expect(Self.written { $0.bulk(Blob("a\r\nb")) } == Self.same("$4\r\na\r\nb\r\n"))
        #expect(Self.written { $0.bulk("") } == Self.same("$0\r\n\r\n"))
        #expect(Self.written { $0.bulk("héllo") } == Self.same("$6\r\nhéllo\r\n"))
        #expect(Self.written { $0.bulk([65, 66]) } == Self.same("$2\r\nAB\r\n"))
        for size in [9, 10, 99, 100, 1_000, 65_536] {
            let payload = [UInt8](repeating: 65, count: size)
            let text = String(decoding: payload, as: UTF8.self)
            #expect(Self.written { $0.bulk(payload.span.bytes) } == Self.same("$\(size)\r\n\(text)\r\n"))
        }
    }

    @Test func whatOnlyRESP3Has() {
        #expect(Self.written { $0.null() } == ["$-1\r\n", "_\r\n"])
        #expect(Self.written { $0.nullArray() } == ["*-1\r\n", "_\r\n"])
        #expect(Self.written { $0.boolean(true) } == [":1\r\n", "#t\r\n"])
        #expect(Self.written { $0.boolean(false) } == [":0\r\n", "#f\r\n"])
        #expect(Self.written { $0.bigNumber("-123") } == ["$4\r\n-123\r\n", "(-123\r\n"])
        #expect(Self.written { $0.verbatim(Blob("ab")) } == ["$2\r\nab\r\n", "=6\r\ntxt:ab\r\n"])
        #expect(Self.written { $0.array(count: 3) } == Self.same("*3\r\n"))
        #expect(Self.written { $0.map(count: 3) } == ["*6\r\n", "%3\r\n"])
        #expect(Self.written { $0.set(count: 3) } == ["*3\r\n", "~3\r\n"])
        #expect(Self.written { $0.push(count: 12) } == ["*12\r\n", ">12\r\n"])
    }

    @Test func doubles() {
        let cases: [(Double, String)] = [
            (0, "0"), (-0.0, "-0"), (1, "1"), (-2.5, "-2.5"), (0.1, "0.1"), (1e16, "10000000000000000"),
            (1e17, "1e+17"), (1e300, "1e+300"), (.leastNonzeroMagnitude, "5e-324"), (.infinity, "inf"),
            (-.infinity, "-inf"),
            (.nan, "nan"), (-123_456, "-123456"), (Double.pi, "3.141592653589793"),
        ]
        for (value, text) in cases {
            #expect(
                Self.written { $0.double(value) } == ["$\(text.utf8.count)\r\n\(text)\r\n", ",\(text)\r\n"])
        }
    }

    @Test func requestsReadBack() {
        var writer = RequestWriter()
        writer.begin(argumentCount: 5)
        writer.argument("SET")
        writer.argument(Blob("key"))
        writer.argument(String("välue"))
        writer.argument("PX")
        writer.argument(-5)
        writer.request([Blob("GET"), Blob([0, 13, 10])])
        let expected: [Item] = [
            request("SET", "key", "välue", "PX", "-5"), .request([Blob("GET"), Blob([0, 13, 10])]),
        ]
        #expect(parseRequests(writer.bytes) == expected)
    }

    @Test func theBufferIsAppendedTo() {
        var writer = ReplyWriter(appendingTo: [1, 2])
        writer.integer(7)
        #expect(writer.bytes == [1, 2] + Array(":7\r\n".utf8))
    }
}
