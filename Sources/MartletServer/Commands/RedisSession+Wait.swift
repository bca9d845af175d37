import MartletBase
import MartletNode
import MartletRESP
import MartletRing

/// TIME and WAIT.
extension RedisSession {
    func time() {
        let (seconds, rest) = backend.now.wall.microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        answer { writer in
            writer.array(count: 2)
            writer.bulk("\(seconds)")
            writer.bulk("\(rest)")
        }
    }

    /// Every write of this connection that was acknowledged has met its level by then, so there is nothing to
    /// wait for: the answer is the number of copies beside the first that the level stands for.
    func wait(_ request: Request) {
        guard integer(request[1]) != nil else { return }
        guard let timeout = parseInteger(request[2]) else {
            return refuse("ERR timeout is not an integer or out of range")
        }
        if timeout < 0 { return refuse("ERR timeout is negative") }
        if timeout > Int64.max - backend.now.wall.milliseconds {
            return refuse("ERR timeout is out of range")
        }
        answerNumber(Int64(guaranteedCopies - 1))
    }

    /// How many nodes hold an acknowledged write of this session, whatever its key. At a LOCAL level that may
    /// be one where the copies are spread over data centres without a rule how many each has.
    private var guaranteedCopies: Int {
        guard let definition = server.keyspace(keyspace, near: keyspaceIndex) else { return 1 }
        let level = writeLevel ?? definition.write
        let status = backend.status()
        // While the ring forms the node may not know itself yet, and then takes no write.
        let own = status.members.first { $0.entry.id == server.settings.nodeID }
        let dataCenter = own?.entry.dataCenter ?? ""
        let owners: [String]
        switch definition.replication {
        case .perDataCenter(let list):
            owners = list.flatMap { Array(repeating: $0.name, count: $0.count) }
        case .count(let count):
            let isAlone = status.members.allSatisfy { $0.entry.dataCenter == dataCenter }
            if !isAlone, level == .localOne || level == .localQuorum { return 1 }
            owners = Array(repeating: dataCenter, count: count)
        }
        let requirement = Requirement(
            level, replication: definition.replication, coordinator: dataCenter, owners: owners)
        return max(1, requirement.required)
    }
}
