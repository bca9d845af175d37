import MartletBase
import MartletNode
import MartletRESP

/// What became of a command.
enum CommandOutcome: Int, CaseIterable {
    case done
    /// An error in what the client sent.
    case error
    case unavailable
    case timeout
    case overloaded
    case skew
    case tooLarge
    case badContext
    case loading
    case stopping
    case noProtocol
    case wrongPassword
    case siblings
    case tooManySiblings

    var label: String {
        switch self {
        case .tooLarge: "toolarge"
        case .badContext: "badcontext"
        case .tooManySiblings: "toomanysiblings"
        case .noProtocol: "noproto"
        case .wrongPassword: "wrongpass"
        case .done: "ok"
        default: "\(self)"
        }
    }

    /// The first word of its error replies; nil when there is none.
    var prefix: String? {
        switch self {
        case .done: nil
        case .error: "ERR"
        default: label.uppercased()
        }
    }

    init(_ failure: OperationFailure) {
        switch failure {
        case .request(let failure): self.init(failure)
        case .refused(let text): self.init(error: Array(text.utf8))
        }
    }

    init(_ failure: RequestFailure) {
        switch failure {
        case .unavailable: self = .unavailable
        case .timeout: self = .timeout
        case .overloaded: self = .overloaded
        case .skew: self = .skew
        case .siblings: self = .tooManySiblings
        case .loading: self = .loading
        case .stopping: self = .stopping
        case .noSuchKeyspace, .keyspace, .badLevel, .ringAct, .localRead: self = .error
        }
    }

    /// By the error's prefix.
    init(error text: [UInt8]) {
        switch String(decoding: text.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self) {
        case "TOOLARGE": self = .tooLarge
        case "BADCONTEXT": self = .badContext
        case "SIBLINGS": self = .siblings
        case "LOADING": self = .loading
        case "NOPROTO": self = .noProtocol
        case "WRONGPASS": self = .wrongPassword
        default: self = .error
        }
    }
}

/// Counts of what clients asked and how it ended, since the start.
package struct CommandCounters: Sendable {
    /// For what is no command.
    static let noRow = -1

    private static let outcomes = CommandOutcome.allCases.count
    /// By row and outcome; the last row is `noRow`.
    private var counts = [UInt64](
        repeating: 0, count: (CommandTable.shared.rows.count + 1) * CommandCounters.outcomes)
    private var rejected = [UInt64](repeating: 0, count: CommandTable.shared.rows.count)
    private var latencies = [LatencyHistogram](
        repeating: LatencyHistogram(), count: CommandTable.shared.rows.count)
    private(set) var total: UInt64 = 0
    private(set) var errors: UInt64 = 0

    private var protocolErrors: [(label: String, count: UInt64)] = []
    package internal(set) var bytesRead: UInt64 = 0
    package internal(set) var bytesWritten: UInt64 = 0
    package internal(set) var clientsAccepted: UInt64 = 0
    package internal(set) var clientsRefused: UInt64 = 0
    /// Clients that left more than `client_output_max` unread.
    package internal(set) var cutForOutput: UInt64 = 0

    /// - Parameter taking: from the command's coming to its reply, as the loop's clock saw it: nothing, for
    ///   what is answered at once.
    mutating func count(_ row: Int, _ outcome: CommandOutcome, taking taken: Interval = .zero) {
        let place = row == Self.noRow ? CommandTable.shared.rows.count : row
        counts[place * Self.outcomes + outcome.rawValue] += 1
        total += 1
        if outcome != .done { errors += 1 }
        if row != Self.noRow { latencies[row].add(taken) }
    }

    /// A command with the wrong number of arguments, which isn't carried out. It is counted as an error too.
    mutating func countRejected(_ row: Int) { rejected[row] += 1 }

    mutating func count(_ error: ProtocolError) { countBadInput(Self.label(error)) }

    /// What ends a connection because no client of Redis's sends it.
    mutating func countBadInput(_ label: String) {
        if let index = protocolErrors.firstIndex(where: { $0.label == label }) {
            protocolErrors[index].count += 1
        } else {
            protocolErrors.append((label, 1))
            protocolErrors.sort { $0.label < $1.label }
        }
    }

    private static func label(_ error: ProtocolError) -> String {
        switch error {
        case .invalidMultibulkLength: "multibulk_length"
        case .invalidBulkLength: "bulk_length"
        case .unauthenticatedMultibulkLength, .unauthenticatedBulkLength: "unauthenticated_length"
        case .expectedDollar: "expected_dollar"
        case .unbalancedQuotes: "unbalanced_quotes"
        case .tooBigInlineRequest: "inline_length"
        case .tooBigMultibulkCount, .tooBigBulkCount: "length_line"
        }
    }

    // MARK: INFO

    /// `cmdstat_` and `latency_percentiles_usec_` lines of the commands that were asked, since `baseline`.
    func commandLines(since baseline: CommandCounters) -> [(String, String)] {
        CommandTable.shared.rows.indices.compactMap { row in
            let all = counted(row) - baseline.counted(row)
            if all == 0 { return nil }
            let rejected = rejected[row] - baseline.rejected[row]
            let failed = all - (counted(row, .done) - baseline.counted(row, .done)) - rejected
            let calls = all - rejected
            let microseconds = (latencies[row].sum - baseline.latencies[row].sum).microseconds
            let mean = calls == 0 ? 0 : Double(microseconds) / Double(calls)
            return (
                "cmdstat_\(CommandTable.shared.rows[row].name)",
                "calls=\(calls),usec=\(microseconds),usec_per_call=\(decimals(mean, 2)),"
                    + "rejected_calls=\(rejected),failed_calls=\(failed)"
            )
        }
    }

    /// Since the start: percentiles can't be taken from each other.
    var latencyLines: [(String, String)] {
        CommandTable.shared.rows.indices.compactMap { row in
            guard latencies[row].count > 0 else { return nil }
            let percentiles = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)].map { name, share in
                let bound = latencies[row].percentile(share) ?? .zero
                return "\(name)=\(decimals(Double(bound.nanoseconds) / 1_000, 3))"
            }
            return (
                "latency_percentiles_usec_\(CommandTable.shared.rows[row].name)",
                percentiles.joined(separator: ",")
            )
        }
    }

    /// By the first word of the error, in the order of words.
    func errorLines(since baseline: CommandCounters) -> [(String, String)] {
        let lines = CommandOutcome.allCases.compactMap { outcome -> (String, String)? in
            guard let prefix = outcome.prefix else { return nil }
            let places = 0...CommandTable.shared.rows.count
            let count = places.reduce(UInt64(0)) {
                $0 + counted($1, outcome) - baseline.counted($1, outcome)
            }
            return count == 0 ? nil : ("errorstat_\(prefix)", "count=\(count)")
        }
        return lines.sorted { $0.0 < $1.0 }
    }

    private func counted(_ place: Int, _ outcome: CommandOutcome) -> UInt64 {
        counts[place * Self.outcomes + outcome.rawValue]
    }

    private func counted(_ place: Int) -> UInt64 {
        CommandOutcome.allCases.reduce(0) { $0 + counted(place, $1) }
    }

    // MARK: Metrics

    func families(clients: Int) -> [MetricFamily] {
        var commands: [MetricSample] = []
        let rows = CommandTable.shared.rows
        for place in 0...rows.count {
            for outcome in CommandOutcome.allCases {
                let count = counts[place * Self.outcomes + outcome.rawValue]
                if count == 0 { continue }
                commands.append(
                    MetricSample(
                        Double(count),
                        labels: [
                            .init("command", place == rows.count ? "unknown" : rows[place].name),
                            .init("outcome", outcome.label),
                        ]))
            }
        }
        return [
            MetricFamily(
                .counter, "martlet_commands_total", "Commands of Redis clients, by name and outcome.",
                commands),
            MetricFamily(
                .histogram, "martlet_command_seconds",
                "Time from the coming of a command to its reply, by name, for commands that were asked.",
                rows.indices.flatMap { row in
                    latencies[row].count == 0
                        ? [] : latencies[row].samples(labels: [.init("command", rows[row].name)])
                }),
            MetricFamily(
                .counter, "martlet_protocol_errors_total",
                "Connections ended because of bytes that are no request, by kind.",
                protocolErrors.map { MetricSample(Double($0.count), labels: [.init("kind", $0.label)]) }),
            .gauge("martlet_clients", "Connected Redis clients.", Double(clients)),
            .counter("martlet_clients_accepted_total", "Redis clients that connected.", clientsAccepted),
            .counter(
                "martlet_clients_refused_total", "Connections refused because of clients_max.", clientsRefused
            ),
            .counter(
                "martlet_clients_cut_total", "Clients cut off because they left client_output_max unread.",
                cutForOutput),
            .counter("martlet_client_received_bytes_total", "Bytes that Redis clients sent.", bytesRead),
            .counter("martlet_client_sent_bytes_total", "Bytes of replies to Redis clients.", bytesWritten),
        ]
    }
}

/// With exactly so many digits behind the point.
func decimals(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int64((max(0, value) * scale).rounded())
    let rest = String(scaled % Int64(scale))
    return "\(scaled / Int64(scale))." + String(repeating: "0", count: digits - rest.count) + rest
}
