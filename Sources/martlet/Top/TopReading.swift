import MartletBase
import MartletConfig
import MartletRESP

/// What the nodes of a cluster said of themselves at one time.
package struct TopReading: Sendable {
    package struct Node: Sendable {
        package let name: String
        /// As the first node that answered sees it.
        package let liveness: String
        package let state: String?
        /// Nil when it did not answer.
        package let metrics: Metrics?
        package let storedBytes: Double?
        package let memoryBytes: Double?
        package let uptimeSeconds: Double?

        package init(
            name: String, liveness: String, state: String? = nil, metrics: Metrics? = nil,
            storedBytes: Double? = nil, memoryBytes: Double? = nil, uptimeSeconds: Double? = nil
        ) {
            self.name = name
            self.liveness = liveness
            self.state = state
            self.metrics = metrics
            self.storedBytes = storedBytes
            self.memoryBytes = memoryBytes
            self.uptimeSeconds = uptimeSeconds
        }
    }

    package let at: Instant
    package let cluster: String
    /// The node whose view of the others this is.
    package let asked: String?
    package let nodes: [Node]

    package init(at: Instant, cluster: String, asked: String?, nodes: [Node]) {
        self.at = at
        self.cluster = cluster
        self.asked = asked
        self.nodes = nodes
    }
}

/// Asks the nodes of a cluster again and again. It begins with those that are known, and goes by what they
/// say of the others from then on, so that a node that joins shows up and one that dies doesn't end it.
struct TopSource {
    private let group = NodeGroup()
    private var known: [Endpoint]
    private let requests = [
        [Blob("MARTLET"), Blob("STATUS")], [Blob("MARTLET"), Blob("METRICS")],
        [Blob("INFO"), Blob("memory")],
    ]
    private static let answerWithin = Interval.seconds(1)

    init(_ known: [Endpoint]) { self.known = known }

    /// Nil when no node answers.
    mutating func read() -> TopReading? {
        let answers = group.ask(known, requests, within: Self.answerWithin)
        let at = Clock.now
        var views: [(status: JSONValue, replies: [RESPValue])] = []
        for answer in answers {
            guard let replies = answer.replies, let text = replies[0].blob,
                let status = try? JSONReader.read(text.bytes).printableTexts
            else { continue }
            views.append((status, replies))
        }
        guard let first = views.first?.status else { return nil }
        let members = KnownNode.all(in: first)
        let nodes = members.map { member -> TopReading.Node in
            let entry = Self.entry(member.name, first)
            let state = entry?["state"]?.text
            guard let own = views.first(where: { $0.status["asked"]?.text == member.name }) else {
                return TopReading.Node(name: member.name, liveness: member.liveness, state: state)
            }
            let figures = Self.entry(member.name, own.status)
            return TopReading.Node(
                name: member.name, liveness: member.liveness, state: state,
                metrics: own.replies[1].blob?.text.map(Metrics.init),
                storedBytes: figures?["bytes"]?.double, memoryBytes: Self.memory(own.replies[2]),
                uptimeSeconds: figures?["uptime_s"]?.double)
        }
        // Those that are down are asked again once another node holds them for up: a dead machine answers
        // nothing, and would make every sample wait.
        let next = members.filter { $0.liveness != "down" }.compactMap(\.endpoint)
        if !next.isEmpty { known = next }
        return TopReading(
            at: at, cluster: first["cluster"]?.text ?? "-", asked: first["asked"]?.text, nodes: nodes)
    }

    private static func entry(_ name: String, _ status: JSONValue) -> JSONValue? {
        status["nodes"]?.elements.first { $0["name"]?.text == name }
    }

    private static func memory(_ info: RESPValue) -> Double? {
        let sections = InfoReport.sections(info.blob?.text ?? "")
        return sections.flatMap(\.lines).first { $0.name == "used_memory_rss" }.flatMap { Double($0.value) }
    }
}
