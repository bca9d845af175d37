import Testing
import martlet

@Suite struct MetricsTests {
    private let text = """
        # HELP martlet_requests_total Reads and \\n writes.
        # TYPE martlet_requests_total counter
        martlet_requests_total{op="read"} 12
        martlet_requests_total{op="write",why="a \\"b\\\\, }\\n"} 3 1700000000
        # TYPE martlet_sync_seconds histogram
        martlet_sync_seconds_bucket{le="0.001"} 50
        martlet_sync_seconds_bucket{le="0.01"} 90
        martlet_sync_seconds_bucket{le="+Inf"} 100
        martlet_sync_seconds_sum 0.5
        martlet_sync_seconds_count 100
        martlet_odd NaN
        not a metric at all
        martlet_broken{a="b} 1
        # a comment
        """

    @Test func familiesAreRead() {
        let metrics = Metrics(text)
        #expect(metrics["martlet_requests_total"]?.kind == "counter")
        #expect(metrics["martlet_requests_total"]?.help == "Reads and   writes.")
        #expect(metrics.total("martlet_requests_total") == 15)
        #expect(metrics.total("martlet_requests_total") { $0.label("op") == "write" } == 3)
        #expect(metrics.total("absent") == nil)
        #expect(metrics["martlet_requests_total"]?.samples[1].label("why") == "a \"b\\, }\n")
        #expect(metrics["martlet_sync_seconds"]?.samples.count == 5)
        #expect(metrics["martlet_odd"]?.samples.first?.value.isNaN == true)
        #expect(metrics["martlet_broken"]?.samples.isEmpty ?? true)
        #expect(Metrics("").families.isEmpty)
    }

    @Test func quantilesLieWithinTheirBuckets() throws {
        let histogram = try #require(Histogram(Metrics(text)["martlet_sync_seconds"]))
        #expect(histogram.quantile(0.5) == 0.001)
        let most = try #require(histogram.quantile(0.7))
        #expect(most > 0.0054 && most < 0.0056)
        // Nothing is known above the last bound.
        #expect(histogram.quantile(0.99) == 0.01)
        #expect(histogram.since(histogram).quantile(0.5) == nil)
        #expect(Histogram(nil) == nil)
    }

    @Test func aNodeThatBeganAnewHasNoPast() throws {
        let long = try #require(Histogram(Metrics(text)["martlet_sync_seconds"]))
        let short = try #require(
            Histogram(
                Metrics(text.replacing(" 100", with: " 7").replacing(" 90", with: " 7"))[
                    "martlet_sync_seconds"]))
        #expect(short.since(long).count == 7)
        #expect(long.since(short).count == 93)
    }

    @Test(arguments: [
        ("martlet_requests_total", "requests", true), ("martlet_requests_total", "martlet_*_total", true),
        ("martlet_requests_total", "request", true), ("martlet_requests_total", "requests*", false),
        ("martlet_requests_total", "*?", true), ("abc", "a?c", true), ("abc", "a?", false), ("", "*", true),
        ("aab", "*ab", true), ("mississippi", "m*iss*pi", true), ("mississippi", "m*iss*pie", false),
    ])
    func patterns(name: String, pattern: String, isMatch: Bool) {
        #expect(matches(name, pattern: pattern) == isMatch)
    }

    @Test func nodesSideBySide() {
        let other = text.replacing("12", with: "7").replacing("{op=\"write\"", with: "{op=\"other\"")
        let columns: [MetricsReport.Column] = [
            .init(node: "n1", metrics: Metrics(text)), .init(node: "n2", metrics: Metrics(other)),
        ]
        let names = MetricsReport.names(Metrics(text).families, ["requests", "sync"])
        let table = MetricsReport.text(
            columns, names, columnsMax: nil, palette: Palette(isColoured: false))
        #expect(
            table == """
                metric                      labels                        n1       n2
                martlet_requests_total      op=read                       12        7
                martlet_requests_total      op=write why=a "b\\, }\\n        3        -
                martlet_requests_total      op=other why=a "b\\, }\\n        -        3
                martlet_sync_seconds count                               100      100
                martlet_sync_seconds mean                            5.00 ms  5.00 ms
                martlet_sync_seconds p50                             1.00 ms  1.00 ms
                martlet_sync_seconds p99                             10.0 ms  10.0 ms

                """)
        let json = MetricsReport.json(columns, ["martlet_odd"]).description
        #expect(json.contains(#""samples":[{"name":"martlet_odd","labels":{},"value":null}]"#))
    }

    @Test func infoHasSections() {
        let sections = InfoReport.sections("# Server\r\nredis_version:7.0.15\r\nodd\r\n\r\n# CPU\r\n")
        #expect(sections.map(\.name) == ["Server", "CPU"])
        #expect(
            InfoReport.json(sections, of: "n1").description
                == #"{"format":1,"node":"n1","sections":{"server":{"redis_version":"7.0.15","odd":""},"#
                + #""cpu":{}}}"#
        )
        #expect(
            InfoReport.text(sections, Palette(isColoured: false))
                == "# Server\nredis_version:7.0.15\nodd:\n\n# CPU\n")
    }
}
