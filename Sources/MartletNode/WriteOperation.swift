import MartletBase
import MartletRing
import MartletVersions

/// A put at its coordinator. Counting is in the masks and the requirement; waiting is the node's.
struct WriteOperation {
    /// Who waits for the answer.
    enum Asker {
        case client(ClientTicket)
        /// Another node's client, of a key with siblings that this node owns.
        case link(LinkID, request: UInt64)
    }

    let asker: Asker
    let keyspace: UInt32
    let level: ConsistencyLevel
    let key: Blob
    let token: Token
    let put: Put
    let began: Instant
    let deadline: Instant

    /// Whether concurrent versions are kept: then this node is an owner, and its own record comes first.
    let keepsSiblings: Bool

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
    /// It was stamped anew because it was below what a slot has closed.
    var isReopened = false
    /// The greatest time among the `dominated` answers of this attempt.
    var dominatedBy: HybridTime?

    var sent = Places.none
    var acked = Places.none
    /// Sent, and refused or lost with its connection: no answer will come, and nobody knows what was done.
    var lost = Places.none
    /// A hint for the place, which counts, is on its way to a disk: this node's own, or of who stands in.
    var hinting = Places.none
    /// It is there.
    var hinted = Places.none
    /// Who was asked to stand in for a place, under a sloppy quorum.
    var standIns: [StandIn] = []
    /// Whether hints were tried in this attempt that ANY may be met by.
    var hasTriedHints = false
    /// The client has its answer. What goes on decides which places need hints.
    var isAnswered = false

    struct StandIn {
        let place: Int
        let peer: PeerIndex
        var hasKept = false
    }

    static let vacant = WriteOperation(
        asker: .client(ClientTicket(0)), keyspace: 0, level: .one, key: .empty, token: Token(key: .empty),
        put: Put(.tombstone), began: .zero, deadline: .zero, keepsSiblings: false, replicas: .none,
        requirement: ReplicaSet.none.requirement(.one))

    var isEnough: Bool { requirement.isMet(by: acked.union(hinted)) }
    /// Whether the answers still due could suffice.
    var isPossible: Bool {
        requirement.isMet(by: sent.subtracting(lost).union(hinting).union(hinted))
    }
    /// Whether nothing was done at all, here or elsewhere, but refused: only this node was asked.
    var isUndone: Bool {
        let others = replicas.own.map { sent.subtracting(.only($0)) } ?? sent
        let own = sent.subtracting(others)
        return attempt == 0 && others.isEmpty && own.subtracting(lost).isEmpty && hinting.isEmpty
            && hinted.isEmpty && standIns.allSatisfy { $0.peer == PeerTable.own }
    }
}
