import MartletBase
import MartletNode
import MartletRing

/// A request that a session has handed to the core.
struct AskedRequest {
    enum Kind: Int, CaseIterable {
        case read, write, scan, define

        init(_ operation: ClientRequest.Operation) {
            switch operation {
            case .get, .getLocal: self = .read
            case .put: self = .write
            case .scan: self = .scan
            case .change, .ring: self = .define
            }
        }
    }

    let kind: Kind
    let level: ConsistencyLevel
    let began: Instant
}

/// What became of the requests of sessions to the core, by what was asked at which level, and how long they
/// took. A command of many keys is many of them, and one that reads before it writes is two.
///
/// Labels are bounded: 4 kinds, 9 levels, 10 outcomes; and only what has happened is shown.
struct RequestCounters {
    private static let levels = ConsistencyLevel.allCases.count
    private static let outcomes = CommandOutcome.allCases.count

    private var counts = [UInt64](
        repeating: 0, count: AskedRequest.Kind.allCases.count * levels * outcomes)
    /// By kind and level; made when there is something to count.
    private var latencies = [LatencyHistogram?](
        repeating: nil, count: AskedRequest.Kind.allCases.count * levels)
    /// Reads of clients' commands that found a value, and that found none.
    private(set) var hits: UInt64 = 0
    private(set) var misses: UInt64 = 0

    mutating func count(_ asked: AskedRequest, _ reply: ClientReply, now: Instant) {
        var outcome = CommandOutcome.done
        if case .failed(let failure) = reply { outcome = CommandOutcome(failure) }
        let place = asked.kind.rawValue * Self.levels + Int(asked.level.rawValue)
        counts[place * Self.outcomes + outcome.rawValue] += 1
        if latencies[place] == nil { latencies[place] = LatencyHistogram() }
        latencies[place]?.add(now - asked.began)
    }

    mutating func countRead(found: Bool) {
        if found { hits += 1 } else { misses += 1 }
    }

    var families: [MetricFamily] {
        var requests: [MetricSample] = []
        var seconds: [MetricSample] = []
        for kind in AskedRequest.Kind.allCases {
            for level in ConsistencyLevel.allCases {
                let place = kind.rawValue * Self.levels + Int(level.rawValue)
                let labels: [MetricSample.Label] = [
                    .init("op", "\(kind)"), .init("level", level.description),
                ]
                for outcome in CommandOutcome.allCases {
                    let count = counts[place * Self.outcomes + outcome.rawValue]
                    if count == 0 { continue }
                    requests.append(
                        MetricSample(Double(count), labels: labels + [.init("outcome", outcome.label)]))
                }
                if let histogram = latencies[place] { seconds += histogram.samples(labels: labels) }
            }
        }
        return [
            MetricFamily(
                .counter, "martlet_client_requests_total",
                "Requests that commands of clients made of this node, by kind, level and outcome.", requests),
            MetricFamily(
                .histogram, "martlet_client_request_seconds",
                "Time from a request of a client's command to its outcome, by kind and level.", seconds),
            .counter("martlet_keyspace_hits_total", "Reads of clients that found a value.", hits),
            .counter("martlet_keyspace_misses_total", "Reads of clients that found no value.", misses),
        ]
    }
}
