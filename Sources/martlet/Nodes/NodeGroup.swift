import MartletBase
import MartletConfig
import MartletRESP

/// Connections with many nodes, which are asked all at once: an answer takes as long as the slowest node, not
/// as long as all of them together. They stay open from one question to the next.
final class NodeGroup {
    struct Answer {
        let node: Endpoint
        /// One a request; nil when the node did not answer all of them.
        let replies: [RESPValue]?
        /// Why there are none.
        let problem: String?
    }

    private var links: [Endpoint: Connection] = [:]

    /// Answers in the order of the nodes. A dead machine, which doesn't even refuse, takes half the time from
    /// the others at most.
    func ask(_ nodes: [Endpoint], _ requests: [[Blob]], within interval: Interval) -> [Answer] {
        let deadline = Clock.now + interval
        let connected = Clock.now + interval / 2
        var problems: [Endpoint: String] = [:]
        var fresh: [Endpoint] = []
        func attempt(_ node: Endpoint, _ act: () throws(Connection.Problem) -> Void) {
            do throws(Connection.Problem) {
                try act()
            } catch {
                problems[node] = error.text
                links[node] = nil
            }
        }
        for node in nodes where links[node] == nil {
            fresh.append(node)
            attempt(node) { () throws(Connection.Problem) in links[node] = try Connection(beginning: node) }
        }
        for node in fresh {
            attempt(node) { () throws(Connection.Problem) in
                try links[node]?.finish(by: connected, within: interval / 2)
            }
        }
        for node in nodes {
            attempt(node) { () throws(Connection.Problem) in
                try links[node]?.post(requests, by: deadline, within: interval)
            }
        }
        return nodes.map { node in
            guard let link = links[node], problems[node] == nil else {
                return Answer(node: node, replies: nil, problem: problems[node])
            }
            do throws(Connection.Problem) {
                var replies: [RESPValue] = []
                for _ in requests { replies.append(try link.answer(by: deadline, within: interval)) }
                return Answer(node: node, replies: replies, problem: nil)
            } catch {
                // Late answers would be taken for those to the next question.
                links[node] = nil
                return Answer(node: node, replies: nil, problem: error.text)
            }
        }
    }
}

/// A node as another one's MARTLET STATUS has it.
struct KnownNode {
    let name: String
    let liveness: String
    /// Nil when it has no Redis port.
    let endpoint: Endpoint?

    var isUp: Bool { liveness == "up" }

    /// Of a status; those that are gone for good left out.
    static func all(in status: JSONValue) -> [KnownNode] {
        (status["nodes"]?.elements ?? []).compactMap { node in
            guard let name = node["name"]?.text, let host = node["address"]?.text else { return nil }
            let state = node["state"]?.text
            if state == "left" || state == "removed" { return nil }
            let port = node["ports"]?["redis"]?.integer.flatMap(UInt16.init) ?? 0
            return KnownNode(
                name: name, liveness: node["liveness"]?.text ?? "-",
                endpoint: port == 0 ? nil : Endpoint(node: name, host: host, port: port))
        }
    }
}

extension Session {
    /// How long other nodes may take to say what only they know.
    static let surveyWithin = Interval.milliseconds(500)

    /// The nodes that a command about all of them asks: those that are up as this one sees it; this one alone
    /// when the user named it.
    func nodesToAsk(_ invocation: Invocation) throws(Failure) -> (asked: [Endpoint], missing: [KnownNode]) {
        let isNamed = invocation.line.value("--host") != nil || invocation.line.value("--node") != nil
        let status = try json(["MARTLET", "STATUS"]).value
        let own = Endpoint(
            node: status["asked"]?.text ?? endpoint.node, host: endpoint.host, port: endpoint.port)
        if isNamed { return ([own], []) }
        let known = KnownNode.all(in: status)
        let asked = known.compactMap { node in
            node.name == own.node ? own : node.isUp ? node.endpoint : nil
        }
        let names = Set(asked.map(\.node))
        return (asked.isEmpty ? [own] : asked, known.filter { !names.contains($0.name) })
    }
}
