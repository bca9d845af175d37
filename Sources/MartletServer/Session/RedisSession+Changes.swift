import MartletBase
import MartletConfig
import MartletNode
import MartletRESP
import MartletRing

/// A command that changes keyspaces, or the ring. Like a walk it waits for all that came before it, and all
/// that comes after it waits for it: a SET before a FLUSHDB in a pipeline is flushed, and one after it is
/// not.
struct PendingChange {
    let sequence: UInt64
    let request: ClientRequest
    var isAsked = false
}

/// FLUSHDB, FLUSHALL, MARTLET KEYSPACE and MARTLET NODE.
extension RedisSession {
    // MARK: Carrying out

    private func startChange(_ change: KeyspaceChange, level: ConsistencyLevel? = nil) {
        start(.change(change), level: level)
    }

    private func start(_ operation: ClientRequest.Operation, level: ConsistencyLevel? = nil) {
        change = PendingChange(
            sequence: enqueue(.change),
            request: ClientRequest(keyspace: keyspace, key: .empty, operation: operation, level: level))
        changeOn()
    }

    /// Asks for the change, once nothing else is under way.
    func changeOn() {
        guard operations.count == 0, let pending = change, !pending.isAsked else { return }
        change?.isAsked = true
        let operation = Operation(
            program: .change, sequence: pending.sequence, element: 0, key: .empty, request: pending.request,
            writeLevel: nil)
        let (index, _) = operations.insert(operation, hash: 0)
        ask(index, pending.request)
    }

    /// The core's reply to the change.
    func changed(_ reply: ClientReply) {
        guard let pending = change else { invariantBroken("no change was made") }
        change = nil
        switch reply {
        case .defined(let definitions):
            server.readKeyspaces()
            var writer = ReplyWriter(version: commands[pending.sequence].protocolVersion)
            switch pending.request.operation {
            case .change(.create), .change(.alter):
                writer.bulk(KeyspaceJSON.one(definitions[0], index: server.place(of: definitions[0].id)))
            default: writer.ok()
            }
            commands[pending.sequence].bytes = Blob(writer.bytes)
            heldBytes += writer.bytes.count
        case .acted:
            var writer = ReplyWriter(version: commands[pending.sequence].protocolVersion)
            writer.ok()
            commands[pending.sequence].bytes = Blob(writer.bytes)
            heldBytes += writer.bytes.count
        case .failed(let failure):
            let parts = CommandParts()
            parts.fail(0, .request(failure))
            commands[pending.sequence].parts = parts
        case .read, .written, .scanned: invariantBroken("a change was answered with something else")
        }
        commands[pending.sequence].outstanding = 0
        writeReplies()
        resume()
    }

    // MARK: Commands

    /// FLUSHDB or FLUSHALL, with ASYNC or SYNC, which make no difference: what is flushed is gone when it is
    /// answered, and its space is given back behind that.
    func flush(_ code: CommandCode, _ request: Request) {
        let isMode =
            request.count == 2
            && (equalsIgnoringCase(request[1], "ASYNC") || equalsIgnoringCase(request[1], "SYNC"))
        guard request.count == 1 || isMode else { return refuseSyntax() }
        server.readKeyspaces()
        startChange(
            .truncate(code == .flushAll ? server.keyspaces.map(\.id) : [keyspace]), level: writeLevel)
    }

    /// MARTLET NODE LEAVE | REMOVE name | ABORT name | MOVE [slot ...] [ZONE zone] | DRAIN
    func martletNode(_ request: Request) {
        let verb = text(request[2]).uppercased()
        let count = request.count
        switch verb {
        case "LEAVE" where count == 3: start(.ring(.leave))
        case "DRAIN" where count == 3:
            answerOK()
            server.onDrain()
        case "REMOVE" where count == 4, "ABORT" where count == 4:
            let name = text(request[3])
            let named = backend.status().members.filter {
                $0.entry.ownsTokens && ($0.entry.name == name || $0.entry.id.description == name)
            }
            guard named.count == 1 else {
                return refuse(
                    named.isEmpty
                        ? FailureText.text(
                            .ringAct(.unknownNode), CommandParts(), named: server.settings.nodeName)
                        : "ERR \(named.count) nodes have that name: give the id")
            }
            start(.ring(verb == "REMOVE" ? .remove(named[0].entry.id) : .abort(named[0].entry.id)))
        case "MOVE" where count > 3: moveNode(request)
        default:
            refuse(
                "ERR MARTLET NODE takes LEAVE, REMOVE name, ABORT name, MOVE [slot ...] [ZONE zone] or DRAIN")
        }
    }

    private func moveNode(_ request: Request) {
        var words = (3..<request.count).map { text(request[$0]) }
        var zone: String?
        if words.count > 1, words[words.count - 2].uppercased() == "ZONE" {
            zone = words.removeLast()
            words.removeLast()
        }
        if let zone, !NameRule.place.accepts(zone) {
            return refuse("ERR '\(zone)' is no name of a zone: \(NameRule.place.allowed)")
        }
        var slots: [Slot] = []
        for word in words {
            guard let slot = UInt16(word), slot < Limits.slots else {
                return refuse("ERR '\(word)' is no slot: 0 to \(Limits.slots - 1)")
            }
            slots.append(Slot(index: slot))
        }
        start(.ring(.move(tokens: slots.isEmpty ? nil : slots, zone: zone)))
    }

    /// MARTLET KEYSPACE LIST | SHOW name | CREATE name [option value ...] | ALTER name option value ...
    /// | DROP name
    func martletKeyspace(_ request: Request) {
        let verb = text(request[2]).uppercased()
        let count = request.count
        let name = count > 3 ? text(request[3]) : ""
        switch verb {
        case "LIST" where count == 3:
            server.readKeyspaces()
            let json = KeyspaceJSON.list(server.keyspaces)
            answer { $0.bulk(json) }
        case "SHOW" where count == 4:
            server.readKeyspaces()
            guard let index = server.keyspaces.firstIndex(where: { $0.name == name }) else {
                return refuse(FailureText.unknownKeyspace(name, known: server.keyspaces.map(\.name)))
            }
            let json = KeyspaceJSON.one(server.keyspaces[index], index: index)
            answer { $0.bulk(json) }
        case "DROP" where count == 4: startChange(.drop(name))
        case "CREATE" where count >= 4, "ALTER" where count >= 6:
            guard verb == "ALTER" || NameRule.keyspace.accepts(name) else {
                return refuse(
                    "ERR a keyspace's name is \(NameRule.keyspace.allowed); "
                        + "found \(FailureText.field(Blob(copying: request[3])))")
            }
            switch KeyspaceOptionText.parse((4..<count).map { text(request[$0]) }) {
            case .failure(let problem): refuse("ERR \(problem.text)")
            case .success(let options):
                startChange(verb == "CREATE" ? .create(name, options) : .alter(name, options))
            }
        case "LIST", "SHOW", "DROP", "CREATE", "ALTER":
            refuse("ERR wrong number of arguments for 'martlet|keyspace \(verb.lowercased())'")
        default:
            refuse(
                "ERR MARTLET KEYSPACE takes LIST, SHOW name, CREATE name [option value ...], "
                    + "ALTER name option value ... or DROP name")
        }
    }
}

/// Options of a keyspace as words, by the names that cluster.yaml gives them.
package enum KeyspaceOptionText {
    package static let names = ["replication_factor", "conflict", "read", "write", "sloppy_quorum", "ttl"]

    package struct Problem: Error {
        package let text: String
    }

    /// - Parameter words: names and values in turn.
    package static func parse(_ words: [String]) -> Result<KeyspaceOptions, Problem> {
        var options = KeyspaceOptions()
        var seen: Set<String> = []
        for place in stride(from: 0, to: words.count, by: 2) {
            let name = words[place].lowercased()
            guard names.contains(name) else {
                return .failure(
                    Problem(
                        text: "no option of a keyspace is named '\(name)': there are "
                            + names.joined(separator: ", ")))
            }
            guard place + 1 < words.count else { return .failure(Problem(text: "\(name) has no value")) }
            guard seen.insert(name).inserted else {
                return .failure(Problem(text: "\(name) is given twice"))
            }
            let value = words[place + 1]
            guard let allowed = set(name, value, in: &options) else { continue }
            return .failure(Problem(text: "\(name): found '\(value)', allowed: \(allowed)"))
        }
        return .success(options)
    }

    /// What is allowed, when the value isn't.
    private static func set(_ name: String, _ value: String, in options: inout KeyspaceOptions) -> String? {
        let isGood: Bool
        let allowed: String
        switch name {
        case "replication_factor":
            options.replication = ReplicationFactor(value)
            (isGood, allowed) = (
                options.replication != nil,
                "1 to \(Limits.replicationFactorMax), or so many for each data centre: dc1:3,dc2:2"
            )
        case "conflict":
            options.conflict = ConflictPolicy.allCases.first { $0.description == value.lowercased() }
            (isGood, allowed) = (
                options.conflict != nil,
                ConflictPolicy.allCases.map(\.description).joined(separator: " or ")
            )
        case "read", "write":
            let isRead = name == "read"
            let levels = ConsistencyLevel.allCases.filter { !isRead || !$0.isForWritesOnly }
            let level = levels.first { $0.description == value.uppercased() }
            if isRead { options.read = level } else { options.write = level }
            (isGood, allowed) = (level != nil, levels.map(\.description).joined(separator: " "))
        case "sloppy_quorum":
            options.sloppyQuorum = ["true": true, "false": false][value.lowercased()]
            (isGood, allowed) = (options.sloppyQuorum != nil, "true or false")
        default:
            options.ttl = UnitScale.time.parse(value).map { Interval(nanoseconds: $0) }
            (isGood, allowed) = (options.ttl != nil, "a time with its unit, such as 60s or 0s for none")
        }
        return isGood ? nil : allowed
    }
}
