import MartletBase
import MartletConfig
import MartletRing

/// What the commands that change the ring have in common: whom they ask, how they wait, what they show in the
/// end.
enum RingAction {
    static let planOption = OptionSpecification(
        "--plan", "Show what would move from where to where, and do nothing.")
    static let abortOption = OptionSpecification(
        "--abort", "Call the change off: everything stays where it is.")
    static let detachOption = OptionSpecification(
        "--detach", "Return once the nodes know of it, and leave it to them.")

    static let notes = """
        The nodes do it by themselves, while clients go on: Ctrl-C ends only the waiting, and the same command
        waits again. `martlet status` shows how far it is.
        """

    /// The states of the nodes that aren't gone, by name.
    static func states(_ status: JSONValue) -> [String: String] {
        var states: [String: String] = [:]
        for node in status["nodes"]?.elements ?? [] {
            guard let name = node["name"]?.text, let state = node["state"]?.text, state != "left",
                state != "removed"
            else { continue }
            states[name] = state
        }
        return states
    }

    /// The state of the node with that id, gone or not.
    static func state(of id: NodeID, _ status: JSONValue) -> String? {
        (status["nodes"]?.elements ?? []).first { $0["id"]?.text == id.description }?["state"]?.text
    }

    static func node(_ text: String, in picture: RingPicture) throws(Failure) -> RingEntry {
        if let entry = picture.node(text) { return entry }
        let names = picture.names.values.sorted()
        let hint = nearest(text, in: names).map { "did you mean \($0)?" } ?? names.joined(separator: ", ")
        throw .usage("no node of the ring is named \(quoted(text)): \(hint)")
    }

    /// A session with the node itself.
    static func session(with name: String, _ status: JSONValue) throws(Failure) -> Session {
        let node = KnownNode.all(in: status).first { $0.name == name }
        guard let endpoint = node?.endpoint else {
            throw .refused("\(name) has no Redis port: it can't be told anything")
        }
        do {
            return try Session(asking: [endpoint])
        } catch {
            throw Failure(
                error.status, error.code,
                "\(name) must be told itself, and doesn't answer. If it is dead for good: `martlet remove "
                    + "\(name)`, or `martlet replace \(name)`")
        }
    }

    static func endpoints(_ status: JSONValue) -> [Endpoint] {
        KnownNode.all(in: status).filter { $0.liveness != "down" }.compactMap(\.endpoint)
    }

    /// How a command ends once it has waited.
    static func finish(
        _ end: ChangeWatch.End, _ invocation: Invocation, undo: String
    ) throws(Failure) -> ExitCode {
        switch end {
        case .over: return try showStatus(invocation)
        case .interrupted:
            Output.complain("\nmartlet: the nodes go on with it; \(undo) calls it off\n")
            return .interrupted
        case .failed(let reason): throw .refused(reason)
        }
    }

    static func showStatus(_ invocation: Invocation) throws(Failure) -> ExitCode {
        try StatusReport.show(try Session(invocation), invocation)
        return .done
    }

    /// What scripts get of a command that doesn't wait.
    static func acknowledge(_ invocation: Invocation, _ text: String) -> ExitCode {
        if invocation.isJSON {
            Output.write(.object([("format", .integer(1)), ("result", .string(text))]))
        } else {
            Output.write(text + "\n")
        }
        return .done
    }

    /// What a plan needs that takes a node away.
    static func checkCopies(_ picture: RingPicture, without entry: RingEntry) throws(Failure) {
        for keyspace in picture.keyspaces {
            let (needed, left): (Int, Int) =
                switch keyspace.replication {
                case .count(let count): (count, picture.ring.entries.count - 1)
                case .perDataCenter(let list):
                    (
                        list.first { $0.name == entry.dataCenter }?.count ?? 0,
                        picture.ring.entries.count { $0.dataCenter == entry.dataCenter } - 1
                    )
                }
            guard left < needed else { continue }
            throw .refused(
                "keyspace \(keyspace.name) has \(needed) copies, and \(left) nodes would be left: add a node "
                    + "first (`martlet up --add 1`), or lower the replication factor")
        }
    }
}
