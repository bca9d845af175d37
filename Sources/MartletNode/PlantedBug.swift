/// Deliberate bugs, one at a time, that the simulator must find: the proof that its checkers see. A node in
/// production has none; each is a single condition at the place of the rule that it breaks.
package enum PlantedBug: String, CaseIterable, Sendable {
    /// A replica acknowledges a merge when it is asked, not when it is durable.
    case acknowledgeBeforeDurable
    /// A read answers before its repair is on N-R+1 replicas.
    case skipReadRepairWait
    /// A restart begins its clock at zero, not above the durable ceiling.
    case reuseStamps
    /// An older ring entry replaces a newer one.
    case acceptStaleIncarnation
    /// A coordinator takes `dominated` for a plain acknowledgement.
    case dropDominatedAnswer
    /// A coordinator counts a replica that was never reached.
    case countDeadReplica
    /// A replica shows a merge to readers before it is durable.
    case answerUnsyncedRead
    /// A node serves before all founding nodes have met.
    case serveWhileForming
    /// A read compares nothing: the first answer wins.
    case ignoreDigests
    /// A scan takes the closest replica's word for all.
    case believeOneScan
    /// A scan goes on where the replica that came farthest has stopped.
    case skipScannedKeys
    /// A retry of a timed-out version is stamped anew, and so overtakes later writes.
    case restampRetries
    /// A node that rebuilds its disk answers reads.
    case readWhileRebuilding
    /// A node holds its disk rebuilt after one exchange.
    case finishAfterOneExchange
    /// Nobody compares the stamp ceiling of a folder with what was heard from its node.
    case ignoreHeardTime
    /// A node that is told to rebuild takes the boot number that it has.
    case reuseBoot
    /// A hint isn't written to the disk.
    case dropHint
    /// A hint at the coordinator counts as an owner's acknowledgement, though the quorum is strict.
    case countHintAsOwner
    /// A hint is deleted when it is sent, not when it is acknowledged.
    case deleteHintsEarly
    /// A hint is replayed under a stamp of its own, and so overtakes later writes.
    case restampHints
    /// A flush is answered when this node alone has acknowledged it.
    case flushEarly
    /// A replica shows and stores what lies at or below a truncation, if it is still there or comes again.
    case ignoreTruncation
    /// A put with siblings replaces whatever its coordinator holds, not what its context covers.
    case coverTooMuch
    /// A put with siblings takes the dot of the one before.
    case reuseDot
    /// A round of puts with siblings that finds several versions keeps one.
    case dropSibling
    /// A put with siblings is forwarded to two owners, each of which gives it a dot.
    case forwardTwice
    /// A run of a node goes on as the actor of the run before.
    case keepActor
    /// Of two definitions the later one wins whole, its truncation too.
    case loseTruncation
    /// A merge doesn't make its leaf dirty.
    case skipDirtyBit
    /// An exchange never sends what only the node has that began it.
    case skipPush
    /// An exchange doesn't wait until what was shown in it is durable.
    case settleEarly
    /// A leaf's bit is cleared though nothing has read the leaf yet: when an exchange begins.
    case clearDirtyBit
    /// A rescan doesn't note which leaves a purge floor that rises may change.
    case forgetPurgeable
    /// The trees of an earlier run are taken for what the disk holds, whatever was written since.
    case trustStaleCheckpoint
    /// The answer to an opening is always that all is equal.
    case answerEqual
    /// A node isn't asked whether it owes a slot anything before its floor rises.
    case skipPromises
    /// A put that is older than what its slot has closed is merged.
    case acceptBelowClosed
    /// What is older than a slot's floor is merged, whether it is held or not.
    case acceptBelowFloor
    /// An owner takes the exchange that it had before all had closed for its proof.
    case purgeOneExchangeSoon
    /// A floor rises when it is old enough, whoever is away.
    case purgeByAge
    /// A floor rises when the owner that drives the round has proved it, whatever the others still lack.
    case purgeByOneProof
    /// A node whose disk was set back takes puts of any age.
    case takeOldPuts
    /// A sweep deletes keys that were merged into since it read them.
    case purgeTouchedKeys

    /// A node votes for a change though it holds nothing yet of what it gains.
    case voteBeforeExchange
    /// A node takes a transfer for the exchange with its source, and for those with all others.
    case trustTransfers
    /// While slots change hands the new owners are counted alone.
    case countJoinerAlone
    /// A former owner deletes what it holds before the change is complete.
    case eraseBeforeProof
    /// A keyspace's new replication factor is in force as soon as it is asked for.
    case alterAtOnce
    /// A node is in another zone as soon as it is told to move there.
    case rezoneAtOnce
    /// A keyspace gets fewer copies though those that stay haven't got what the others were counted for.
    case forgetLeavers
    /// A replica serves requests that were made on another placement.
    case skipPlacementDigest
    /// A node that was removed is taken for an owner again when its old entry comes.
    case reuseRemovedID

    /// Those that show only in schedules that chance seldom makes: scenarios do (PurgeScenarioTests,
    /// KeyspaceTests).
    package static let shownByScenarios: Set<PlantedBug> = [
        .acceptBelowClosed, .acceptBelowFloor, .purgeOneExchangeSoon, .purgeByAge, .purgeTouchedKeys,
        .purgeByOneProof, .takeOldPuts, .forgetLeavers,
    ]
}
