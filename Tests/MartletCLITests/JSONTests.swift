import MartletBase
import MartletConfig
import Testing
import martlet

@Suite struct JSONTests {
    private func read(_ text: String) throws -> JSONValue { try JSONReader.read(Array(text.utf8)) }

    @Test(arguments: [
        "null", "true", "false", "0", "-1", "1.5e-3", "\"\"", "[]", "{}", "[1,[2,{\"a\":null}]]",
        "{\"a\":1,\"b\":[true,\"x\"],\"a\":2}", "\"é \\\\ \\\" \\n \\t\"", "12345678901234567890",
    ])
    func whatIsWrittenIsWhatWasRead(text: String) throws {
        #expect(try read(text).description == text)
    }

    @Test func escapesAndSpaces() throws {
        #expect(
            try read(" [ 1 , \"\\u0041\\ud83d\\ude00\\/\\b\" ] \n")
                == .array([.number("1"), .string("A😀/\u{8}")]))
        #expect(JSONValue.string("\u{1B}[0m\u{7F}").description == "\"\\u001b[0m\\u007f\"")
    }

    @Test(arguments: [
        "", "nul", "+1", "01", "1.", ".5", "1e", "[1,]", "{\"a\"}", "{a:1}", "\"", "\"\\x\"", "\"\\ud83d\"",
        "[1] 2", "\"\n\"",
        "[", "{\"a\":1", "\"\\u00g0\"", "\"\\u+123\"", "-",
    ])
    func whatIsNoJSONIsRefused(text: String) {
        #expect(throws: WireError.self) { try read(text) }
    }

    @Test func nestingHasALimit() throws {
        let deep = String(repeating: "[", count: 30) + String(repeating: "]", count: 30)
        #expect(try read(deep).description == deep)
        #expect(throws: WireError.self) { try read(String(repeating: "[", count: 100_000)) }
    }

    @Test func textsAreMadeFitForATerminal() throws {
        let value = try read("{\"a\":[\"x\\u001b[31my\"],\"b\":1}").printableTexts
        #expect(value["a"]?.elements.first?.text == "x\\x1b[31my")
        #expect(value["b"]?.integer == 1)
    }
}
