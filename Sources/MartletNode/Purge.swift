import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// What a node does for purge floors (`PurgeMarks`): the round that it drives, the proofs that it owes to
/// rounds of others, and the sweep that deletes what has come to lie below a floor.
struct Purge {
    /// The attempt to raise the floor of the slots whose first owner this node is.
    ///
    ///     promise (every node of the ring) ──▶ close (every owner) ──▶ prove (every owner) ──▶ told to all
    ///
    /// All is asked again until it is answered. Nothing is lost when the node dies on the way: marks only
    /// rise, and the next round is at or above this one.
    struct Round {
        let number: UInt64
        let keyspace: UInt32
        let floor: HybridTime
        let spans: [SlotSpan]
        let owners: [NodeID]
        let begunAt: Instant
        var step = PurgeRequest.Step.promise
        /// Who hasn't done the step yet, by id.
        var awaited: [NodeID]
        /// Under which storage epoch each owner has closed.
        var closed: [PurgeRequest.Closed] = []
        var askedAt: Instant
    }

    /// An owner's own proof, for one round: an exchange with each other owner, begun after all have closed.
    struct Proof {
        enum Exchange { case due, underWay }

        let asker: NodeID
        let keyspace: UInt32
        let floor: HybridTime
        let spans: [SlotSpan]
        let closed: [PurgeRequest.Closed]
        /// Those that are left, by peer.
        var left: [(peer: PeerIndex, exchange: Exchange)]
    }

    /// Who keeps a floor from rising, for `status`.
    struct Blocker {
        var since: Instant
        var obstacle: PurgeAnswer.Obstacle
    }

    /// A range of slots to be looked through for what can be deleted.
    struct Sweep: Hashable {
        let keyspace: UInt32
        let span: SlotSpan
    }

    var round: Round?
    var roundsBegun: UInt64 = 0
    /// The keyspace whose turn it is, as a place in the table.
    var nextKeyspace = 0
    var nextRoundAt = Instant.distantFuture
    var proofs: [Proof] = []
    var blockers: [UInt32: [NodeID: Blocker]] = [:]

    /// That wait for their turn (`Node.sweepNext`).
    var sweeps: [Sweep] = []

    /// When anything of this is looked at next.
    var tickAt = Instant.distantFuture

    mutating func tick(by instant: Instant) { if instant < tickAt { tickAt = instant } }
}
