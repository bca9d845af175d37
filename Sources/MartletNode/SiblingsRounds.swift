import MartletBase
import MartletRing
import MartletVersions

/// Puts of keys with siblings at the owner that coordinates them: for each key one *round* at a time.
///
/// A round reads this node's own record, applies to it all the puts that have come for the key, each with its
/// dot, merges the result here, and when that is durable sends it to the other owners. Puts that come
/// meanwhile wait for the next round. So a dot is never published from a record that lacks an earlier one of
/// the same actor (`Siblings`), and a key that many clients write costs one read and one sync for all of
/// them.
struct SiblingsRounds {
    struct Round {
        enum Step { case reading, stamping, storing }

        let keyspace: UInt32
        let token: Token
        let key: Blob
        var step = Step.reading
        /// Writes that this round carries, and those that wait for the next one.
        var current: [RequestNumber] = []
        var waiting: [RequestNumber] = []
        /// What the round merges.
        var record = Blob.empty

        static let vacant = Round(keyspace: 0, token: Token(key: .empty), key: .empty)
    }

    /// Who this run of the node is in dots and contexts.
    var actor: Writer
    var table = OperationTable(vacant: Round.vacant)
    /// By the key's hash.
    var places = HashTable<Int>()
    /// Puts that other nodes coordinate for this one's clients.
    var forwards = OperationTable(vacant: ForwardedPut.vacant)
}

/// A put of a client of this node, which owns nothing of the key, at the owner that coordinates it.
struct ForwardedPut {
    let ticket: ClientTicket
    let keyspace: UInt32
    let level: ConsistencyLevel
    let key: Blob
    let token: Token
    let put: Put
    let began: Instant
    let deadline: Instant

    var replicas: ReplicaSet
    /// Who was asked last.
    var peer = PeerTable.own
    /// Places that refused, having done nothing.
    var refused = Places.none
    var attempt: UInt8 = 0
    var placementRetries = 0

    static let vacant = ForwardedPut(
        ticket: ClientTicket(0), keyspace: 0, level: .one, key: .empty, token: Token(key: .empty),
        put: Put(.tombstone), began: .zero, deadline: .zero, replicas: .none)
}
