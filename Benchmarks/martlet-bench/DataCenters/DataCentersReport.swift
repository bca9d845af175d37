/// What one level costs, in milliseconds.
package struct DataCentersResult: Sendable {
    package struct Load: Sendable {
        package let p50: Double
        package let p99: Double
        package let perSecond: Double

        package init(p50: Double, p99: Double, perSecond: Double) {
            self.p50 = p50
            self.p99 = p99
            self.perSecond = perSecond
        }
    }

    package let level: String
    package let reads: Load
    package let writes: Load

    package init(level: String, reads: Load, writes: Load) {
        self.level = level
        self.reads = reads
        self.writes = writes
    }
}

/// Results of datacenters as text, Markdown and JSON.
package struct DataCentersReport: Sendable {
    package let results: [DataCentersResult]

    package init(results: [DataCentersResult]) { self.results = results }

    static let table = ReportTable<DataCentersResult>(
        label: .init("level", 14) { $0.level },
        [
            .init("get p50, ms", 13) { decimal($0.reads.p50, digits: 1) },
            .init("p99, ms", 9) { decimal($0.reads.p99, digits: 1) },
            .init("gets/s", 9) { grouped($0.reads.perSecond) },
            .init("set p50, ms", 13) { decimal($0.writes.p50, digits: 1) },
            .init("p99, ms", 9) { decimal($0.writes.p99, digits: 1) },
            .init("sets/s", 9) { grouped($0.writes.perSecond) },
        ])

    package var markdown: String { Self.table.markdown(results) }

    package var json: JSON {
        func load(_ load: DataCentersResult.Load) -> JSON {
            .object([
                ("p50_ms", .number(load.p50)), ("p99_ms", .number(load.p99)),
                ("per_second", .number(load.perSecond)),
            ])
        }
        return .object([
            ("format", .integer(1)),
            (
                "levels",
                .array(
                    results.map {
                        .object([
                            ("level", .string($0.level)), ("reads", load($0.reads)),
                            ("writes", load($0.writes)),
                        ])
                    })
            ),
        ])
    }
}
