import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// Data folders that aren't what they were: how a node is vouched for, how it tells another that its folder
/// is an older copy, and how it rebuilds its own (`FolderAge`, `Vouching`, `Rebuilding`).
extension Node {
    package var isRebuilding: Bool { rebuilding != nil }
    /// Whether it answers reads for coordinators, itself among them.
    var answersReads: Bool { !peers[PeerTable.own].isRebuilding }

    /// How this node introduces itself.
    package var hello: Hello {
        Hello(
            cluster: configuration.cluster, id: configuration.id, name: configuration.name, folder: folder)
    }

    private mutating func updateAnswersReads() {
        let isBlind = rebuilding != nil && configuration.planted != .readWhileRebuilding
        peers.setRebuilding(PeerTable.own, isBlind || vouching != nil)
    }

    // MARK: Vouching

    mutating func beginVouching() {
        vouching = Vouching(until: now.monotonic + Limits.vouchingMax)
        updateAnswersReads()
    }

    /// After each event, while it lasts.
    mutating func lookForVouching() {
        guard let vouching, life == .running, formation.isFormed else { return }
        if now.monotonic < vouching.until {
            for entry in ring.standing where entry.id != configuration.id {
                guard let peer = peers.index(of: entry.id) else { return }
                // Held dead by somebody who was here: at first it is only not met yet.
                let isDead = !peers.isReachable(peer) && peers[peer].downSince != nil
                guard peers[peer].hasVouched || isDead else { return }
            }
        }
        endVouching()
    }

    mutating func endVouching() {
        guard vouching != nil else { return }
        vouching = nil
        updateAnswersReads()
        stampParkedWrites()
    }

    // MARK: Other nodes' folders

    /// Why the hello can't be accepted; nil when it can.
    func objection(to hello: Hello) -> Farewell? {
        if var known = peers.folder(of: hello.id) {
            if configuration.planted == .ignoreHeardTime { known.time = .zero }
            if hello.folder.isOlder(than: known) { return Self.farewell(to: hello, known) }
        }
        if ring[hello.id]?.isGone == true, ring[hello.id]?.isGivenUp == true {
            return Farewell(.removed, "\(hello.name) was removed: its id is never used again")
        }
        guard formation.isFormed, ring[hello.id] == nil,
            let holder = ring.entries.first(where: { $0.name == hello.name && !$0.isGone })
        else { return nil }
        let known = Farewell.Known(
            id: holder.id, folder: peers.folder(of: holder.id) ?? FolderAge(epoch: 0, boot: 0))
        let text = "the ring knows \(hello.name) as \(holder.id), not as \(hello.id): "
        // Two processes under one name would take each other's place in turn.
        let isGone = peers.index(of: holder.id).map { peers[$0].link != .up && peers[$0].liveness != .up }
        return isGone ?? true
            ? Farewell(.lostFolder, text + "its data folder was lost or replaced", known: known)
            : Farewell(.nameTaken, text + "and that node is alive. Give this one another name", known: known)
    }

    private static func farewell(to hello: Hello, _ known: FolderAge) -> Farewell {
        Farewell(
            .rolledBack,
            "the data folder of \(hello.name) is an older copy: it is in epoch \(hello.folder.epoch), boot "
                + "\(hello.folder.boot), and was in epoch \(known.epoch), boot \(known.boot) when it was "
                + "last heard",
            known: Farewell.Known(id: hello.id, folder: known))
    }

    /// The hello was accepted: its folder is the newest known.
    mutating func remember(_ hello: Hello) {
        // Strangers are greeted too; but not every one of them is remembered for ever.
        guard peers.folders.count < Limits.epochsMax || ring[hello.id] != nil else { return }
        guard peers.folders[hello.id]?.isSameRun(as: hello.folder) != true else { return }
        if peers.folders[hello.id]?.epoch != hello.folder.epoch { forgetVote(of: hello.id) }
        var folder = hello.folder
        folder.time = max(folder.time, peers.folder(of: hello.id)?.time ?? .zero)
        writeDown(folder, of: hello.id)
    }

    /// What is known of a node's folder.
    package func remembered(_ id: NodeID) -> FolderAge? { peers.folder(of: id) }

    private mutating func writeDown(_ folder: FolderAge, of id: NodeID) {
        peers.folders[id] = folder
        putMeta(MetaMemory.folderKey(id), MetaMemory.value(folder))
    }

    /// Notes the time of a peer's frame. One that can only come from a broken clock isn't noted: it would
    /// carry that time into the peer's stamps when it rebuilds.
    mutating func noteHeard(_ time: HybridTime, from peer: PeerIndex) {
        guard time > peers[peer].heard, time <= HybridTime(now.wall).advanced(by: configuration.clockSkewMax)
        else { return }
        peers[peer].heard = time
    }

    /// With each timer: writes down what was heard. Lazily: a crash here forgets the last second, which
    /// matters only where a peer is set back meanwhile, and nobody else has heard more.
    mutating func writeDownHeardTimes() {
        guard now.monotonic >= heardTimesAt else { return }
        heardTimesAt = now.monotonic + Limits.heardTimesEvery
        for index in peers.indices {
            let peer = peers[PeerIndex(UInt16(index))]
            guard var folder = peers.folders[peer.id], peer.heard > folder.time else { continue }
            folder.time = peer.heard
            writeDown(folder, of: peer.id)
        }
    }

    // MARK: This node's folder

    /// A peer will not talk to a node with this folder.
    mutating func turnedAway(by address: Address, _ farewell: Farewell) {
        guard life == .running else { return }
        switch farewell.reason {
        case .rolledBack:
            guard let known = farewell.known, known.id == configuration.id else { break }
            return stop(.rebuild(order(known), farewell.text))
        case .lostFolder:
            guard let known = farewell.known, !isOfRing else { break }
            return stop(.rebuild(order(known), farewell.text))
        case .nameTaken:
            let since = nameTakenSince ?? now.monotonic
            if nameTakenSince == nil {
                nameTakenSince = since
                effects.append(.report(.identityConflict("\(address) says: \(farewell.text)")))
            }
            // The node that had the name may have died just now.
            if !isOfRing, now.monotonic - since < Limits.nameTakenMax { return }
        case .removed: break
        case .wrongIdentity:
            // A greeting to ourselves is no news.
            if address == configuration.peersAddress { return }
        case .wrongCluster, .noCommonProtocol, .leaving:
            effects.append(.report(.identityConflict("\(address) refused this node: \(farewell.text)")))
            return
        }
        stop(.identity(farewell.text))
    }

    /// Whether this folder's id is in a ring: one that was made in the place of a lost one isn't, though it
    /// may have heard already that there is a ring.
    private var isOfRing: Bool { formation.isFormed && ring[configuration.id] != nil }

    private func order(_ known: Farewell.Known) -> RebuildOrder {
        var boot = max(known.folder.boot, configuration.boot, RebuildOrder.bootNumber(now.wall))
        if configuration.planted == .reuseBoot { boot = configuration.boot - 1 }
        return RebuildOrder(
            id: known.id, epoch: max(known.folder.epoch, configuration.epoch) + 1, boot: boot,
            ceiling: known.folder.time)
    }

    // MARK: Rebuilding

    /// At the start: what earlier runs have not finished.
    mutating func beginRebuilding() {
        guard rebuilding != nil else { return }
        rebuilding?.beganAt = now.monotonic
        exchanges.transfers.beginAnew()
        rebuilding?.tickAt = now.monotonic
        rememberRebuilding()
        effects.append(.report(.rebuilding(epoch: configuration.epoch)))
        guard configuration.planted != .takeOldPuts else { return }
        replica.opensAt = now.monotonic + configuration.clockSkewMax
        replica.opensAbove = .latest
    }

    /// Takes puts again, if it is time (`Rebuilding`, old puts).
    mutating func reopen() {
        guard replica.opensAbove == .latest, now.monotonic >= replica.opensAt, isClockJudged,
            skew.isGood(now)
        else { return }
        // The first put may come much later than it could be taken.
        let shut = now.monotonic - replica.opensAt + configuration.clockSkewMax
        replica.opensAbove = HybridTime(now.wall + -shut)
    }

    private mutating func rememberRebuilding() {
        if let rebuilding { putMeta(MetaMemory.rebuildingKey, rebuilding.encoded()) }
    }

    /// One for each other owner that this node shares something with, in each keyspace.
    private func partsNeeded() -> [Rebuilding.Part] {
        let standing = Set(ring.standing.map(\.id))
        return keyspaces.indices.flatMap { index in
            // What a joining node was counted with, the old owners were counted with as well.
            let owners = keyspaces.partners(index).filter { standing.contains(peers[$0].id) }
            return owners.map {
                Rebuilding.Part(keyspace: keyspaces[index].definition.id, peer: peers[$0].id)
            }
        }
    }

    /// It knows of a ring, because it was told to rebuild, and not which. What others told it when it started
    /// may have been lost on the way, and the next push-pull is half a minute off.
    private mutating func askForRing() {
        let others = gossip.members.filter { $0.id != configuration.id && $0.liveness == .up }
        guard !others.isEmpty else { return }
        tellGossip(.compare(others[exchanges.random.below(others.count)].id))
    }

    /// Asks for the views and begins the exchanges that are missing.
    mutating func continueRebuilding() {
        rebuilding?.tickAt = now.monotonic + Limits.rebuildRetryAfter
        guard let work = rebuilding, life == .running else { return }
        guard formation.isFormed else { return askForRing() }
        let others = ring.standing.filter { $0.id != configuration.id }
        let views = others.compactMap { peers.index(of: $0.id) }
        for peer in views where peers.isReachable(peer) && !peers[peer].hasShownView {
            effects.append(.send(peer, .viewWanted))
        }
        let needed = partsNeeded()
        let missing = needed.filter { !work.done.contains($0) }
        let waiting = Set(work.discards.map(\.keyspace))
        let isEnough = configuration.planted == .finishAfterOneExchange && !work.done.isEmpty
        if missing.isEmpty && waiting.isEmpty || isEnough {
            // Where it shares nothing with anybody, one of the others still tells which keyspaces there are.
            if others.isEmpty || views.contains(where: { peers[$0].hasShownView }) { finishRebuilding() }
            return
        }
        if !work.isTransferred {
            guard waiting.isEmpty, isTransferred(missing, views) else { return }
            rebuilding?.isTransferred = true
        }
        for part in missing where !work.underWay.contains(part) && !waiting.contains(part.keyspace) {
            guard let peer = peers.index(of: part.peer), peers.isReachable(peer), peers[peer].hasShownView
            else { continue }
            guard rebuilding?.underWay.count ?? 0 < Limits.rebuildExchangesMax else { return }
            if startExchange(keyspace: part.keyspace, peer: peer, .rebuild) {
                rebuilding?.underWay.append(part)
            }
        }
    }

    /// Whether transfers have brought what is missing, as far as they can. First all who live tell which
    /// keyspaces there are.
    private mutating func isTransferred(_ missing: [Rebuilding.Part], _ others: [PeerIndex]) -> Bool {
        guard others.allSatisfy({ peers[$0].liveness != .up || peers[$0].hasShownView }) else { return false }
        prepareExchanges(
            missing.compactMap { part in
                peers.index(of: part.peer).map { Exchanges.Pair(keyspace: part.keyspace, peer: $0) }
            })
        return transfersAreOver(of: { _ in true })
    }

    /// An exchange or a transfer that rebuilding asked for has ended; when an exchange was completed, all
    /// that the peer held when it began is durable here.
    mutating func rebuildExchangeEnded(_ progress: ExchangeProgress, isComplete: Bool) {
        rebuilding?.records += progress.recordsReceived
        rebuilding?.bytes += progress.bytesReceived
        guard progress.purpose == .rebuild, rebuilding != nil else { return }
        let part = Rebuilding.Part(keyspace: progress.keyspace, peer: progress.peer)
        rebuilding?.underWay.removeAll { $0 == part }
        guard isComplete else { return }
        rebuilding?.finished(part)
        rememberRebuilding()
        rebuilding?.tickAt = now.monotonic
    }

    // MARK: Purge floors

    /// The others have purged slots that this node owns up to a floor for which its disk was not proved.
    mutating func fallBehind(_ keyspace: UInt32, _ span: SlotSpan, _ floor: HybridTime) {
        if let index = keyspaces.index(of: keyspace),
            keyspaces.replicas(index, of: Slot(index: span.first))?.old.count == 1
        {
            // Nobody else has what is here, however old: nor has one that is about to own it.
            return raiseFloor(index, to: floor, in: [span])
        }
        if rebuilding == nil {
            effects.append(.report(.behindFloor(first: span.first, last: span.last)))
            purge.proofs = []
            rebuilding = Rebuilding(epoch: configuration.epoch)
            beginRebuilding()
            updateAnswersReads()
            publishOwnState()
        }
        let discard = Rebuilding.Discard(keyspace: keyspace, span: span, floor: floor)
        guard let work = rebuilding, !work.discards.contains(discard) else { return }
        // What doesn't find room is told again.
        guard work.discards.count < Limits.sweepsMax else { return }
        rebuilding?.discards.append(discard)
        rebuilding?.undo(keyspace)
        sweepNext()
    }

    /// All that this node held of these slots at or below the floor is deleted.
    mutating func discarded(_ keyspace: UInt32, _ span: SlotSpan, through floor: HybridTime) {
        rebuilding?.discards.removeAll { $0.keyspace == keyspace && $0.span == span && $0.floor == floor }
        rebuilding?.tickAt = now.monotonic
        if let index = keyspaces.index(of: keyspace) { raiseFloor(index, to: floor, in: [span]) }
    }

    /// The floor through which the slot's versions are being deleted; zero where none are.
    func floorBehind(_ keyspace: UInt32, _ slot: Slot) -> HybridTime {
        guard let work = rebuilding, !work.discards.isEmpty else { return .zero }
        return work.discards.reduce(.zero) { floor, discard in
            discard.keyspace == keyspace && discard.span.first <= slot.index
                && slot.index <= discard.span.last
                ? max(floor, discard.floor) : floor
        }
    }

    private mutating func finishRebuilding() {
        guard let work = rebuilding else { return }
        // What it had promised is lost with the disk: it may have been anything.
        if let change = handover.change {
            guard promise(to: ring.voters + (change.node.map { [$0] } ?? [])) else { return }
        }
        rebuilding?.isOver = true
        rememberRebuilding()
        rebuilding = nil
        metrics.rebuilds += 1
        effects.append(.report(.rebuilt(after: now.monotonic - work.beganAt, exchanges: work.done.count)))
        updateAnswersReads()
        publishOwnState()
    }

    /// How far it is, for `status`; nil while it doesn't rebuild.
    package func rebuildProgress() -> RebuildProgress? {
        guard let work = rebuilding else { return nil }
        let needed = partsNeeded()
        var waits: [String] = []
        for part in needed where !work.done.contains(part) {
            guard let peer = peers.index(of: part.peer), !peers.isReachable(peer) else { continue }
            if !waits.contains(peers[peer].name) { waits.append(peers[peer].name) }
        }
        let running = exchangeProgress().filter { $0.purpose == .rebuild || $0.purpose == .transfer }
        let done = needed.count { work.done.contains($0) }
        let begun = running.reduce(Double(done)) { $0 + ($1.purpose == .rebuild ? $1.share : 0) }
        let compared = needed.isEmpty ? 1 : begun / Double(needed.count)
        return RebuildProgress(
            parts: needed.count, done: done,
            share: exchanges.transfers.shareOfAll(compared),
            records: running.reduce(work.records) { $0 + $1.recordsReceived },
            bytes: running.reduce(work.bytes) { $0 + $1.bytesReceived },
            running: now.monotonic - work.beganAt, waits: waits.sorted())
    }
}
