import MartletBase
import MartletGossip
import MartletRing
import MartletWire

/// A fact for the log and the metrics. The shell chooses words, level and sink; names of log events are
/// `LogEvent`'s.
package enum Report: Sendable {
    /// Forming: the founding nodes that are not heard yet.
    case ringForming(waits: [String])
    case ringFormed(digest: UInt64, nodes: Int)
    /// The founding nodes don't agree on what the founding list is, or two ids claim one name.
    case foundingConflict(String)
    case peerUp(name: String)
    case peerSuspect(name: String)
    case peerDown(name: String, after: Interval?)
    case peerLeft(name: String)
    /// Two nodes claim one address or one name.
    case identityConflict(String)
    /// A node was turned away because of its data folder.
    case folderRefused(node: String, String)
    /// This node's disk has lost something: it rebuilds it from its peers.
    case rebuilding(epoch: UInt64)
    case rebuilt(after: Interval, exchanges: Int)
    /// A change of the ring is in hand, of the node or the keyspace of that name.
    case handoverBegan(RingChange.Kind, name: String)
    /// None is any more.
    case handoversOver
    /// This node has left the ring, and stays until these have heard of it.
    case leftUnheard(by: [String])
    /// This node is to join a ring, and none of those that it knows answers.
    case seedsSilent(attempts: Int)
    /// Why this node isn't let into the ring yet.
    case joinRefused(JoinAnswer.Outcome)
    case skewed(aheadMilliseconds: Int64, maxMilliseconds: Int64)
    case skewHealed
    case placementDiffers(peer: String)
    /// Bytes from a peer that can't be right; nothing was changed by them.
    case badPeerBytes(StaticName)
    case keyspaceDiffers(name: String)
    /// This node's file says that it is elsewhere than the ring does.
    case zoneDiffers(file: String, ring: String)
    case dataCenterDiffers(file: String, ring: String)
    case gossip(String)
    case draining(inFlight: Int)
    case storageRefused(StaticName)
    /// A hint that can't be read was met on disk, and deleted.
    case badHint
    /// So many leaves' sums are known from the last run.
    case treesRecovered(leaves: UInt64)
    /// None is: all leaves will be rescanned.
    case treesForgotten(because: StaticName)
    case exchangeBegan(ExchangeProgress)
    case exchangeEnded(peer: String, ExchangeProgress, ExchangeOutcome, after: Interval)
    /// The purge floor of the slots whose first owner this node is, in milliseconds since 1970.
    case floorRaised(keyspace: UInt32, to: Int64, spans: Int)
    case floorBlocked(keyspace: UInt32, by: String, PurgeAnswer.Obstacle)
    /// Others have reached a purge floor that this node has not proved: its disk is an older one.
    case behindFloor(first: UInt16, last: UInt16)
}
