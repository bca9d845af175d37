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

    @Test func whatIsImportantIsCutWhenNothingElseIsLeft() {
        var table = Table([.init("key"), .init("bytes", right: true)])
        table.add(["a-rather-long-name", "12345"])
        #expect(
            table.text(columnsMax: 16, palette: plain) == """
                key        bytes
                a-rather…  12345

                """)
        // A number is never cut.
        #expect(table.text(columnsMax: 3, palette: plain).contains("a-rat…  12345"))
        #expect(truncated("abc", to: 3) == "abc")
        #expect(truncated("abcd", to: 3) == "ab…")
        #expect(truncated("abcd", to: 0) == "")
    }

    @Test func progressBars() {
        func line(_ point: ProgressBar.Point, _ seconds: Int64, columns: Int = 79) -> String {
            ProgressBar.line("scanning", "keys", point, elapsed: .seconds(seconds), columnsMax: columns)
        }
        #expect(
            line(.init(done: 1_000, fraction: 0.25), 10)
                == "scanning [=======>                      ] 25% 1000 keys, 100/s, 30s left")
        #expect(
            line(.init(done: 3, of: 3), 1, columns: 60)
                == "scanning [==============================] 100% 3 keys, 3/s")
        #expect(line(.init(done: 0), 2) == "scanning 0 keys, 2s")
        #expect(line(.init(done: 1, of: 3, note: "n2:\u{1B}[2J"), 0).hasSuffix("33% 1 keys, n2:\\x1b[2J"))
        for columns in [1, 10, 30, 50] {
            let text = line(.init(done: 5, fraction: 0.5, note: "a note of some length"), 9, columns: columns)
            #expect(text.count <= columns, "\(text)")
        }
    }

    @Test func scansKnowHowFarTheyAre() {
        #expect(ScanReport.fraction(cursor: Blob("0")) == nil)
        #expect(ScanReport.fraction(cursor: Blob("9223372036854775808")) == 0.5)
        #expect(ScanReport.fraction(cursor: Blob("x")) == nil)
    }

    @Test(arguments: [
        (0.0, "0"), (0.44, "0.4"), (12.3, "12"), (8_200, "8200"), (1_230_000, "1.23M"), (2.5e9, "2.50G"),
    ])
    func counts(value: Double, text: String) {
        #expect(Quantities.count(value) == text)
    }

    @Test(arguments: [(0.853, "0.85 ms"), (12.04, "12.0 ms"), (430.2, "430 ms"), (1_200, "1.20 s")])
    func latencies(milliseconds: Double, text: String) {
        #expect(Quantities.latency(milliseconds: milliseconds) == text)
    }

    @Test func instants() {
        #expect(Quantities.utc(milliseconds: 0) == "1970-01-01T00:00:00.000Z")
        #expect(Quantities.utc(milliseconds: 4_102_444_800_500) == "2100-01-01T00:00:00.500Z")
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
