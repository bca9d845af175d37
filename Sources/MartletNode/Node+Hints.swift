import MartletBase
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// Hints: writes kept for replicas that missed them (Dynamo paper, section 4.6).
///
/// A hint that *counts* was a reason to acknowledge a write: at level ANY, or because its keeper stood in for
/// an owner under a sloppy quorum. It is data: nothing but its delivery takes it away, and who has no room
/// for it refuses it before anything is acknowledged. All others only save the exchange work: over
/// `hint_bytes_max` or `hint_window` they are dropped, counted, and their leaf is marked for the exchange.
extension Node {
    /// What the storage is to keep for an owner that misses a write.
    struct MissedWrite {
        let target: NodeID
        let keyspace: UInt32
        let token: Token
        let key: Blob
        let record: Blob
    }

    /// Keeps the write for its target; nil when it is on its way to the disk, else why not. Only a hint that
    /// counts has someone who waits for it.
    @discardableResult
    mutating func keepHint(_ missed: MissedWrite, counts: Bool, for origin: Origin? = nil) -> StaticName? {
        guard let summary = try? RecordSummary(missed.record.span) else {
            invariantBroken("a hint of bytes that are no record")
        }
        let write = HintedWrite(keyspace: missed.keyspace, key: missed.key, record: missed.record)
        return keepHint(
            write, missed.target, leaf: missed.token.leaf, summary.latest, counts: counts,
            for: origin.map { .put($0) })
    }

    /// One that was a hint for another target before has room if it counts: it is there already.
    @discardableResult
    mutating func keepHint(
        _ write: HintedWrite, _ target: NodeID, leaf: Leaf, _ time: HybridTime, counts: Bool,
        for waiter: Hints.Waiter?
    ) -> StaticName? {
        let isMoved = if case .moved? = waiter { true } else { false }
        if hints.ledger.counting != nil, hints.parked.count < Limits.hintsStoringMax {
            hints.parked.append(
                Hints.Parked(
                    write: write, target: target, leaf: leaf, time: time, counts: counts, waiter: waiter))
            return nil
        }
        let value = write.stored
        let bytes = HintKey.byteCount + value.count
        var obstacle: StaticName?
        if !counts && !configuration.keepsHints && !isMoved {
            obstacle = "hints"
        } else if counts, !isMoved, ring[configuration.id]?.isGoing == true {
            // Nobody waits for what it keeps for others once it has gone.
            obstacle = "leaving"
        } else if hints.storing.count >= Limits.hintsStoringMax || hints.ledger.counting != nil {
            obstacle = "hints_storing"
        } else if isPromised(write.keyspace, leaf, time) {
            obstacle = "purge_floor"
        } else if !(counts && isMoved),
            !hints.ledger.hasRoom(for: target, bytes: bytes, counts: counts, max: configuration.hintBytesMax)
        {
            obstacle = "hint_bytes_max"
        }
        if let obstacle {
            if !counts { dropHint(write.keyspace, leaf) }
            return obstacle
        }
        let key = HintKey(
            target: target, counts: counts, time: time, boot: configuration.boot, serial: hints.serial)
        hints.serial += 1
        let stored = key.stored
        hints.ledger.add(key, bytes: bytes)
        let (index, _) = hints.storing.insert(
            Hints.Storing(
                stored: stored, key: key, bytes: bytes, keyspace: write.keyspace, leaf: leaf.index,
                waiter: waiter))
        let ticket = replica.nextTicket
        replica.pending.append(Replica.PendingWrite(purpose: .hint(index), key: 0))
        if configuration.planted != .dropHint {
            effects.append(.storage(.putHint(ticket, key: stored, value: value)))
        }
        hints.tick(by: now.monotonic + Self.hintTick)
        return nil
    }

    /// A hint that nobody counts on isn't kept: the exchange has to find what its target misses.
    mutating func dropHint(_ keyspace: UInt32, _ leaf: Leaf) {
        metrics.hintsDropped += 1
        hints.dirty.insert(keyspace: keyspace, leaf: leaf.index, leavesMax: Leaf.count)
    }

    // MARK: The storage's answers

    mutating func hintStored(_ index: Int) {
        let hint = hints.storing[index]
        hints.storing.remove(index)
        metrics.hintsKept += 1
        switch hint.waiter {
        case .put(.own(let number, let place))?: hintKept(number, place)
        case .put(.link(let link, let request))?:
            metrics.hintsKeptForOthers += 1
            effects.append(.respond(link, .mergeAnswer(MergeAnswer(request: request, outcome: .merged))))
        case .moved(let number)?: moveStored(number)
        case .put(.group)?: invariantBroken("a group of merges keeps no hint")
        case nil: break
        }
    }

    mutating func hintRefused(_ index: Int) {
        let hint = hints.storing[index]
        hints.storing.remove(index)
        hints.ledger.remove(hint.key, bytes: hint.bytes)
        refuse(hint.waiter)
        if case nil = hint.waiter { dropHint(hint.keyspace, Leaf(index: hint.leaf)) }
    }

    /// Who waits for a hint hears that it isn't kept.
    private mutating func refuse(_ waiter: Hints.Waiter?) {
        switch waiter {
        case .put(.own(let number, let place))?: hintLost(number, place)
        case .put(.link(let link, let request))?:
            effects.append(
                .respond(
                    link, .mergeAnswer(MergeAnswer(request: request, outcome: .refused(.overloaded)))))
        case .moved(let number)?: moveRefused(number)
        case .put(.group)?: invariantBroken("a group of merges keeps no hint")
        case nil: break
        }
    }

    /// Those of earlier runs are counted: what waited for that is put.
    mutating func unparkHints() {
        let parked = hints.parked
        hints.parked.removeAll()
        for hint in parked {
            let obstacle = keepHint(
                hint.write, hint.target, leaf: hint.leaf, hint.time, counts: hint.counts, for: hint.waiter)
            if obstacle != nil { refuse(hint.waiter) }
        }
    }

    // MARK: Requests of peers

    /// A coordinator wants this node to stand in for an owner: the write is kept as a hint for it, and
    /// counts.
    mutating func hintAsked(_ link: LinkID, _ peer: PeerIndex, _ request: HintRequest) {
        let token = Token(key: request.key)
        if let refusal = hintRefusal(request, token) {
            if refusal == .stalePlacement { showView(to: peer, over: link, request.keyspace, token.slot) }
            metrics.replicaRefusals += 1
            effects.append(
                .respond(
                    link, .mergeAnswer(MergeAnswer(request: request.request, outcome: .refused(refusal)))))
            return
        }
        let missed = MissedWrite(
            target: request.target, keyspace: request.keyspace, token: token, key: request.key,
            record: request.record)
        let obstacle = keepHint(missed, counts: true, for: .link(link, request: request.request))
        guard obstacle != nil else { return }
        metrics.replicaRefusals += 1
        effects.append(
            .respond(
                link,
                .mergeAnswer(MergeAnswer(request: request.request, outcome: .refused(.overloaded)))))
    }

    private mutating func hintRefusal(_ request: HintRequest, _ token: Token) -> ReplicaRefusal? {
        guard formation.isFormed, life == .running else { return .notServing }
        guard request.key.count <= configuration.keyBytesMax else { return .invalid }
        guard let index = keyspaces.index(of: request.keyspace),
            let replicas = keyspaces.replicas(index, of: token.slot),
            agrees(replicas, with: request.placement, index, token.slot)
        else { return .stalePlacement }
        // With one view of the placement there is one view of who owns the key.
        guard let target = peers.index(of: request.target), replicas.place(of: target) != nil else {
            return .invalid
        }
        return nil
    }

    // MARK: Shown

    /// What is kept for others, by the targets' names.
    package func hintStatus() -> HintStatus {
        var targets: [HintStatus.Target] = []
        for id in hints.ledger.sorted {
            guard let counted = hints.ledger[id] else { continue }
            let replay = hints.replays[id] ?? HintReplay()
            let age = counted.oldest.map { hintAge($0) }
            let rate = replay.isAtRest ? 0 : replay.bytesPerSecond
            let waits: HintStatus.WaitsFor =
                !canDeliver(to: id)
                ? .targetDown
                : replay.isHeldBack && hints.pace.isYielding
                    ? .foreground : replay.waitsForRing ? .ring : .none
            let name = peers.index(of: id).map { peers[$0].name } ?? ring[id]?.name ?? id.description
            targets.append(
                HintStatus.Target(
                    id: id, name: name, hints: counted.hints, bytes: counted.bytes,
                    countedBytes: counted.countedBytes, oldestAge: age, bytesPerSecond: rate,
                    eta: rate > 0 ? Interval.milliseconds(Int64(1_000 * Double(counted.bytes) / rate)) : nil,
                    waitsFor: waits))
        }
        return HintStatus(
            dropped: metrics.hintsDropped, targets: targets.sorted { ($0.name, $0.id) < ($1.name, $1.id) })
    }

    func hintAge(_ time: HybridTime) -> Interval {
        .milliseconds(max(0, now.wall.milliseconds - time.milliseconds))
    }

    /// Leaves of a keyspace in which hints were dropped, for the exchange; clean afterwards.
    package mutating func takeDirtyLeaves(keyspace: UInt32) -> [UInt32] {
        hints.dirty.take(keyspace: keyspace)
    }
}

/// What a node keeps for others: `MARTLET HINTS`.
package struct HintStatus: Sendable {
    package enum WaitsFor: String, Sendable {
        case targetDown = "target_down"
        /// Replay yields to the requests of clients.
        case foreground
        /// Slots change hands.
        case ring
        case none
    }

    package struct Target: Sendable {
        package var id: NodeID
        package var name: String
        package var hints: Int
        package var bytes: Int
        /// Of these: of hints that count towards an acknowledgement.
        package var countedBytes: Int
        package var oldestAge: Interval?
        package var bytesPerSecond: Double
        package var eta: Interval?
        package var waitsFor: WaitsFor

        package init(
            id: NodeID, name: String, hints: Int, bytes: Int, countedBytes: Int, oldestAge: Interval?,
            bytesPerSecond: Double, eta: Interval?, waitsFor: WaitsFor
        ) {
            self.id = id
            self.name = name
            self.hints = hints
            self.bytes = bytes
            self.countedBytes = countedBytes
            self.oldestAge = oldestAge
            self.bytesPerSecond = bytesPerSecond
            self.eta = eta
            self.waitsFor = waitsFor
        }
    }

    /// Hints that were not kept, or not any longer, for lack of room or for their age.
    package var dropped: UInt64
    /// By name.
    package var targets: [Target]

    package init(dropped: UInt64, targets: [Target]) {
        self.dropped = dropped
        self.targets = targets
    }
}
