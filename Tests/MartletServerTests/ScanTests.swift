import FakeServer
import MartletBase
import MartletNode
import MartletRing
import MartletServer
import Testing

/// SCAN, KEYS, DBSIZE and RANDOMKEY over pages of the core.
@Suite struct ScanTests {
    private func filled(_ count: Int, _ harness: Harness = Harness()) -> Harness {
        for index in 0..<count { harness.ask("SET k\(index) v") }
        return harness
    }

    /// One page: the next cursor and the keys.
    private func page(_ harness: Harness, _ words: String) -> (cursor: String, keys: [String]) {
        let parts = harness.ask(words).split(separator: "|", omittingEmptySubsequences: false).map(
            String.init)
        guard parts.count > 4, parts[0] == "*2" else { return ("0", ["broken: \(parts)"]) }
        let keys = stride(from: 5, to: parts.count, by: 2).map { parts[$0] }
        #expect(parts[3] == "*\(keys.count)")
        return (parts[2], keys)
    }

    private func scan(_ harness: Harness, _ options: String = "") -> (keys: [String], pages: Int) {
        var (keys, cursor, pages): ([String], String, Int) = ([], "0", 0)
        repeat {
            let page = page(harness, "SCAN \(cursor)\(options)")
            keys += page.keys
            cursor = page.cursor
            pages += 1
        } while cursor != "0" && pages < 10_000
        return (keys, pages)
    }

    @Test func everyKeyComesOnce() {
        let harness = filled(500)
        let expected = (0..<500).map { "k\($0)" }.sorted()
        for options in ["", " COUNT 1", " COUNT 1000", " MATCH * COUNT 7", " TYPE string", " TYPE STRING"] {
            #expect(scan(harness, options).keys.sorted() == expected, "\(options)")
        }
        #expect(scan(harness, " COUNT 1000").pages == 1)
        #expect(scan(harness, " COUNT 100").pages >= 5)
        #expect(scan(harness, " MATCH k1?").keys.sorted() == (10..<20).map { "k\($0)" })
        #expect(scan(harness, " TYPE hash").pages == 1)
        #expect(harness.ask("DBSIZE") == ":500|")
        #expect(harness.ask("KEYS k12*").hasPrefix("*11|"))
        #expect(harness.ask("KEYS *").hasPrefix("*500|"))
        #expect(Set((0..<200).map { _ in harness.ask("RANDOMKEY") }).count > 50)
    }

    @Test func anEmptyStore() {
        let harness = Harness()
        CommandTests.check(
            [
                ("SCAN 0", "*2|$1|0|*0|"), ("KEYS *", "*0|"), ("DBSIZE", ":0|"), ("RANDOMKEY", "$-1|"),
                ("SET a 1", "+OK|"), ("DEL a", ":1|"), ("DBSIZE", ":0|"), ("SET a 1 PXAT 1", "+OK|"),
                ("KEYS *", "*0|"), ("SET b 1", "+OK|"), ("RANDOMKEY", "$1|b|"), ("SELECT 1", "+OK|"),
                ("DBSIZE", ":0|"), ("KEYS *", "*0|"),
            ], harness)
        harness.ask("HELLO 3")
        #expect(harness.ask("RANDOMKEY") == "_|")
        #expect(harness.ask("SCAN 0") == "*2|$1|0|*0|")
    }

    @Test(arguments: [
        ("SCAN x", "-ERR invalid cursor|"), ("SCAN -", "-ERR invalid cursor|"),
        ("SCAN 18446744073709551616", "-ERR invalid cursor|"), ("SCAN 1x", "-ERR invalid cursor|"),
        ("SCAN ", "*2|$1|0|*0|"), ("SCAN +0", "*2|$1|0|*0|"), ("SCAN -1", "*2|$1|0|*0|"),
        ("SCAN 18446744073709551615", "*2|$1|0|*0|"), ("SCAN 0\0x", "*2|$1|0|*0|"),
        ("SCAN 0 COUNT 0", "-ERR syntax error|"), ("SCAN 0 COUNT", "-ERR syntax error|"),
        ("SCAN 0 COUNT x", "-ERR value is not an integer or out of range|"),
        ("SCAN 0 foo 1", "-ERR syntax error|"), ("SCAN x foo", "-ERR invalid cursor|"),
        ("SCAN 0 TYPE hash foo", "-ERR syntax error|"),
    ])
    func cursorsAndOptions(line: String, reply: String) {
        #expect(Harness().ask(line) == reply)
    }

    /// Keys that share a token are never split, whatever COUNT says; and a cursor is always a token.
    @Test func equalTokensStayTogether() {
        let harness = filled(0)
        harness.backend.token = { Token(value: UInt64($0.bytes[0] & 3) << 60) }
        for letter in "abcdefghijklm" { harness.ask("SET \(letter) 1") }
        let (keys, pages) = scan(harness, " COUNT 1")
        #expect(keys.sorted() == "abcdefghijklm".map { String($0) })
        #expect(pages <= 5)
        harness.backend.token = { _ in Token(value: 0) }
        #expect(scan(harness, " COUNT 1").keys.count == 13)
        #expect(harness.ask("RANDOMKEY") == "$1|a|")
    }

    /// A walk sees the writes before it, and what comes after it waits; its pages come one at a time.
    @Test func aWalkIsInOrder() {
        let harness = Harness()
        harness.backend.isImmediate = false
        var random = Random(seed: 3)
        for line in ["SET a 1", "SET b 1", "DBSIZE", "DEL a", "KEYS *", "PING", "SCAN 0 COUNT 100"] {
            harness.ask(line)
        }
        #expect(harness.backend.submitted.count == 2)
        harness.backend.finish(&random)
        #expect(harness.output() == "+OK|+OK|:2|:1|*1|$1|b|+PONG|*2|$1|0|*1|$1|b|")
        #expect(harness.backend.workMax == 2)
    }

    @Test func aPageThatFails() {
        let harness = filled(100)
        var count = 0
        harness.backend.fails = { request in
            guard case .scan = request.operation else { return nil }
            count += 1
            return count == 3
                ? .unavailable(.read, .quorum, required: 2, alive: 1, up: ["n1"], down: ["n2", "n3"]) : nil
        }
        for line in ["KEYS *", "DBSIZE", "SCAN 0 COUNT 1000"] {
            count = 0
            #expect(
                harness.ask(line).hasPrefix("-UNAVAILABLE op=read level=QUORUM required=2 alive=1 "),
                "\(line)")
        }
        count = 10
        #expect(harness.ask("DBSIZE") == ":100|")
    }

    /// KEYS is refused before it takes more memory than a client may; SCAN goes on in pages.
    @Test func keysAreBounded() {
        let harness = filled(0, Harness { $0.clientOutputMax = 4_000 })
        for index in 0..<300 { harness.ask("SET a-key-of-some-length-\(index) 1") }
        #expect(harness.ask("KEYS *").hasPrefix("-TOOLARGE what=reply bytes="))
        #expect(harness.ask("KEYS *-7") == "*1|$24|a-key-of-some-length-7|".replacing("24", with: "22"))
        #expect(harness.ask("DBSIZE") == ":300|")
        #expect(scan(harness, " COUNT 20").keys.count == 300)
        #expect(harness.client.isFinished == false)
    }

    /// Comparing takes time in the product of both lengths, on the thread that everybody shares.
    @Test func aPatternThatWouldHoldUpEverybodyIsRefused() {
        let harness = filled(3)
        let long = String(repeating: "a", count: GlobPattern.starredBytesMax)
        for command in ["KEYS *\(long)", "SCAN 0 MATCH k*\(long)"] {
            #expect(harness.ask(command).hasPrefix("-ERR pattern is too long: from its first * on"))
        }
        #expect(harness.ask("KEYS \(long)\(long)k*") == "*0|")
        #expect(harness.ask("KEYS k*\(long.dropLast())") == "*0|")
    }

    /// A walk that was let in goes to its end; one too many is refused before it begins.
    @Test func walksAreAsManyAsPagesAtOnce() throws {
        let harness = filled(3_000)
        harness.backend.isImmediate = false
        let others = try (0..<Limits.scansMax).map { number in
            try #require(harness.server.open(peer: "127.0.0.1:\(number)", local: "127.0.0.1:7379"))
        }
        for other in others { harness.ask("KEYS *", on: other) }
        #expect(
            harness.ask("DBSIZE").hasPrefix(
                "-OVERLOADED node=n1 limit=scans_max: refused before any work; ask again after a pause"))
        var random = Random(seed: 5)
        for _ in 0..<9 { harness.backend.step(&random) }
        harness.server.close(others[0])
        harness.ask("DBSIZE")
        harness.server.checkInvariants()
        harness.backend.finish(&random)
        #expect(harness.output() == ":3000|")
        for other in others.dropFirst() { #expect(other.takeOutput().starts(with: "*3000".utf8)) }
        harness.server.checkInvariants()
    }

    @Test func aConnectionThatGoesWhileItWalks() {
        let harness = filled(50)
        harness.backend.isImmediate = false
        let other = harness.server.open(peer: "127.0.0.1:2", local: "127.0.0.1:7379")!
        harness.ask("KEYS *", on: other)
        var random = Random(seed: 4)
        for _ in 0..<3 { harness.backend.step(&random) }
        harness.server.close(other)
        harness.backend.finish(&random)
        #expect(harness.server.sessionCount == 1)
        harness.ask("DBSIZE")
        harness.client.endInput()
        #expect(!harness.client.isFinished)
        harness.backend.finish(&random)
        #expect(harness.output() == ":50|")
        #expect(harness.client.isFinished)
    }
}
