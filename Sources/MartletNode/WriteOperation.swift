import MartletBase
import MartletRing
import MartletVersions

/// A put at its coordinator. Counting is in the masks and the requirement; waiting is the node's.
struct WriteOperation {
    let ticket: ClientTicket
    let keyspace: UInt32
    let level: ConsistencyLevel
    let key: Blob
    let token: Token
    let put: Put
    let began: Instant
    let deadline: Instant

    var replicas: ReplicaSet
    var requirement: Requirement
    /// The stamp of the last attempt; nil while nothing was sent.
    var version: Stamp?
    /// False while it waits for the stamp ceiling.
    var isStamped = false
    var record = Blob.empty
    var attempt: UInt8 = 0
    var placementRetries = 0
    var isRestamped = false
    /// The greatest time among the `dominated` answers of this attempt.
    var dominatedBy: HybridTime?

    var sent = Places.none
    var acked = Places.none
    /// Sent, and refused or lost with its connection: no answer will come, and nobody knows what was done.
    var lost = Places.none

    static let vacant = WriteOperation(
        ticket: ClientTicket(0), keyspace: 0, level: .one, key: .empty, token: Token(key: .empty),
        put: Put(.tombstone), began: .zero, deadline: .zero, replicas: .none,
        requirement: ReplicaSet.none.requirement(.one))

    var isEnough: Bool { requirement.isMet(by: acked) }
    /// Whether the answers still due could suffice.
    var isPossible: Bool { requirement.isMet(by: sent.subtracting(lost)) }
}
