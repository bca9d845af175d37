import MartletBase
import Testing
import martlet_bench

@Suite struct HistogramTests {
    @Test func percentilesAreExactToAThousandth() {
        var random = Random(seed: 7)
        var histogram = Histogram()
        var values: [Int] = []
        for _ in 0..<50_000 {
            // Over nine powers of ten, each as likely as another.
            var value = 1 + random.below(9)
            for _ in 0..<random.below(10) { value = value * 10 + random.below(10) }
            values.append(value)
            histogram.add(value)
        }
        values.sort()
        for quantile in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1] {
            let exact = values[max(1, Int((Double(values.count) * quantile).rounded(.up))) - 1]
            let found = histogram.value(at: quantile)
            #expect(
                found >= exact && Double(found) <= Double(exact) * 1.001, "\(quantile): \(found), \(exact)")
        }
        #expect(histogram.count == 50_000)
        #expect(histogram.max == values.last)
    }

    @Test func smallValuesAreExact() {
        var histogram = Histogram()
        for value in 0..<2_048 { histogram.add(value) }
        #expect(histogram.value(at: 0.5) == 1_023)
        #expect(histogram.value(at: 1) == 2_047)
        #expect(histogram.mean == 1_023.5)
    }

    @Test func everyBoundaryIsCountedOnceAndInOrder() {
        for power in 0..<42 {
            for value in [1 << power - 1, 1 << power, 1 << power + 1] where value <= Histogram.valueMax {
                var histogram = Histogram()
                histogram.add(value)
                #expect(histogram.value(at: 0.5) == value)
                #expect(histogram.cumulative.map(\.count) == [1])
            }
        }
    }

    @Test func mergingIsCountingTogether() {
        var random = Random(seed: 3)
        var parts = [Histogram](repeating: Histogram(), count: 3)
        var whole = Histogram()
        for _ in 0..<10_000 {
            let value = random.below(1_000_000_000)
            parts[random.below(3)].add(value)
            whole.add(value)
        }
        var merged = Histogram()
        for part in parts { merged.merge(part) }
        #expect(merged.count == whole.count)
        #expect(merged.max == whole.max)
        for quantile in [0.5, 0.99, 0.9999] {
            #expect(merged.value(at: quantile) == whole.value(at: quantile))
        }
    }

    @Test func whatIsTooLongKeepsItsMaximum() {
        var histogram = Histogram()
        histogram.add(1 << 50)
        histogram.add(-5)
        #expect(histogram.max == 1 << 50)
        #expect(histogram.value(at: 0.1) == 0)
        #expect(Histogram().value(at: 0.5) == 0)
    }

    @Test func thePercentileTextIsWhatPlottersRead() {
        var histogram = Histogram()
        for value in 1...1_000 { histogram.add(value * 1_000_000) }
        let text = histogram.percentileText()
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines[0].contains("Value     Percentile TotalCount 1/(1-Percentile)"))
        let rows = lines.dropFirst().filter { !$0.hasPrefix("#") }.map { line in
            line.split(separator: " ").compactMap { Double($0) }
        }
        #expect(rows.count > 30 && rows.count < 300)
        for (row, next) in zip(rows, rows.dropFirst()) {
            #expect(row[0] < next[0] && row[1] < next[1] && row[2] < next[2])
        }
        #expect(rows.last?[0] == 1_000 && rows.last?[1] == 1 && rows.last?[2] == 1_000)
        #expect(lines.contains { $0.hasPrefix("#[Max     =     1000.000, Total count    =         1000]") })
    }
}
