import MartletBase
import Testing
import martlet

@Suite struct TopTests {
    private let plain = Palette(isColoured: false)

    /// `requests` of which a tenth took long, and as many SETs.
    private func metrics(_ requests: Int, latency: String? = "command=\"set\"") -> Metrics {
        var text = """
            # TYPE martlet_requests_total counter
            martlet_requests_total{op="read"} 0
            martlet_requests_total{op="write"} \(requests)
            # TYPE martlet_commands_total counter
            martlet_commands_total{command="set",outcome="ok"} \(requests)
            martlet_commands_total{command="set",outcome="timeout"} \(requests / 10)
            martlet_clients 3

            """
        if let latency {
            text += """
                # TYPE martlet_request_seconds histogram
                martlet_request_seconds_bucket{\(latency),le="0.001"} \(requests * 9 / 10)
                martlet_request_seconds_bucket{\(latency),le="0.1"} \(requests)
                martlet_request_seconds_bucket{\(latency),le="+Inf"} \(requests)
                martlet_request_seconds_sum{\(latency)} 1
                martlet_request_seconds_count{\(latency)} \(requests)

                """
        }
        return Metrics(text)
    }

    private func reading(_ seconds: Int64, _ nodes: [(String, Metrics?)]) -> TopReading {
        TopReading(
            at: Instant(nanoseconds: seconds * 1_000_000_000), cluster: "martlet", asked: "n1",
            nodes: nodes.map { name, metrics in
                .init(
                    name: name, liveness: metrics == nil ? "down" : "up", state: "normal", metrics: metrics,
                    memoryBytes: metrics == nil ? nil : 1024)
            })
    }

    @Test func ratesAndLatenciesAreOfTheInterval() throws {
        let sample = TopSample(
            reading(10, [("n1", metrics(100)), ("n2", metrics(1_000))]),
            reading(12, [("n1", metrics(300)), ("n2", metrics(1_000)), ("n3", nil)]))
        let first = try #require(sample.nodes.first)
        #expect(first.figures[.operations] == 100 && first.figures[.writes] == 100)
        #expect(first.figures[.reads] == 0 && first.figures[.errors] == 10)
        #expect(first.figures[.clients] == 3 && first.figures[.memory] == 1024)
        #expect(first.figures[.compaction] == nil && first.figures[.hits] == nil)
        let half = try #require(first.figures[.p50])
        let most = try #require(first.figures[.p99])
        #expect(half > 0.5 && half < 0.6 && most > 90 && most < 91)
        #expect(sample.nodes[1].figures[.operations] == 0 && sample.nodes[1].figures[.p99] == nil)
        #expect(sample.nodes[2].figures.isEmpty && sample.nodes[2].liveness == "down")
        let command = try #require(sample.commands.first)
        #expect(sample.commands.map(\.name) == ["set"])
        #expect(command.figures[.total] == 1_430 && command.figures[.operations] == 110)
        #expect(command.figures[.p99] == most)
    }

    @Test func aRestartOrAMissingFamilyIsNoFigure() {
        let restarted = TopSample(
            reading(1, [("n1", metrics(100))]), reading(2, [("n1", metrics(10, latency: nil))]))
        #expect(restarted.nodes[0].figures[.operations] == nil)
        #expect(restarted.nodes[0].figures[.p50] == nil)
        #expect(TopSample(reading(1, []), reading(2, [("n1", metrics(1))])).nodes[0].figures[.writes] == nil)
    }

    @Test func latenciesByOperationHaveRowsOfTheirOwn() {
        let sample = TopSample(
            reading(1, [("n1", metrics(0, latency: "op=\"write\""))]),
            reading(2, [("n1", metrics(100, latency: "op=\"write\""))]))
        #expect(sample.commands.map(\.name) == ["(writes)", "set"])
        #expect(sample.commands[0].figures[.operations] == 100)
        #expect(sample.commands[1].figures[.p99] == nil)
    }

    @Test func latenciesOfCommandsStandInForThoseOfRequests() throws {
        func read(_ requests: Int) -> Metrics {
            let text = [
                "bucket{command=\"get\",le=\"0.002\"}", "bucket{command=\"get\",le=\"+Inf\"}",
                "count{command=\"get\"}",
            ].map { "martlet_command_seconds_\($0) \(requests)\n" }.joined()
            return Metrics("# TYPE martlet_command_seconds histogram\n" + text)
        }
        let sample = TopSample(reading(1, [("n1", read(10))]), reading(2, [("n1", read(20))]))
        #expect(sample.nodes[0].figures[.p50] == 1)
        #expect(sample.commands.map(\.name) == ["get"])
        #expect(sample.commands[0].figures[.p50] == 1 && sample.commands[0].figures[.operations] == 10)
    }

    @Test func scansDoNotCountAmongANodesLatencies() {
        func read(_ requests: Int) -> Metrics {
            let text = [("read", "0.002"), ("scan", "9.0")].map { op, bound in
                "martlet_client_request_seconds_bucket{op=\"\(op)\",le=\"\(bound)\"} \(requests)\n"
            }.joined()
            return Metrics("# TYPE martlet_client_request_seconds histogram\n" + text)
        }
        let sample = TopSample(reading(1, [("n1", read(0))]), reading(2, [("n1", read(20))]))
        #expect(sample.nodes[0].figures[.p99].map { $0 < 2 } == true)
        #expect(sample.commands.map(\.name) == ["(reads)", "(scans)"])
    }

    @Test func ordersAndKeys() {
        let keys = TopSample.Column.allCases.map(TopView.key)
        #expect(Set(keys).count == keys.count && !keys.contains("q"))
        for column in TopSample.Column.allCases {
            #expect(TopView.column(ofKey: TopView.key(of: column)) == column)
        }
        #expect(TopView.column(ofKey: "x") == nil)
        var view = TopView()
        let sample = TopSample(
            reading(1, [("n1", metrics(0)), ("n2", metrics(0)), ("n3", metrics(0))]),
            reading(2, [("n1", metrics(1)), ("n2", metrics(3)), ("n3", nil)]))
        func order() -> [String] {
            let lines = view.text(sample, columnsMax: nil, palette: plain).split(separator: "\n")
            return lines.filter { $0.hasPrefix("n") && $0.dropFirst().first?.isNumber == true }.map {
                String($0.prefix(2))
            }
        }
        #expect(order() == ["n1", "n2", "n3"])
        view.choose(.operations)
        #expect(order() == ["n2", "n1", "n3"])
        view.choose(.operations)
        #expect(order() == ["n3", "n1", "n2"])
        view.choose(.liveness)
        #expect(order() == ["n3", "n1", "n2"])
    }

    @Test(arguments: [20, 40, 80, 200], [4, 10, 40])
    func theLiveViewFitsItsWindow(columns: Int, rows: Int) {
        let nodes = (1...30).map { ("n\($0)", metrics($0)) }
        let sample = TopSample(reading(1, nodes), reading(2, nodes))
        let lines = TopView().lines(sample, columns: columns, rows: rows, palette: plain)
        #expect(lines.count == rows)
        for line in lines { #expect(line.count <= columns, "\(line)") }
        #expect(lines.contains { $0.hasPrefix("q quits") })
    }

    @Test func aSampleAsJSON() {
        let sample = TopSample(reading(1, [("n1", metrics(0))]), reading(2, [("n1", metrics(5))]))
        let json = sample.json(at: 1_795_213_178_771)
        #expect(json["time"]?.text == "2026-11-20T22:19:38.771Z")
        #expect(json["nodes"]?.elements[0]["writes_per_s"] == .number("5"))
        #expect(json["nodes"]?.elements[0]["sync_p99_ms"] == .null)
        #expect(json["commands"]?.elements[0]["name"]?.text == "set")
    }
}
