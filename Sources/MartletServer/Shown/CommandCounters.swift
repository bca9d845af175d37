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

    var label: String {
        switch self {
        case .tooLarge: "toolarge"
        case .badContext: "badcontext"
        case .done: "ok"
        default: "\(self)"
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
        case .loading: self = .loading
        case .stopping: self = .stopping
        case .noSuchKeyspace, .badLevel, .localRead: self = .error
        }
    }

    /// By the error's prefix.
    init(error text: [UInt8]) {
        switch String(decoding: text.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self) {
        case "TOOLARGE": self = .tooLarge
        case "BADCONTEXT": self = .badContext
        case "LOADING": self = .loading
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
    private(set) var total: UInt64 = 0
    private(set) var errors: UInt64 = 0

    private var protocolErrors: [(label: String, count: UInt64)] = []
    package internal(set) var bytesRead: UInt64 = 0
    package internal(set) var bytesWritten: UInt64 = 0
    package internal(set) var clientsAccepted: UInt64 = 0
    package internal(set) var clientsRefused: UInt64 = 0
    /// Clients that left more than `client_output_max` unread.
    package internal(set) var cutForOutput: UInt64 = 0

    mutating func count(_ row: Int, _ outcome: CommandOutcome) {
        let place = row == Self.noRow ? CommandTable.shared.rows.count : row
        counts[place * Self.outcomes + outcome.rawValue] += 1
        total += 1
        if outcome != .done { errors += 1 }
    }

    mutating func count(_ error: ProtocolError) {
        let label = Self.label(error)
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
