import MartletBase
import MartletConfig
import MartletRESP

/// A connection with the first node of the cluster that answered.
struct Session {
    /// With the node's name where it is known.
    let endpoint: Endpoint
    private let connection: Connection

    /// Options of every command that speaks to a cluster.
    static let options = [
        OptionSpecification(
            "--host", value: "ADDRESS[:PORT]", "Ask the node there; the port is 7379 if none is said."),
        OptionSpecification("--node", value: "NAME", "Ask this node of the cluster."),
    ]
    static let keyspaceOption = OptionSpecification(
        "--keyspace", value: "NAME", "A keyspace by name or index; the first one if none is said.")
    static let connectWithin = Interval.seconds(1)
    static let searchWithin = Interval.seconds(15)
    static let answerWithin = Interval.seconds(10)

    /// Asks the nodes in turn. One that takes the connection and then says nothing (it may be stopped) is
    /// passed by as well.
    init(_ invocation: Invocation) throws(Failure) {
        try self.init(asking: try Self.candidates(invocation))
        if let keyspace = invocation.line.value("--keyspace") {
            do {
                _ = try call(["SELECT", keyspace])
            } catch {
                throw Failure(error.status, error.code, "\(error.text) (--keyspace \(quoted(keyspace)))")
            }
        }
    }

    private init(endpoint: Endpoint, connection: Connection) {
        self.endpoint = endpoint
        self.connection = connection
    }

    init(asking candidates: [Endpoint]) throws(Failure) {
        let deadline = Clock.now + Self.searchWithin
        var problems: [String] = []
        for endpoint in candidates where Clock.now < deadline {
            do throws(Connection.Problem) {
                let connection = try Connection(to: endpoint, within: Self.connectWithin)
                _ = try connection.call([Blob("PING")], within: Self.connectWithin)
                self.init(endpoint: endpoint, connection: connection)
                return
            } catch {
                problems.append("\(endpoint): \(error.text)")
            }
        }
        throw Self.unreachable(problems, of: candidates.count)
    }

    private static func unreachable(_ problems: [String], of count: Int) -> Failure {
        let shown = problems.prefix(5).joined(separator: "\n  ")
        let more = count > 5 ? "\n  and \(count - 5) more" : ""
        return Failure(
            .unreachable, "UNREACHABLE",
            "no node answers\n  \(shown)\(more)\n"
                + "`martlet up` starts a cluster here; --host ADDRESS asks another node"
        )
    }

    private static func candidates(_ invocation: Invocation) throws(Failure) -> [Endpoint] {
        let name = invocation.line.value("--node")
        if let text = invocation.line.value("--host") {
            guard name == nil else { throw .usage("--host and --node exclude each other") }
            guard let endpoint = Endpoint(text) else {
                throw .usage(
                    "--host: found \(quoted(text)), allowed: ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT")
            }
            return [endpoint]
        }
        let known =
            try ClusterFile.running(invocation)?.endpoints
            ?? [Endpoint(host: "127.0.0.1", port: Endpoint.portDefault)]
        guard let name else {
            guard !known.isEmpty else {
                throw .usage("the file's nodes have no Redis port: name one with --host")
            }
            return known
        }
        if let endpoint = known.first(where: { $0.node == name }) { return [endpoint] }
        return [try find(name, asking: known)]
    }

    /// A node that no file names: it joined later, or there is no file here. Others know its address.
    private static func find(_ name: String, asking known: [Endpoint]) throws(Failure) -> Endpoint {
        let status = try Session(asking: known).json(["MARTLET", "STATUS"]).value
        let nodes = status["nodes"]?.elements ?? []
        guard let node = nodes.first(where: { $0["name"]?.text == name }),
            let host = node["address"]?.text, let port = node["ports"]?["redis"]?.integer.flatMap(UInt16.init)
        else {
            let names = nodes.compactMap { $0["name"]?.text }
            let hint = nearest(name, in: names).map { "did you mean \($0)?" }
            throw .usage("--node: no node is named \(quoted(name)): \(hint ?? names.joined(separator: ", "))")
        }
        return Endpoint(node: name, host: host, port: port)
    }

    /// The answer to a request; an error reply is thrown.
    func call(
        _ arguments: [Blob], within: Interval = answerWithin, isWrite: Bool = false
    ) throws(Failure) -> RESPValue {
        let reply: RESPValue
        do throws(Connection.Problem) {
            reply = try connection.call(arguments, within: within)
        } catch {
            // Not sent again to another node: it could overtake a write that came in between.
            let doubt = isWrite ? "; the write may have happened" : ""
            throw Failure(.timeout, "TIMEOUT", "\(endpoint): \(error.text)\(doubt)")
        }
        if let line = reply.errorText { throw .server(line) }
        return reply
    }

    func call(_ arguments: [String]) throws(Failure) -> RESPValue { try call(arguments.map { Blob($0) }) }

    /// An answer that is one JSON text: its bytes, what they say, and the same fit to be shown.
    func json(_ arguments: [Blob]) throws(Failure) -> (text: Blob, raw: JSONValue, value: JSONValue) {
        let reply = try call(arguments)
        guard let text = reply.blob else { throw notMartlet("it is no text") }
        do throws(WireError) {
            let raw = try JSONReader.read(text.bytes)
            return (text, raw, raw.printableTexts)
        } catch {
            throw notMartlet("it is no JSON: \(error)")
        }
    }

    func json(_ arguments: [String]) throws(Failure) -> (text: Blob, raw: JSONValue, value: JSONValue) {
        try json(arguments.map { Blob($0) })
    }

    /// For answers that no node of a version that this one knows gives.
    func notMartlet(_ reason: String) -> Failure {
        .refused("\(endpoint) gave an answer that isn't understood (\(reason)): is it a Martlet node?")
    }
}
