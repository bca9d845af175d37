import MartletBase
import MartletGossip
import MartletRing
import MartletVersions

/// What the node shows of itself. Read on the loop's thread between two events.
extension Node {
    package var isFormed: Bool { formation.isFormed }
    package var isRunning: Bool { life == .running }

    package var ringDigest: UInt64 { ring.digest }
    /// Whether it knows of a change of the ring that isn't over.
    package var hasChangeInHand: Bool { handover.change != nil }
    package var topologyStamp: TopologyStamp {
        TopologyStamp(ringDigest: ring.digest, livenessChanges: peers.livenessChanges)
    }

    /// What this node says of another; nil when it doesn't know it.
    package func liveness(of id: NodeID) -> Liveness? { peers.index(of: id).map { peers[$0].liveness } }

    package func status() -> NodeStatus {
        let placement = keyspaces.all.first?.placement
        let members = ring.entries.map { entry in
            let peer = peers.index(of: entry.id)
            return NodeStatus.Member(
                entry: entry, liveness: peer.map { peers[$0].liveness } ?? .down,
                ownsPercent: 100
                    * (placement.flatMap { p in p.ordinal(of: entry.id).map(p.ownsFraction) } ?? 0),
                clockOffset: peer == PeerTable.own ? .zero : peer.flatMap { skew.offset(of: $0, now: now) },
                isLinked: peer == PeerTable.own ? nil : peer.map { peers[$0].link == .up },
                isReachable: peer.map { peers.isReachable($0) } ?? false,
                roundTrip: peer.flatMap { peers[$0].roundTrip },
                acknowledgedBefore: peer.flatMap { peers[$0].acknowledgedAt }.map { now.monotonic - $0 },
                rebuild: peer == PeerTable.own ? rebuildProgress() : nil,
                configured: peer == PeerTable.own ? configured(unlike: entry) : nil)
        }
        let isAgreed = members.allSatisfy { member in
            member.liveness != .up || member.entry.id == configuration.id
                || ringDigests[member.entry.id]?.digest == ring.digest
        }
        return NodeStatus(
            cluster: configuration.cluster, asked: configuration.name, isFormed: formation.isFormed,
            waits: formation.waits, ringDigest: ring.digest, isAgreed: isAgreed,
            members: members.sorted { ($0.entry.name, $0.entry.id) < ($1.entry.name, $1.entry.id) },
            purges: purgeStatus(), handover: handoverStatus())
    }

    private func configured(unlike own: RingEntry) -> (zone: String, dataCenter: String)? {
        let configured = (zone: configuration.zone, dataCenter: configuration.dataCenter)
        return configured == (own.zone, own.dataCenter) ? nil : configured
    }

    /// The placement of a keyspace, for `ring`; nil while the ring forms.
    package func placement(keyspace: UInt32) -> (definition: KeyspaceDefinition, placement: Placement)? {
        guard let index = keyspaces.index(of: keyspace), let placement = keyspaces[index].placement else {
            return nil
        }
        return (keyspaces[index].definition, placement)
    }

    /// Behind what the slot's records don't count any more; nil where there is no such keyspace.
    package func horizon(keyspace: UInt32, _ slot: Slot) -> Horizon? {
        keyspaces.index(of: keyspace).map { keyspaces.horizon($0, slot) }
    }

    /// Of the keyspaces that there are, in the order of their creation.
    package var keyspaceDefinitions: [KeyspaceDefinition] { keyspaces.all.map(\.definition) }
    /// Covers every definition, those of dropped keyspaces included.
    package var definitionsDigest: UInt64 { keyspaces.digest }

    /// The counters, with the gauges as they are now.
    package func currentMetrics() -> NodeMetrics {
        var metrics = metrics
        metrics.inFlight = inFlight
        metrics.unsyncedMerges = replica.pending.count
        metrics.rememberedStamps = replica.stamps.count
        metrics.hints = hints.ledger.hints
        metrics.hintBytes = hints.ledger.bytes
        metrics.hintTargets = hints.ledger.sorted.count
        metrics.hintLeavesDirty = hints.dirty.count
        metrics.hintBytesPerSecond = hints.pace.isActive ? hints.pace.bytesPerSecond : 0
        metrics.leavesDirty = exchanges.forest.all.reduce(0) { $0 + $1.tree.dirtyCount }
        metrics.exchangesRunning = exchanges.running.count
        metrics.answeredPuts = hints.answeredPuts
        if let progress = rebuildProgress() {
            metrics.rebuildParts = progress.parts
            metrics.rebuildPartsDone = progress.done
        }
        if let change = handoverStatus() {
            metrics.ringChanges = change.waiting + 1
            metrics.handoverParts = change.parts
            metrics.handoverPartsDone = change.done
            metrics.handoverBytes = change.bytes
        }
        return metrics
    }
}
