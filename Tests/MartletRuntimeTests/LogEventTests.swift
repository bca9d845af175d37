import Glibc
import MartletRuntime
import Testing

@Suite struct LogEventTests {
    /// The list that the end-to-end tests hold logs against as well.
    private func listed() throws -> [String] {
        let path =
            #filePath.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" }
            + "/EndToEnd/contracts/log_events.txt"
        let file = try #require(fopen(path, "re"), "\(path) can't be read")
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        let count = fread(&bytes, 1, bytes.count, file)
        let lines = String(decoding: bytes[..<count], as: UTF8.self).split(whereSeparator: \.isNewline)
        return lines.filter { !$0.hasPrefix("#") }.map(String.init)
    }

    @Test func namesAreThoseThatAreListed() throws {
        let names = LogEvent.allCases.map(\.rawValue).sorted()
        #expect(
            names == (try listed()),
            "a new event belongs into Tests/EndToEnd/contracts/log_events.txt; none of the old ones may go")
    }

    @Test(arguments: LogEvent.allCases)
    func namesAreWordsInLowerCase(event: LogEvent) {
        #expect(event.rawValue.utf8.allSatisfy { (97...122).contains($0) || $0 == 95 })
    }
}
