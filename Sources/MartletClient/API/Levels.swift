/// How many of a key's replicas must answer a read before it is answered.
///
/// With `R + W > N` (the replicas read, written and in all) a read sees every acknowledged write: `quorum`
/// with `quorum`, or `one` with ``WriteLevel/all``.
public enum ReadLevel: String, Hashable, Sendable, CaseIterable {
    /// Any one replica: the fastest, and now and then a moment behind.
    case one = "ONE"
    /// Any two.
    case two = "TWO"
    /// Any three.
    case three = "THREE"
    /// More than half of all replicas.
    case quorum = "QUORUM"
    /// Every replica: fails when a single one is down.
    case all = "ALL"
    /// One replica in the data centre of the node that is asked.
    case localOne = "LOCAL_ONE"
    /// More than half of the replicas in the data centre of the node that is asked.
    case localQuorum = "LOCAL_QUORUM"
    /// More than half of the replicas in each data centre.
    case eachQuorum = "EACH_QUORUM"
}

/// How many of a key's replicas must have a write on disk before it is acknowledged.
public enum WriteLevel: String, Hashable, Sendable, CaseIterable {
    /// Any node's promise to deliver the write later counts too. A read may not see it for a while.
    case any = "ANY"
    /// Any one replica.
    case one = "ONE"
    /// Any two.
    case two = "TWO"
    /// Any three.
    case three = "THREE"
    /// More than half of all replicas.
    case quorum = "QUORUM"
    /// Every replica: fails when a single one is down.
    case all = "ALL"
    /// One replica in the data centre of the node that is asked.
    case localOne = "LOCAL_ONE"
    /// More than half of the replicas in the data centre of the node that is asked.
    case localQuorum = "LOCAL_QUORUM"
    /// More than half of the replicas in each data centre.
    case eachQuorum = "EACH_QUORUM"
}
