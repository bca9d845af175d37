import MartletBase

/// What happens to a member's gossip.
package enum GossipEvent: Sendable {
    /// Begin to probe and to push-pull. Packets are answered before it too.
    case start
    /// Push-pull with these until somebody is known; retried with jittered back-off. Replaces earlier seeds.
    case join(seeds: [Address])
    case datagram(from: Address, Blob)
    /// A payload that came over TCP, on a connection that can answer: a request of a peer's, or its answer to
    /// one of ours. Either side may answer the other on the same link, and `link` need only be known to the
    /// shell that gave it.
    case stream(link: UInt64, Blob)
    /// A `GossipEffect.stream` to this address could not be delivered.
    case streamFailed(Address)
    /// A connection with this member broke: a reason to probe it at once.
    case connectionBroke(NodeID)
    /// Spread the newest bytes of this fact, in place of older ones under the same key, and keep them for
    /// push-pull. Bytes that are held already are not spread again.
    case publish(RumourKey, Blob)
    /// Stop storing and spreading a fact. Peers that hold it will tell it again.
    case retract(RumourKey)
    /// Drop a member and refuse all that is said by it or of it from now on.
    case forget(NodeID)
    /// Push-pull with this member now, beside the regular ones: the caller knows that one of the two lacks
    /// something, and can't wait until chance brings them together. Nothing, when it isn't known.
    case compare(NodeID)
    /// Say goodbye: spread that we left, stop probing. `GossipReport.goodbyeSpread` tells when it is done.
    case leave
    /// `nextDeadline` has come. Harmless when early; when late by more than the probe timeout, the node is
    /// taken to have stalled.
    case timer
}

/// What a member's gossip asks for, in the order in which it is to be done.
package enum GossipEffect: Sendable {
    case datagram(to: Address, Blob)
    /// Over TCP. The answer, if any, comes back as `GossipEvent.stream`, a failure as `.streamFailed`.
    case stream(to: Address, Blob)
    case respond(link: UInt64, Blob)
    /// A member is new (`was` is nil), or its liveness, incarnation or address changed. Never of ourselves.
    case liveness(Member, was: Liveness?)
    /// Bytes learned from a peer that differ from what is held. The node judges and merges them, and
    /// publishes the result if it changed what the node holds. The merge must be a join (or take the greater
    /// in some total order): if the latest to come won, two values would chase each other for ever.
    case rumour(RumourKey, Blob)
    /// The peer's wall clock minus ours, and how long the question took: from answers to direct probes.
    case clockSample(NodeID, offset: Interval, roundTrip: Interval)
    /// A packet, or a part of one, that was dropped, by reason: for a counter.
    case refused(StaticName)
    case report(GossipReport)
}

/// Facts for logs and metrics; nothing depends on them.
package enum GossipReport: Hashable, Sendable {
    /// We were said to be `accusedAs` and answered with a higher incarnation (now ours).
    case refuted(incarnation: UInt64, accusedAs: Liveness)
    /// The score of our own health changed; 0 is best.
    case localHealth(Int)
    /// A probe got no answer by any way; `nacks` of `helpers` members said that they had tried.
    case probeFailed(NodeID, nacks: Int, helpers: Int)
    /// A suspicion has this many confirmations by others than the first accuser.
    case suspicionConfirmed(NodeID, confirmations: Int)
    /// We declare a member down.
    case declaredDown(NodeID, after: Interval, confirmations: Int)
    /// A member answers over TCP but not to datagrams: a firewall, or heavy loss.
    case datagramsLost(NodeID)
    /// Two ids are said to be at one address. They stay two members.
    case addressClash(NodeID, other: NodeID, Address)
    /// Somebody at this address uses our id.
    case identityClash(Address)
    /// We were not run for this long: probes under way are void and suspicions prolonged.
    case stalled(Interval)
    /// Nobody is known, and this many attempts to reach the seeds were made.
    case joinWaiting(attempts: Int)
    /// A push-pull found a difference with this member.
    case synchronised(NodeID)
    /// The oldest absent member was dropped for a new one: the table is full.
    case evicted(NodeID)
    /// A published fact was not stored: there are `Limits.rumoursMax` already.
    case rumoursFull(RumourKey)
    /// Our goodbye has been sent as often as news is.
    case goodbyeSpread
}
