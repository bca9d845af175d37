import MartletBase
import MartletRESP
import Testing

@Suite struct HelperTests {
    static func parse(_ text: String) -> Int64? { parseInteger(Array(text.utf8).span.bytes) }

    @Test func integersAreReadAsRedisReadsThem() {
        let good: [Int64] = [0, 1, -1, 9, 10, -10, 123_456_789, .max, .min, .max - 1, .min + 1]
        for value in good { #expect(Self.parse(String(value)) == value) }
        let bad = [
            "", "-", "+1", " 1", "1 ", "01", "-0", "-01", "00", "1.0", "0x1", "1e3", "--1", "٣", "\0", "1\0",
            "a",
            "9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999",
            "-99999999999999999999", "999999999999999999999999999999",
        ]
        for text in bad { #expect(Self.parse(text) == nil, "\(text)") }
    }

    @Test func wordsAreComparedWithoutCase() {
        func equal(_ text: String, _ word: StaticString) -> Bool {
            equalsIgnoringCase(Array(text.utf8).span.bytes, word)
        }
        #expect(equal("EX", "ex"))
        #expect(equal("kEePtTl", "KEEPTTL"))
        #expect(equal("", ""))
        #expect(!equal("EXA", "EX"))
        #expect(!equal("E", "EX"))
        #expect(!equal("@", "`"), "only letters have cases")
        #expect(!equal("[", "{"))
    }

    @Test func commandNamesAreNumbers() {
        func name(_ text: String) -> CommandName? { CommandName(Array(text.utf8).span.bytes) }
        #expect(name("get") == "GET")
        #expect(name("CONSISTENCY") == "consistency")
        #expect(name("abcdefghijklmnop") == "ABCDEFGHIJKLMNOP")
        #expect(name("abcdefghijklmnop") != "ABCDEFGHIJKLMNO")
        #expect(name("GET") != "SET")
        #expect(name("x") != "xx")
        for text in ["", "abcdefghijklmnopq", "a b", "a\0", "\u{7F}", "é"] { #expect(name(text) == nil) }
        #expect(name("vset")?.description == "VSET")
        #expect(name("consistency")?.description == "CONSISTENCY")
    }
}
