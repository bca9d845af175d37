import MartletBase
import MartletRESP
import Testing
import martlet_bench

@Suite struct RequestEncoderTests {
    private func encoder(_ sizes: ClosedRange<Int>, wait: Int = 0) -> RequestEncoder {
        RequestEncoder(keys: KeyFormat(bytes: 8), valueBytes: sizes, waitReplicas: wait, seed: 1)
    }

    private func requests(_ bytes: [UInt8]) throws -> [[String]] {
        var parser = ReplyParser()
        var rest = bytes
        var out: [[String]] = []
        while !rest.isEmpty {
            // A request has the form of a reply that is an array of bulk strings.
            guard case .value(let value, let consumed) = try parser.next(rest.span.bytes) else { break }
            rest.removeFirst(consumed)
            out.append((value.elements ?? []).map { $0.text ?? "-" })
        }
        #expect(rest.isEmpty)
        return out
    }

    @Test func keysAreNumbers() {
        let keys = KeyFormat(bytes: 8)
        #expect(String(decoding: keys.key(0), as: UTF8.self) == "k0000000")
        #expect(String(decoding: keys.key(0xABC123), as: UTF8.self) == "k0abc123")
        #expect(keys.countMax == 1 << 28)
        #expect(KeyFormat(bytes: 2).countMax == 16)
    }

    @Test func requestsAreWhatServersRead() throws {
        let encoder = encoder(100...100)
        var bytes: [UInt8] = []
        encoder.appendRead(0x1F, to: &bytes)
        encoder.appendWrite(0xBEEF, to: &bytes)
        encoder.appendScan(0xE, count: 3, to: &bytes)
        let found = try requests(bytes)
        #expect(found[0] == ["GET", "k000001f"])
        #expect(Array(found[1].prefix(2)) == ["SET", "k000beef"])
        #expect(found[1].count == 3 && found[1][2].utf8.count == 100 && found[1][2].hasPrefix("k000beef"))
        #expect(found[2] == ["MGET", "k000000e", "k000000f", "k0000010"])
    }

    @Test func sizesAreDrawnFromTheWholeRange() throws {
        let encoder = encoder(1...20, wait: 2)
        var bytes: [UInt8] = []
        for key in 0..<500 { encoder.appendWrite(key, to: &bytes) }
        let found = try requests(bytes)
        #expect(found.count == 1_000)
        var sizes: Set<Int> = []
        for index in stride(from: 0, to: 1_000, by: 2) {
            sizes.insert(found[index][2].utf8.count)
            #expect(found[index + 1] == ["WAIT", "2", "5000"])
            let value = Array(found[index][2].utf8)
            let isOwn = value.withUnsafeBytes { encoder.isValue($0, of: index / 2) }
            #expect(isOwn)
        }
        #expect(sizes == Set(1...20))
    }

    @Test func anotherKeysValueIsNoticed() {
        let encoder = encoder(12...12)
        func isValue(_ text: String, _ key: Int) -> Bool {
            Array(text.utf8).withUnsafeBytes { encoder.isValue($0, of: key) }
        }
        #expect(isValue("k000001fXXXX", 0x1F))
        #expect(!isValue("k000001fXXXX", 0x1E))
        #expect(!isValue("k000001fXXX", 0x1F))
        #expect(!isValue("x000001fXXXX", 0x1F))
        #expect(!isValue("k100001fXXXX", 0x1F))
    }
}

@Suite struct ReplyScannerTests {
    private func next(_ text: String) throws -> ScannedReply? {
        try next(Array(text.utf8))
    }

    private func next(_ text: [UInt8]) throws -> ScannedReply? {
        try text.withUnsafeBytes { bytes throws(WireError) in try ReplyScanner.next(bytes, at: 0) }
    }

    @Test(arguments: [
        ("+OK\r\n", ScannedReply.Kind.simple, 1..<3, 0), ("-ERR no\r\n", .error, 1..<7, 0),
        (":-12\r\n", .integer, 1..<4, -12), ("$3\r\nabc\r\n", .bulk, 4..<7, 0),
        ("$0\r\n\r\n", .bulk, 4..<4, 0), ("$-1\r\n", .null, 3..<3, 0), ("*-1\r\n", .null, 3..<3, 0),
        ("*2\r\n$1\r\na\r\n$-1\r\n", .array, 4..<16, 2),
    ])
    func repliesEndWhereTheyEnd(
        text: String, kind: ScannedReply.Kind, payload: Range<Int>, number: Int
    ) throws {
        let reply = try #require(try next(text + "+more\r\n"))
        #expect(reply.kind == kind && reply.payload == payload && reply.number == number)
        #expect(reply.end == text.utf8.count)
        #expect(reply.nulls == (kind == .array ? 1 : 0))
        for length in 0..<text.utf8.count {
            #expect(try next(Array(text.utf8.prefix(length))) == nil, "\(length) bytes of \(text)")
        }
    }

    @Test(arguments: [
        "?\r\n", "$abc\r\n", "$-2\r\n", "$3\r\nabcd\r\n", "+OK\rX", ":\r\n", ":1x\r\n", "*1\r\n*1\r\n:1\r\n",
        "$99999999999999\r\n", "*99999999\r\n",
    ])
    func badBytesAreRefused(text: String) {
        #expect(throws: WireError.self) { try next(text) }
    }

    @Test func randomBytesNeverTrap() {
        var random = Random(seed: 11)
        let letters = Array("$*+-:0123456789\r\nab".utf8)
        for _ in 0..<20_000 {
            let bytes = (0..<random.below(40)).map { _ in letters[random.below(letters.count)] }
            _ = bytes.withUnsafeBytes { try? ReplyScanner.next($0, at: 0) }
        }
    }
}

@Suite struct ClusterRouteTests {
    private static let source = Address(ip: IPAddress(v4: 127, 0, 0, 9), port: 7380)

    private func row(_ first: Int64, _ last: Int64, _ host: String, _ port: Int64) -> RESPValue {
        .array([
            .integer(first), .integer(last),
            .array([.bulkString(Blob(host)), .integer(port), .bulkString(Blob("id"))]),
        ])
    }

    @Test func everySlotHasItsMaster() throws {
        let reply = RESPValue.array([
            row(0, 12_181, "127.0.0.1", 7380), row(12_182, 12_182, "", 7381),
            row(12_183, 16_383, "127.0.0.1", 7380),
        ])
        let route = try ClusterRoute(reply, from: Self.source)
        #expect(route.nodes.map(\.description) == ["127.0.0.1:7380", "127.0.0.9:7381"])
        #expect(route.node(of: Array("foo".utf8)) == 1)
        #expect(route.node(of: Array("bar".utf8)) == 0)
    }

    @Test func holesAndNonsenseAreRefused() {
        let hole = RESPValue.array([row(0, 100, "127.0.0.1", 7380)])
        #expect(throws: Failure.self) { try ClusterRoute(hole, from: Self.source) }
        let nonsense = RESPValue.array([row(5, 1, "127.0.0.1", 7380)])
        #expect(throws: Failure.self) { try ClusterRoute(nonsense, from: Self.source) }
        #expect(throws: Failure.self) { try ClusterRoute(.integer(1), from: Self.source) }
    }
}
