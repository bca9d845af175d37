import MartletBase
import MartletRing

/// A change of the definitions of keyspaces, as any client may ask any node for it.
package enum KeyspaceChange: Hashable, Sendable {
    case create(String, KeyspaceOptions)
    case alter(String, KeyspaceOptions)
    case drop(String)
    /// FLUSHDB and FLUSHALL: what these ids' keyspaces hold is gone.
    case truncate([UInt32])
}

/// Why a change can't be made.
package enum KeyspaceRefusal: Hashable, Sendable {
    case exists(String)
    /// With the names that do exist.
    case unknown(String, known: [String])
    case fixed(keyspace: String, option: StaticName, reason: String)
    /// A data centre in which no node is, with those in which some are.
    case unknownDataCenter(String, known: [String])
    /// The first keyspace can't be dropped.
    case first(String)
    case tooMany(max: Int)
    /// More copies than there are nodes for, in some data centre.
    case tooFewNodes(ReplicationFactor, nodes: Int)
    /// It is being given another replication factor.
    case altering(String, to: ReplicationFactor)
    /// Owners by the one factor and by the other would be too many at one time.
    case tooManyOwners(max: Int)
}

/// A change under way at the node that was asked for it.
///
/// A definition is merged like a record, so this is a put to all nodes: stamp, merge at every node that
/// lives, answer when they have all acknowledged. It needs no agreement before, because definitions that were
/// changed side by side join to one on every node.
struct DefinitionChange {
    /// Nil when nobody waits for the answer.
    let ticket: ClientTicket?
    /// What the change makes, and answers: what else has come to these keyspaces since isn't known to be
    /// anywhere else yet.
    let definitions: [KeyspaceDefinition]
    /// A truncation's acknowledgements must meet its level for every key; nil: the keyspace's own.
    let isTruncation: Bool
    let level: ConsistencyLevel?
    let began: Instant
    /// This node among them.
    var awaited: [PeerIndex]
    var acknowledged: [PeerIndex] = []

    var ids: [UInt32] { definitions.map(\.id) }

    static let vacant = DefinitionChange(
        ticket: nil, definitions: [], isTruncation: false, level: nil, began: .zero, awaited: [])
}
