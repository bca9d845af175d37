import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions

/// A change of keyspaces that an operator has asked for.
struct ChangeOrder {
    static let tickets: UInt64 = 1 << 62

    let number: UInt64
    let change: KeyspaceChange
    let levelClass: Int
    let process: Int
    let life: UInt32
    let began: Instant
}

/// What operators do: create, alter, drop and flush keyspaces, and write a little into those that they made.
extension Simulation {
    private static let names = ["alpha", "beta", "gamma"]

    /// An operator does something now and then, while there are faults and while the cluster heals.
    mutating func operate() throws(Violation) {
        guard phase == .faults || phase == .healing else { return }
        schedule(.operate, after: operators.within(.milliseconds(200)...(plan.changes.gapMax)))
        let process = asked[operators.below(asked.count)]
        let name = Self.names[operators.below(Self.names.count)]
        var options = KeyspaceOptions()
        let change: KeyspaceChange
        switch operators.below(10) {
        case 0..<2:
            options.replication = .count(1 + operators.below(3))
            change = .create(name, options)
        case 2..<4:
            options.ttl = .seconds(Int64(operators.below(100)))
            change = .alter(operators.chance(0.5) ? name : "default", options)
        case 4: change = .drop(name)
        case 5..<7 where plan.changes.flushes: change = .truncate([0])
        default:
            try writeAside(process)
            return
        }
        guard process.state == .running else { return }
        // At ALL even a read at ONE must not look behind the flush.
        try order(process, change, level: operators.chance(0.4) ? .all : nil)
    }

    /// Asks a node for a change.
    mutating func order(
        _ process: SimulatedProcess, _ change: KeyspaceChange, level: ConsistencyLevel? = nil
    ) throws(Violation) {
        ordersMade += 1
        let levels = plan.workload.writeLevels
        let level = level ?? levels[operators.below(levels.count)]
        let order = ChangeOrder(
            number: ChangeOrder.tickets | ordersMade, change: change,
            levelClass: self.levels.index(level, centre: centreOfProcess[process.index]),
            process: process.index, life: process.life, began: now)
        orders.append(order)
        record("an operator asks \(process.name): \(change) at \(level)")
        let request = ClientRequest(keyspace: 0, key: .empty, operation: .change(change), level: level)
        try turn(process, .client(ClientTicket(order.number), request))
    }

    /// A write into another keyspace than that of the clients, of which no more is asked than that it goes
    /// with its keyspace.
    private mutating func writeAside(_ process: SimulatedProcess) throws(Violation) {
        guard process.state == .running, let keyspaces = process.node?.keyspaceDefinitions,
            keyspaces.count > 1
        else { return }
        let keyspace = keyspaces[1 + operators.below(keyspaces.count - 1)]
        let request = ClientRequest(
            keyspace: keyspace.id, key: Blob("aside"),
            operation: .put(Put(.value(Blob("aside"), expiry: nil))), level: .one)
        try turn(process, .client(ClientTicket(ChangeOrder.tickets), request))
    }

    mutating func orderAnswered(
        _ process: SimulatedProcess, _ number: UInt64, _ reply: ClientReply
    ) throws(Violation) {
        record("\(process.name) answers the operator: \(Self.text(reply))")
        guard let index = orders.firstIndex(where: { $0.number == number }) else {
            guard number == ChangeOrder.tickets else {
                throw Violation("Answered", "\(process.name) answers an operator who has asked for nothing")
            }
            return
        }
        let order = orders.remove(at: index)
        switch reply {
        case .defined(let definitions):
            counters.changes += 1
            guard case .truncate = order.change, plan.durability == .batch else { return }
            // What one node alone has may have gone with its disk.
            let mayBeLost = order.began <= lastLossAt && flushed.isFragile(order.levelClass)
            for definition in definitions where definition.id == 0 && !mayBeLost {
                flushed.acknowledged(definition.truncation, order.levelClass)
            }
            readBehind(order)
        case .failed: break
        case .read, .written, .scanned, .acted:
            throw Violation("Answered", "\(order.change) got another's answer")
        }
    }

    /// Clients read at once, at other nodes, what was flushed.
    private mutating func readBehind(_ order: ChangeOrder) {
        guard phase != .sweeping, phase != .ended else { return }
        for _ in 0..<8 {
            let process = asked[operators.below(asked.count)]
            guard process.isAlive, process.index != order.process else { continue }
            ask(process, key: drawKey(), .get, level: operators.chance(0.5) ? .one : nil)
        }
    }

    /// The process died: its operators hear nothing more.
    mutating func abandonOrders(at process: SimulatedProcess) {
        orders.removeAll { $0.process == process.index && $0.life == process.life }
    }

    /// A node's own fact is on its way to its disk.
    mutating func noteMeta(_ key: Blob, _ value: Blob) {
        guard key.bytes.first == UInt8(ascii: "k") else { return }
        var reader = ByteReader(value.span)
        if let definition = try? KeyspaceDefinition(from: &reader) { flushed.met(definition) }
    }

    /// All is over: what was flushed or dropped has left the disks.
    mutating func checkSwept() throws(Violation) {
        guard plan.durability == .batch else { return }
        for process in present {
            guard let keyspaces = process.node?.keyspaceDefinitions else { continue }
            for keyspace in process.disk.keyspacesHeld where !keyspaces.contains(where: { $0.id == keyspace })
            {
                throw Violation("Flushed", "\(process.name) holds records of a dropped keyspace")
            }
            for key in 0..<plan.workload.keys {
                let record = process.disk.read(WorkloadKeys.stored(key))
                try flushed.atTheEnd(
                    key, onDiskOf: process.name, behind: keyspaces[0].truncation,
                    found: record.flatMap { HeldVersion(of: $0) } ?? .none)
            }
        }
    }
}
