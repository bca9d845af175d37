import MartletBase
import Testing
import martlet

@Suite struct TerminalTests {
    private let plain = Palette(isColoured: false)

    private func table() -> Table {
        var table = Table([
            .init("name"), .init("bytes", right: true, rank: 1), .init("version", rank: 2), .init("state"),
        ])
        table.add(["n1", "5", "0.1.0", "normal"])
        table.add(["node10", "12345", "0.1.0", .init("left", .bad)])
        return table
    }

    @Test func columnsLineUp() {
        #expect(
            table().text(columnsMax: nil, palette: plain) == """
                name    bytes  version  state
                n1          5  0.1.0    normal
                node10  12345  0.1.0    left

                """)
    }

    @Test func whatDoesNotFitIsLeftOutByRankAndSaidSo() {
        #expect(
            table().text(columnsMax: 25, palette: plain) == """
                name    bytes  state
                n1          5  normal
                node10  12345  left
                (too narrow for: version)

                """)
        #expect(table().text(columnsMax: 3, palette: plain).hasPrefix("name    state\n"))
    }

    @Test func coloursTakeNoRoom() {
        let text = table().text(columnsMax: nil, palette: Palette(isColoured: true))
        #expect(text.contains("  \u{1B}[31mleft\u{1B}[0m\n"))
    }

    @Test(arguments: [
        (0.0, "0s"), (0.25, "0.3s"), (9.96, "10.0s"), (12, "12s"), (60, "1min"), (184, "3min 4s"),
        (7500, "2h 5min"),
        (273_600, "3d 4h"), (259_204, "3d"), (-5, "-5s"),
    ])
    func durations(seconds: Double, text: String) {
        #expect(Quantities.duration(seconds: seconds) == text)
    }

    @Test(arguments: [
        (0.0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (12_345, "12.1 KiB"), (1_048_575, "1.0 MiB"),
        (3.3e12, "3.0 TiB"),
    ])
    func sizes(count: Double, text: String) {
        #expect(Quantities.bytes(count) == text)
    }

    @Test func decimals() {
        #expect(Quantities.decimal(-0.04, digits: 1) == "0.0")
        #expect(Quantities.decimal(-1.25, digits: 2) == "-1.25")
        #expect(Quantities.decimal(99.96, digits: 1) == "100.0")
        #expect(Quantities.decimal(.nan, digits: 1) == "nan")
    }

    @Test func times() {
        #expect(Quantities.interval("500ms", bare: .seconds(1)) == .milliseconds(500))
        #expect(Quantities.interval("1.5s", bare: .seconds(1)) == .milliseconds(1_500))
        #expect(Quantities.interval("60", bare: .seconds(1)) == .minutes(1))
        #expect(Quantities.interval("250", bare: .milliseconds(1)) == .milliseconds(250))
        for text in ["", "s", "0s", "-1s", "1 s", "1m", "1.2.3s", "0x10s", "nans", "99999999999999d"] {
            #expect(Quantities.interval(text, bare: .seconds(1)) == nil, "\(text)")
        }
    }

    @Test func controlCharactersAreShown() {
        #expect(printable("a\u{1B}]0;x\u{7}\tb\n") == "a\\x1b]0;x\\x07\tb\n")
        #expect(quoted("a\nb") == "\"a\\nb\"")
    }
}
