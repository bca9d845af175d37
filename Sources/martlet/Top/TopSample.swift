import MartletBase
import MartletConfig

/// What `top` shows: the difference of two readings, a row a node and a row a command. A figure whose metric
/// a node doesn't have is missing, and shown as `-`.
package struct TopSample: Sendable {
    package enum Column: String, CaseIterable, Sendable {
        case name, liveness
        case operations = "operations_per_s"
        case reads = "reads_per_s"
        case writes = "writes_per_s"
        case errors = "errors_per_s"
        case p50 = "p50_ms"
        case p99 = "p99_ms"
        case inFlight = "in_flight"
        case clients
        case compaction = "compaction_pending_bytes"
        case sync = "sync_p99_ms"
        case hits = "cache_hit_percent"
        case memory = "memory_bytes"
        case stored = "stored_bytes"
        case uptime = "uptime_s"
        case total

        package static let ofNodes = allCases.filter { $0 != .total }
        package static let ofCommands: [Column] = [.name, .operations, .errors, .p50, .p99, .total]
    }

    package struct Row: Sendable {
        package let name: String
        package var liveness: String?
        package var state: String?
        package var figures: [Column: Double] = [:]

        package init(name: String, liveness: String? = nil, state: String? = nil) {
            self.name = name
            self.liveness = liveness
            self.state = state
        }
    }

    package let cluster: String
    package let asked: String?
    package let interval: Interval
    package private(set) var nodes: [Row] = []
    package private(set) var commands: [Row] = []

    package init(_ earlier: TopReading, _ later: TopReading) {
        cluster = later.cluster
        asked = later.asked
        interval = later.at - earlier.at
        let before = Dictionary(
            earlier.nodes.compactMap { node in node.metrics.map { (node.name, $0) } },
            uniquingKeysWith: { first, _ in first })
        let seconds = max(interval.seconds, 1e-3)
        for node in later.nodes {
            nodes.append(Self.row(node, since: before[node.name], seconds: seconds))
        }
        commands = Self.commands(later, before, seconds: seconds)
    }

    // MARK: Nodes

    private static func row(_ node: TopReading.Node, since before: Metrics?, seconds: Double) -> Row {
        var row = Row(name: node.name, liveness: node.liveness, state: node.state)
        row.figures[.stored] = node.storedBytes
        row.figures[.memory] = node.memoryBytes
        row.figures[.uptime] = node.uptimeSeconds
        guard let metrics = node.metrics else { return row }
        func rate(_ family: String, _ matches: (Metrics.Sample) -> Bool = { _ in true }) -> Double? {
            guard let now = metrics.total(family, where: matches), let before,
                let then = before.total(family, where: matches), now >= then
            else { return nil }
            return (now - then) / seconds
        }
        row.figures[.operations] = rate("martlet_requests_total")
        row.figures[.reads] = rate("martlet_requests_total") { $0.label("op") == "read" }
        row.figures[.writes] = rate("martlet_requests_total") { $0.label("op") == "write" }
        row.figures[.errors] = rate("martlet_commands_total") { $0.label("outcome") != "ok" }
        row.figures[.inFlight] = metrics.total("martlet_requests_in_flight")
        row.figures[.clients] = metrics.total("martlet_clients")
        row.figures[.compaction] = metrics.total("martlet_storage_compaction_pending_bytes")
        func latencies(_ family: String) -> Histogram? {
            // A scan may take as long as it likes.
            func isOne(_ sample: Metrics.Sample) -> Bool { sample.label("op") != "scan" }
            return Histogram(metrics[family], where: isOne)?.since(Histogram(before?[family], where: isOne))
        }
        set(&row, .p50, .p99, latencyFamilies.lazy.compactMap(latencies).first)
        row.figures[.sync] = latencies("martlet_storage_sync_seconds")?.quantile(0.99).map { $0 * 1_000 }
        if let hits = rate("martlet_storage_record_cache_hits_total"),
            let misses = rate("martlet_storage_record_cache_misses_total"), hits + misses > 0
        {
            row.figures[.hits] = 100 * hits / (hits + misses)
        }
        return row
    }

    /// What reads and writes took; else what commands took.
    private static let latencyFamilies = [
        "martlet_client_request_seconds", "martlet_request_seconds", "martlet_command_seconds",
    ]

    private static func set(_ row: inout Row, _ half: Column, _ most: Column, _ histogram: Histogram?) {
        row.figures[half] = histogram?.quantile(0.5).map { $0 * 1_000 }
        row.figures[most] = histogram?.quantile(0.99).map { $0 * 1_000 }
    }

    // MARK: Commands

    /// Of all nodes together. A latency may be kept by command, or by kind of request only: then reads and
    /// writes have rows of their own.
    private static func commands(
        _ later: TopReading, _ before: [String: Metrics], seconds: Double
    ) -> [Row] {
        var rows: [String: Row] = [:]
        var histograms: [String: Histogram] = [:]
        for node in later.nodes {
            guard let metrics = node.metrics, let then = before[node.name] else { continue }
            for sample in metrics["martlet_commands_total"]?.samples ?? [] {
                guard let command = sample.label("command") else { continue }
                let earlier = then["martlet_commands_total"]?.samples.first { $0.labels == sample.labels }
                let delta = sample.value - (earlier?.value ?? 0)
                var row = rows[command] ?? Row(name: command)
                row.figures[.total, default: 0] += sample.value
                row.figures[.operations, default: 0] += max(0, delta) / seconds
                let isError = sample.label("outcome") != "ok"
                row.figures[.errors, default: 0] += isError ? max(0, delta) / seconds : 0
                rows[command] = row
            }
            guard let family = latencyFamilies.last(where: { metrics[$0] != nil }) else { continue }
            for (label, recent) in recent(metrics[family], since: then[family]) {
                histograms[label]?.add(recent)
                if histograms[label] == nil { histograms[label] = recent }
            }
        }
        for (name, histogram) in histograms {
            var row = rows[name] ?? Row(name: name)
            if row.figures[.operations] == nil { row.figures[.operations] = histogram.count / seconds }
            set(&row, .p50, .p99, histogram)
            rows[name] = row
        }
        return rows.values.sorted { $0.name < $1.name }
    }

    /// By what tells them from each other.
    private static func recent(
        _ now: Metrics.Family?, since then: Metrics.Family?
    ) -> [(kind: String, histogram: Histogram)] {
        var kinds: [String] = []
        for sample in now?.samples ?? [] {
            if let kind = kind(sample), !kinds.contains(kind) { kinds.append(kind) }
        }
        return kinds.compactMap { wanted in
            Histogram(now) { kind($0) == wanted }.map { all in
                (wanted, all.since(Histogram(then) { kind($0) == wanted }))
            }
        }
    }

    private static func kind(_ sample: Metrics.Sample) -> String? {
        sample.label("command") ?? sample.label("op").map { "(\($0)s)" }
    }

    // MARK: Order and JSON

    /// The greatest figure first, missing ones last, names where figures are equal.
    package static func sorted(_ rows: [Row], by column: Column, isReversed: Bool) -> [Row] {
        let sorted = rows.sorted { a, b in
            switch column {
            case .name: return a.name < b.name
            case .liveness:
                // What isn't up is what one looks for.
                let (first, second) = (a.liveness ?? "", b.liveness ?? "")
                return first != second ? first < second : a.name < b.name
            default:
                let (first, second) = (a.figures[column] ?? -.infinity, b.figures[column] ?? -.infinity)
                return first != second ? first > second : a.name < b.name
            }
        }
        return isReversed ? sorted.reversed() : sorted
    }

    package func json(at milliseconds: Int64) -> JSONValue {
        func object(_ row: Row, _ columns: [Column]) -> JSONValue {
            .object(
                columns.map { column in
                    switch column {
                    case .name: ("name", .string(row.name))
                    case .liveness: ("liveness", .optional(row.liveness))
                    default: (column.rawValue, .finite(row.figures[column].map(Self.rounded)))
                    }
                })
        }
        return .object([
            ("format", .integer(1)), ("time", .string(Quantities.utc(milliseconds: milliseconds))),
            ("interval_s", .finite(Self.rounded(interval.seconds))), ("cluster", .string(cluster)),
            ("asked", .optional(asked)), ("nodes", .array(nodes.map { object($0, Column.ofNodes) })),
            ("commands", .array(commands.map { object($0, Column.ofCommands) })),
        ])
    }

    private static func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
}
