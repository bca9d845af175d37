/// One number of a metric, with what tells it from its siblings.
package struct MetricSample: Sendable {
    package struct Label: Hashable, Sendable {
        package let name: StaticString
        package let value: String

        package init(_ name: StaticString, _ value: String) {
            self.name = name
            self.value = value
        }

        package static func == (a: Label, b: Label) -> Bool {
            a.name.description == b.name.description && a.value == b.value
        }

        package func hash(into hasher: inout Hasher) {
            hasher.combine(name.description)
            hasher.combine(value)
        }
    }

    /// `_bucket`, `_sum` or `_count` in a histogram; else nothing.
    package let suffix: String
    package let labels: [Label]
    package let value: Double

    package init(_ value: Double, labels: [Label] = [], suffix: String = "") {
        self.suffix = suffix
        self.labels = labels
        self.value = value
    }
}

/// A metric: a name, what it means and its samples. What MARTLET METRICS and /metrics show is a list of
/// these.
///
/// Names follow Prometheus: `martlet_` first, base units (seconds, bytes), the unit and then `_total` last.
/// Samples are in an order that doesn't change from one scrape to the next.
package struct MetricFamily: Sendable {
    package enum Kind: String, Sendable {
        /// Only rises, from the process's start.
        case counter
        case gauge
        case histogram
    }

    package let name: String
    /// A sentence without a line end.
    package let help: String
    package let kind: Kind
    package var samples: [MetricSample]

    package init(_ kind: Kind, _ name: String, _ help: String, _ samples: [MetricSample]) {
        self.kind = kind
        self.name = name
        self.help = help
        self.samples = samples
    }

    package static func counter(_ name: String, _ help: String, _ value: UInt64) -> MetricFamily {
        MetricFamily(.counter, name, help, [MetricSample(Double(value))])
    }

    package static func gauge(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        MetricFamily(.gauge, name, help, [MetricSample(value)])
    }

    package static func histogram(
        _ name: String, _ help: String, _ latencies: LatencyHistogram
    ) -> MetricFamily {
        MetricFamily(.histogram, name, help, latencies.samples())
    }
}
