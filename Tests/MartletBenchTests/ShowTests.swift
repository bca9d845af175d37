import MartletBase
import Testing
import martlet_bench

@Suite struct SpreadTests {
    @Test func mediansAndRatios() {
        #expect(Spread([3, 1, 2]).median == 2)
        #expect(Spread([4, 1, 2, 3]).median == 2.5)
        #expect(Spread([]).isEmpty && Spread([]).text() == "-" && Spread([5]).text() == "5.00")
        let ratios = Spread(ratiosOf: [10, 30, 20, 1], over: [20, 40, 80, 0])
        #expect(ratios.values == [0.25, 0.5, 0.75])
        #expect(ratios.text() == "0.50 (0.25-0.75)")
    }

    @Test func numbersAsTheyAreRead() {
        #expect(grouped(1_234_567.4) == "1,234,567" && grouped(12) == "12" && grouped(-1_000) == "-1,000")
        #expect(decimal(-0.04, digits: 1) == "0.0" && decimal(2.345, digits: 2) == "2.35")
        #expect(
            decimal(0.999999, digits: 12).hasPrefix("0.999998999")
                || decimal(0.999999, digits: 12) == "0.999999000000")
        #expect(
            short(123.4) == "123" && short(12.34) == "12.3" && short(0.5) == "0.50"
                && short(0.0123) == "0.012")
    }
}

@Suite struct PlotTests {
    @Test func percentilesAreDrawn() throws {
        var one = Histogram()
        var two = Histogram()
        var random = Random(seed: 8)
        for _ in 0..<100_000 {
            one.add(50_000 + random.below(1_000_000))
            two.add(random.chance(0.001) ? 80_000_000 : 200_000)
        }
        let svg = Plot.percentiles("a < b & \"c\"", [("one", one), ("two", two)]).svg
        try expectWellFormed(svg)
        #expect(svg.contains("a &lt; b &amp; &quot;c&quot;") && svg.contains(">99.9%<"))
        #expect(svg.components(between: "<polyline", and: "/>").count == 2)
        #expect(!svg.contains("nan") && !svg.contains("inf"))
        // Neighbours that can't be told apart aren't drawn.
        #expect(svg.utf8.count < 100_000)
    }

    @Test(arguments: [0, 1, 2]) func fewPointsAreNoTrouble(count: Int) throws {
        let points = (0..<count).map { (x: Double($0 + 1), y: Double($0)) }
        for scale in [Plot.Scale.linear, .logarithmic] {
            let plot = Plot(
                "few", x: Plot.Axis("x", scale), y: Plot.Axis("y", scale), [Plot.Series("s", points)])
            let svg = plot.svg
            try expectWellFormed(svg)
            #expect(!svg.contains("nan") && !svg.contains("inf"))
        }
    }
}

extension String {
    fileprivate func components(between start: Character, and end: Character) -> [Substring] {
        split(separator: start, omittingEmptySubsequences: true).compactMap { part in
            part.firstIndex(of: end).map { part[..<$0] }
        }
    }

    fileprivate func components(between start: String, and end: String) -> [Substring] {
        var out: [Substring] = []
        var rest = self[...]
        while let first = rest.firstRange(of: start) {
            rest = rest[first.upperBound...]
            guard let last = rest.firstRange(of: end) else { break }
            out.append(rest[..<last.lowerBound])
            rest = rest[last.upperBound...]
        }
        return out
    }
}

@Suite struct ReportTests {
    private func result() -> LoadResult {
        var tally = LoadTally()
        for value in 1...1_000 {
            tally.add(value.isMultiple(of: 4) ? .update : .read, nanoseconds: value * 1_000)
        }
        tally.fail("TIMEOUT", "TIMEOUT op=write \"quoted\"")
        tally.fail("TIMEOUT", "another")
        return LoadResult(
            plan: LoadPlan(targets: [Address(ip: IPAddress(v4: 127, 0, 0, 1), port: 7379)]), tally: tally,
            elapsed: .seconds(2), clientSeconds: 0.01, serverSeconds: 0.02)
    }

    @Test func aResultIsTold() {
        let text = result().text()
        #expect(text.contains("0.0200 s for 1,000 operations (20.0 us each)"))
        #expect(text.contains("error TIMEOUT: 2 times, the first: TIMEOUT op=write"))
        let rows = text.split(separator: "\n")
        #expect(rows.contains { $0.hasPrefix("reads") && $0.contains(" 750 ") && $0.contains(" 375 ") })
        #expect(rows.contains { $0.hasPrefix("all") && $0.contains("1,000 ") && $0.contains(" 500 ") })
    }

    @Test func theJSONHoldsIt() {
        let text = result().json.description
        #expect(text.contains("\"operations\":1000,\"operations_per_second\":500.000000"))
        #expect(text.contains("\"server_cpu_seconds_per_1000\":0.020000"))
        #expect(text.contains("\"all\":{\"count\":1000,\"mean\":0.500500,\"p50\":0.500"))
        #expect(text.contains("\"TIMEOUT\":{\"count\":2,\"example\":\"TIMEOUT op=write \\\"quoted\\\"\"}"))
    }

    @Test func talliesMerge() {
        var one = result().tally
        one.merge(result().tally)
        #expect(one.histogram().count == 2_000 && one.errorCount == 4)
        #expect(one.histogram { $0.isWrite }.count == 500)
    }

    @Test func aTableGoesBetweenItsMarks() throws {
        let table = [CompareRow("a", martlet: "1", other: "2", ratio: "0.50", aim: "1")].markdown
        #expect(table.contains("| a | 1 | 2 | 0.50 | 1 |"))
        let (begin, end) = (MarkedTable.begin("x"), MarkedTable.end("x"))
        let page = "before\n\(begin)\nold\n\(end)\nafter\n"
        let replaced = try #require(MarkedTable.replaced(in: page, "x", by: table))
        #expect(replaced == "before\n\(begin)\n\n\(table)\n\(end)\nafter\n")
        #expect(MarkedTable.replaced(in: replaced, "x", by: table) == replaced)
        #expect(MarkedTable.replaced(in: page, "y", by: table) == nil)
        #expect(throws: Failure.self) { _ = try MarkedTable("/no/such/document", command: "x") }
    }
}

/// Every tag is closed, in order, and attributes are quoted.
func expectWellFormed(_ svg: String) throws {
    var open: [Substring] = []
    for tag in svg.components(between: "<", and: ">") {
        #expect(tag.filter { $0 == "\"" }.count.isMultiple(of: 2), "\(tag)")
        if tag.hasPrefix("/") {
            #expect(open.popLast() == tag.dropFirst())
        } else if !tag.hasSuffix("/") {
            open.append(tag.prefix { $0 != " " })
        }
    }
    #expect(open.isEmpty)
    #expect(svg.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\""))
}
