import Glibc
import MartletBase
import MartletConfig
import MartletRESP
import MartletRing

/// A running cluster whose nodes come and go, as an operator would have them: each a `martletd` of its own.
final class LiveRing {
    struct Node {
        let name: String
        /// Where it speaks Redis's protocol.
        let address: Address
        let server: ServerProcess
    }

    /// Who holds the slots, by name.
    struct Owners {
        /// By slot.
        var names: [[String]]

        subscript(slot: Slot) -> [String] { names[Int(slot.index)] }
    }

    /// What nodes count of the records that they were sent, each since its start.
    struct Moved {
        var records = 0.0
        var bytes = 0.0

        static func - (after: Moved, before: Moved) -> Moved {
            Moved(records: after.records - before.records, bytes: after.bytes - before.bytes)
        }
    }

    private(set) var nodes: [Node] = []
    /// Of nodes that have left, or are about to.
    private var gone: [ServerProcess] = []
    private let bench: Workbench
    private let folder: String
    private let copies: Int
    private var founders: [(name: String, address: Address)] = []
    /// What nodes that are gone had counted when they went.
    private var movedByGone = Moved()

    private static let lookEvery = Interval.milliseconds(50)

    /// Founds it, and returns when all of its nodes serve.
    init(_ bench: Workbench, founders count: Int, copies: Int) throws(Failure) {
        self.bench = bench
        self.copies = copies
        folder = try bench.makeFolder()
        founders = bench.takeHosts(count).enumerated().map { ("n\($0.offset + 1)", $0.element) }
        for founder in founders { try start(founder.name, founder.address) }
        try bench.awaitServing(nodes.map(\.address), nodes.map(\.server))
    }

    func node(_ name: String) -> Node {
        guard let node = nodes.first(where: { $0.name == name }) else {
            invariantBroken("there is no node \(name)")
        }
        return node
    }

    var processes: [pid_t] { (nodes.map(\.server) + gone).map(\.process) }

    func stop() { for server in nodes.map(\.server) + gone { server.stop() } }

    // MARK: Acts

    /// Starts a node that the ring doesn't know: it asks to join by itself.
    func join(_ name: String) throws(Failure) { try start(name, bench.takeHosts(1)[0]) }

    /// It ends by itself when it has left, at a time of its own: what it counted is read before.
    func leave(_ name: String) throws(Failure) {
        let counted = try moved(by: name)
        try tell(name, "LEAVE")
        forget(name, counted)
    }

    /// Starts a node that takes a dead one's place, as soon as the ring holds that dead: it asks by itself.
    func replace(_ id: String, by name: String) throws(Failure) {
        try start(name, bench.takeHosts(1)[0], ["--replace", id])
    }

    /// kill -9.
    func kill(_ name: String) throws(Failure) {
        let counted = try moved(by: name)
        node(name).server.stop()
        forget(name, counted)
    }

    private func forget(_ name: String, _ counted: Moved) {
        movedByGone = movedByGone + counted
        gone.append(node(name).server)
        nodes.removeAll { $0.name == name }
    }

    private func tell(_ name: String, _ words: String...) throws(Failure) {
        let client = try ControlClient(node(name).address)
        let answer = try client.call(["MARTLET", "NODE"] + words)
        if let error = answer.errorText { throw .refused("\(name): \(error)") }
    }

    private func start(_ name: String, _ address: Address, _ words: [String] = []) throws(Failure) {
        var file = "nodes:\n"
        for founder in founders {
            file += "  - {name: \(founder.name), address: \(founder.address.ip)}\n"
        }
        if !founders.contains(where: { $0.name == name }) {
            file += "  - {name: \(name), address: \(address.ip)}\n"
            file += "seeds: [\(nodes.map { "\($0.address.ip)" }.joined(separator: ", "))]\n"
        }
        file += "keyspaces:\n  default:\n    replication_factor: \(copies)\n"
        file += "storage: {data: data}\nlog: {level: info}\n"
        let path = "\(folder)/\(name).yaml"
        try writeFile(path, file)
        let command = [bench.martletd, "--config", path, "--name", name] + words
        let server = try ServerProcess(name, command, in: folder)
        nodes.append(Node(name: name, address: address, server: server))
    }

    // MARK: Questions

    /// Until the ring consists of its running nodes alone, no change is in hand or waits, and all of them say
    /// so. False when that hasn't come in time.
    func settle(by deadline: Instant) throws(Failure) -> Bool {
        let names = Set(nodes.map(\.name))
        let clients = try nodes.map { node throws(Failure) in try patientClient(node.name) }
        return try bench.comesTrue(nodes.map(\.server), by: deadline, every: Self.lookEvery) {
            () throws(Failure) in
            for client in clients {
                let status = try Self.json(try client.call("MARTLET", "STATUS"))
                let placed = status["nodes"]?.elements.filter { $0["state"]?.text == "normal" } ?? []
                let isWhole = Set(placed.compactMap { $0["name"]?.text }) == names
                if !isWhole || status["change"] != nil || status["agreed"]?.boolean != true { return false }
            }
            return true
        }
    }

    /// The change in hand as a node sees it, with what it waits for.
    func changeInHand(asked name: String) throws(Failure) -> String {
        let status = try Self.json(try ControlClient(node(name).address).call("MARTLET", "STATUS"))
        return status["change"]?.description ?? "none"
    }

    /// One that can't be reached yet is asked again: a joining node takes a moment to listen.
    private func patientClient(_ name: String) throws(Failure) -> ControlClient {
        let node = node(name)
        try bench.until("\(name) answers", [node.server]) { () throws(Failure) in
            _ = try ControlClient(node.address)
            return true
        }
        return try ControlClient(node.address)
    }

    /// A node's id, as `asked` shows it.
    func id(of name: String, asked: String) throws(Failure) -> String {
        let status = try Self.json(try ControlClient(node(asked).address).call("MARTLET", "STATUS"))
        let shown = status["nodes"]?.elements.first { $0["name"]?.text == name }
        guard let id = shown?["id"]?.text else { throw .refused("\(asked) shows no id of \(name)") }
        return id
    }

    func owners(asked name: String) throws(Failure) -> Owners {
        let ring = try Self.json(try ControlClient(node(name).address).call("MARTLET", "RING"))
        var names = [[String]](repeating: [], count: Limits.slots)
        for range in ring["ranges"]?.elements ?? [] {
            guard let first = range["first"]?.integer, let last = range["last"]?.integer,
                0...last ~= first, last < Limits.slots
            else { throw .refused("\(name) shows a ring that is none") }
            for slot in first...last { names[slot] = range["replicas"]?.elements.compactMap(\.text) ?? [] }
        }
        return Owners(names: names)
    }

    /// By all nodes together, those that are gone included.
    func moved() throws(Failure) -> Moved {
        var all = movedByGone
        for node in nodes { all = try all + moved(by: node.name) }
        return all
    }

    private func moved(by name: String) throws(Failure) -> Moved {
        let answer = try ControlClient(node(name).address).call("MARTLET", "METRICS")
        guard case .bulkString(let text) = answer else { throw .refused("\(name) shows no metrics") }
        var moved = Moved()
        for line in String(decoding: text.bytes, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 2, let value = Double(words[1]) else { continue }
            switch words[0] {
            case "martlet_exchange_records_received_total": moved.records = value
            case "martlet_exchange_bytes_received_total": moved.bytes = value
            default: break
            }
        }
        return moved
    }

    private static func json(_ answer: RESPValue) throws(Failure) -> JSONValue {
        guard case .bulkString(let text) = answer else {
            throw .refused(answer.errorText ?? "an answer that isn't JSON")
        }
        do throws(WireError) {
            return try JSONReader.read(text.bytes)
        } catch {
            throw .refused("an answer that isn't JSON: \(error)")
        }
    }
}

extension LiveRing.Moved {
    static func + (a: Self, b: Self) -> Self {
        Self(records: a.records + b.records, bytes: a.bytes + b.bytes)
    }
}
