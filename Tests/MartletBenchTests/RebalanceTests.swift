import MartletBase
import MartletConfig
import Testing
import martlet_bench

@Suite struct RebalanceTests {
    private func milliseconds(_ number: Int64) -> Instant { Instant(nanoseconds: number * 1_000_000) }

    @Test func aTimelineTellsRequestsByWhenTheyBegan() {
        var timeline = LoadTimeline()
        var other = LoadTimeline()
        for number in 0..<1_000 {
            let began = milliseconds(Int64(number) * 10)
            // Slow from the third to the fifth second.
            let took = Interval.milliseconds(300..<500 ~= number ? 50 : 1)
            if number.isMultiple(of: 2) {
                timeline.add(began, took: took)
            } else {
                other.add(began, took: took)
            }
        }
        timeline.merge(other)
        let before = timeline.latencies(milliseconds(0), milliseconds(3_000))
        let meanwhile = timeline.latencies(milliseconds(3_000), milliseconds(5_000))
        #expect(before.count == 300 && before.perSecond == 100 && before.milliseconds(at: 1) == 1)
        #expect(meanwhile.count == 200 && meanwhile.milliseconds(at: 0.01) == 50)
        #expect(timeline.latencies(milliseconds(10_000), milliseconds(20_000)).milliseconds(at: 0.5) == 0)
    }

    @Test func percentilesAreOfAllThatWereCounted() {
        let latencies = Latencies((1...1_000).map { UInt32($0) * 1_000 }.reversed(), over: .seconds(2))
        #expect(latencies.perSecond == 500)
        #expect(latencies.milliseconds(at: 0.5) == 500 && latencies.milliseconds(at: 0.99) == 990)
        #expect(latencies.milliseconds(at: 0.999) == 999 && latencies.milliseconds(at: 1) == 1_000)
    }

    private func result(_ step: RebalanceStep, isBalanced: Bool = true) -> RebalanceResult {
        let some = Latencies([1_000, 2_000], over: .seconds(1))
        return RebalanceResult(
            step: step, before: ["n1", "n2", "n3"], after: ["n1", "n2", "n3", "n4"], took: .seconds(4),
            isBalanced: isBalanced, recordsLeast: 1_000, recordsMoved: 1_020, bytesMoved: 8e6,
            processors: 1.5, quiet: some,
            meanwhile: some, afterwards: some, seconds: [(-1, some), (0, some)],
            errors: ["TIMEOUT": LoadTally.Errors(count: 2, example: "late")], unsent: 0)
    }

    @Test func aReportHasARowAndAPlotForEachStep() {
        let report = RebalanceReport(
            results: RebalanceStep.allCases.map { result($0) }, keys: 1_000, copies: 3_000)
        let rows = report.markdown.split(separator: "\n")
        #expect(rows.count == 2 + RebalanceStep.allCases.count)
        #expect(rows[2].contains("| a node joins (3 to 4) | 4.0 | 8 | 1.020 | 2.0 |"), "\(rows[2])")
        #expect(rows.allSatisfy { $0.count { $0 == "|" } == rows[0].count { $0 == "|" } })
        #expect(report.plots.map(\.name).contains("rebalance-join"))
        #expect(report.json.description.contains("\"over_least\":1.020000"))
        #expect(report.json.description.contains("\"TIMEOUT\":2"))
    }

    @Test func aStepThatTookTooLongSaysSo() {
        let report = RebalanceReport(results: [result(.leave, isBalanced: false)], keys: 1_000, copies: nil)
        let rows = report.markdown.split(separator: "\n")
        #expect(rows[2].contains("| a node leaves (3 to 4) | not in 4.0 | 8 |  | 2.0 |"), "\(rows[2])")
        #expect(report.json.description.contains("\"copies_found\":null"))
        #expect(report.json.description.contains("\"balanced\":false"))
    }

    @Test func optionsAreReadOrRefused() throws {
        func reader(_ words: String...) throws -> OptionReader {
            guard case .run(let line) = Program.specification.parse(["rebalance"] + words) else {
                throw Failure.usage("not understood: \(words)")
            }
            return OptionReader(line)
        }
        #expect(try reader("--bytes", "64MiB").size("--bytes", 0...1 << 30) == 64 << 20)
        #expect(try reader().size("--bytes", 0...1 << 30) == nil)
        #expect(throws: Failure.self) { try reader("--bytes", "2GiB").size("--bytes", 0...1 << 30) }
        #expect(throws: Failure.self) { try reader("--bytes", "64").size("--bytes", 0...1 << 30) }
        let chosen = try reader("--step", "leave", "--step", "join")
        #expect(try chosen.choices("--step", RebalanceStep.allCases) == [.join, .leave])
        #expect(throws: Failure.self) {
            try reader("--step", "jump").choices("--step", RebalanceStep.allCases)
        }
    }
}
