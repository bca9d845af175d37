import MartletBase
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// The delivery of hints: to their target by `merge` while it can be reached, to the present owners when the
/// target owns the key no more. A hint is deleted when its write is durable where it belongs, never before.
extension Node {
    /// How often targets that have hints are looked at; sooner when one comes back.
    static let hintTick = Interval.seconds(1)
    /// While replay waits for its pace.
    private static let paceTick = Interval.milliseconds(5)
    private static let activeTick = Interval.milliseconds(50)
    /// After a target refused, or its answers were lost.
    private static let replayPause = Interval.milliseconds(250)

    // MARK: Counting at the start

    /// Hints of earlier runs are counted before anything is replayed.
    mutating func countHints() {
        guard let position = hints.ledger.counting else { return }
        readHints(of: nil, from: position, until: nil)
    }

    private mutating func readHints(of target: NodeID?, from lower: Blob, until upper: Blob?) {
        let (index, generation) = hints.scans.insert(Hints.Scan(target: target))
        let number = RequestNumber(kind: .hint, attempt: 0, generation: generation, index: index)
        let limit =
            target == nil
            ? ScanLimit() : ScanLimit(recordsMax: Limits.hintPageMax, bytesMax: Limits.hintPageBytesMax)
        effects.append(
            .storage(.scanHints(ReadTicket(number.bits), from: lower, until: upper, limit)))
    }

    mutating func hintsCame(_ ticket: ReadTicket, _ page: ScanPage) {
        let number = RequestNumber(bits: ticket.number)
        invariant(hints.scans.contains(number), "the storage completed a scan that nobody asked for")
        let target = hints.scans[number.index].target
        hints.scans.remove(number.index)
        guard let target else {
            for key in hints.ledger.take(page) { discardStrange(key) }
            if hints.ledger.counting == nil { unparkHints() } else { countHints() }
            hints.tick(by: now.monotonic)
            return
        }
        guard let step = hints.replays[target]?.step, case .reading(let isExpiring) = step else {
            invariantBroken("hints were read that nobody waits for")
        }
        if isExpiring {
            expire(target, page)
        } else {
            deliver(target, page)
        }
    }

    mutating func hintsRefused(_ ticket: ReadTicket) {
        let number = RequestNumber(bits: ticket.number)
        invariant(hints.scans.contains(number), "the storage refused a scan that nobody asked for")
        let target = hints.scans[number.index].target
        hints.scans.remove(number.index)
        if let target {
            hints.replays[target]?.step = .idle
            hints.replays[target]?.pausedUntil = now.monotonic + Self.replayPause
        }
        hints.tick(by: now.monotonic + Self.replayPause)
    }

    /// Bytes that no node writes as a hint: they can't be delivered, and would be met again for ever.
    private mutating func discardStrange(_ key: Blob) {
        metrics.hintsCorrupt += 1
        effects.append(.report(.badHint))
        let deletion = Hints.Deletion(
            target: .none, hints: [HintReplay.DoneHint(stored: key, key: Hints.Storing.vacant.key, bytes: 0)])
        delete(deletion)
    }

    // MARK: Ticks

    /// Looks at each target: what can be delivered is, what is too old is dropped.
    mutating func tickHints() {
        hints.tickAt = .distantFuture
        guard life == .running else { return }
        guard formation.isFormed else {
            hints.tick(by: now.monotonic + Self.hintTick)
            return
        }
        let refused = hints.refusedDeletions
        hints.refusedDeletions.removeAll()
        for deletion in refused { delete(deletion) }
        if hints.ledger.counting != nil {
            if hints.scans.count == 0 { countHints() }
            return
        }
        loseLateSends()
        for id in hints.ledger.sorted where hints.replays[id] == nil { hints.replays[id] = HintReplay() }
        hints.busyTargets = hints.replays.values.count { $0.step != .idle }
        for id in hints.replays.keys.sorted() { pump(id) }
        forgetIdle()
        let isActive = hints.replays.values.contains {
            !$0.isAtRest && $0.step != .reading(isExpiring: true)
        }
        setPaceActive()
        guard hints.ledger.hints > 0 || isActive else { return }
        let isHeldBack = hints.replays.values.contains { $0.isHeldBack }
        let tick = isHeldBack ? Self.paceTick : isActive ? Self.activeTick : Self.hintTick
        hints.tick(by: now.monotonic + tick)
    }

    private mutating func forgetIdle() {
        for id in hints.replays.keys.sorted() where hints.ledger[id] == nil {
            if hints.replays[id]?.isAtRest == true { hints.replays[id] = nil }
        }
    }

    /// Answers that took too long won't be waited for: the target is asked again later.
    private mutating func loseLateSends() {
        for index in hints.sending.indices where hints.sending.isInUse(index) {
            let sent = hints.sending[index]
            if sent.moves == 0, sent.sentAt + configuration.requestTimeout <= now.monotonic {
                abandon(index)
            }
        }
    }

    // MARK: Pages

    /// Whether hints can be delivered to the target now: it can be reached, or is no owner of anything any
    /// more.
    func canDeliver(to target: NodeID) -> Bool {
        if isGone(target) { return true }
        guard let peer = peers.index(of: target) else { return false }
        return peer == PeerTable.own || peers[peer].liveness == .up && peers[peer].link == .up
    }

    /// Its hints are for others now.
    private func isGone(_ target: NodeID) -> Bool { !(ring[target]?.ownsTokens ?? false) }

    /// Does for a target what can be done now.
    private mutating func pump(_ target: NodeID) {
        guard let replay = hints.replays[target] else { return }
        replay.meter(now.monotonic)
        replay.isHeldBack = false
        guard now.monotonic >= replay.pausedUntil else { return }
        switch replay.step {
        case .reading: break
        case .idle:
            guard replay.isAtRest, hints.ledger[target] != nil, hints.scans.count < Limits.hintScansMax,
                hints.busyTargets < Limits.hintTargetsMax
            else { return }
            hints.busyTargets += 1
            replay.waitsForRing = false
            let end = HintKey.position(.end, of: target)
            if canDeliver(to: target) {
                replay.step = .reading(isExpiring: false)
                readHints(of: target, from: HintKey.position(.first, of: target), until: end)
            } else if isTooOld(hints.ledger[target]?.oldestOther) {
                replay.step = .reading(isExpiring: true)
                readHints(of: target, from: HintKey.position(.uncounted, of: target), until: end)
            }
        case .sending:
            sendPage(target, replay)
            flushDone(target, replay)
            guard replay.isPageDone else { return }
            replay.step = .idle
            guard let next = replay.next, canDeliver(to: target), hints.scans.count < Limits.hintScansMax
            else {
                // What is left is newer than its page, or can't be delivered.
                replay.pausedUntil = now.monotonic + Self.hintTick
                return
            }
            if let key = HintKey(next) { hints.ledger.advanced(to: key) }
            replay.step = .reading(isExpiring: false)
            readHints(of: target, from: next, until: HintKey.position(.end, of: target))
        }
    }

    private func isTooOld(_ time: HybridTime?) -> Bool {
        time.map { hintAge($0) > configuration.hintWindow } ?? false
    }

    /// A page to be delivered has come.
    private mutating func deliver(_ target: NodeID, _ page: ScanPage) {
        guard let replay = hints.replays[target] else { return }
        replay.step = .sending
        replay.next = page.next
        replay.left.removeAll(keepingCapacity: true)
        if let first = page.records.first.flatMap({ HintKey($0.key) }) { hints.ledger.advanced(to: first) }
        for pair in page.records {
            let bytes = pair.key.count + pair.value.count
            guard let key = HintKey(pair.key) else { continue }
            do {
                let write = try HintedWrite(stored: pair.value)
                replay.left.append(
                    HintReplay.Item(stored: pair.key, key: key, write: write, bytes: bytes))
            } catch {
                metrics.hintsCorrupt += 1
                effects.append(.report(.badHint))
                replay.done.append(HintReplay.DoneHint(stored: pair.key, key: key, bytes: bytes))
            }
        }
        replay.left.reverse()
        pump(target)
        hints.tick(by: now.monotonic + Self.activeTick)
    }

    /// The target has been away for longer than hints are kept.
    private mutating func expire(_ target: NodeID, _ page: ScanPage) {
        guard let replay = hints.replays[target] else { return }
        replay.step = .idle
        for pair in page.records {
            guard let key = HintKey(pair.key), !key.counts else { continue }
            guard isTooOld(key.time) else {
                hints.ledger.advanced(to: key)
                break
            }
            if let write = try? HintedWrite(stored: pair.value) {
                dropHint(write.keyspace, Token(key: write.key).leaf)
            } else {
                metrics.hintsCorrupt += 1
            }
            replay.done.append(
                HintReplay.DoneHint(stored: pair.key, key: key, bytes: pair.key.count + pair.value.count))
        }
        flushDone(target, replay)
        hints.tick(by: now.monotonic + Self.activeTick)
    }

    // MARK: Sending

    private mutating func sendPage(_ target: NodeID, _ replay: HintReplay) {
        let peer = peers.index(of: target)
        while let item = replay.left.last, replay.hasRoom(for: item.bytes) {
            guard canDeliver(to: target) else {
                replay.abandon(until: now.monotonic)
                return
            }
            guard hints.pace.take(item.bytes, now: now.monotonic) else {
                replay.isHeldBack = true
                hints.tick(by: now.monotonic + Self.paceTick)
                return
            }
            replay.left.removeLast()
            let token = Token(key: item.write.key)
            guard let keyspace = keyspaces.index(of: item.write.keyspace),
                let replicas = keyspaces.replicas(keyspace, of: token.slot), !replicas.peers.isEmpty
            else {
                nobodyOwns(item, replay)
                continue
            }
            if let peer, let place = replicas.place(of: peer) {
                let receivers = receivers(of: place, replicas)
                guard receivers.allSatisfy({ $0 == PeerTable.own || peers.isReachable($0) }) else {
                    replay.waitsForRing = true
                    continue
                }
                send(item, to: [peer] + receivers, replicas.digest, token, replay)
            } else {
                move(item, to: replicas, token, replay)
            }
        }
    }

    /// Who must have a hint beside its target. While the slot changes hands a target may be an owner before
    /// or after, and not both: of a write at ANY one of the lists alone would hold all there is. Then all of
    /// the other list get it, whose exchanges with the target may be over.
    private func receivers(of place: Int, _ replicas: ReplicaSet) -> [PeerIndex] {
        var places = Places.none
        if !replicas.new.contains(place) { places = replicas.new }
        if !replicas.old.contains(place) { places = replicas.old }
        var receivers: [PeerIndex] = []
        places.forEach { receivers.append(replicas.peers[$0]) }
        return receivers
    }

    /// A hint of a keyspace that isn't there. One that counts is data, and stays; it is passed over. But of
    /// a dropped keyspace nothing is to stay.
    private mutating func nobodyOwns(_ item: HintReplay.Item, _ replay: HintReplay) {
        if keyspaces.isDropped(item.write.keyspace) {
            replay.done.append(HintReplay.DoneHint(stored: item.stored, key: item.key, bytes: item.bytes))
            return
        }
        metrics.hintsUnowned += 1
        guard !item.key.counts else { return }
        dropHint(item.write.keyspace, Token(key: item.write.key).leaf)
        replay.done.append(HintReplay.DoneHint(stored: item.stored, key: item.key, bytes: item.bytes))
    }

    private mutating func send(
        _ item: HintReplay.Item, to receivers: [PeerIndex], _ placement: UInt64, _ token: Token,
        _ replay: HintReplay
    ) {
        let number = begin(item, replay)
        hints.sending[number.index].owed = receivers
        var record = item.write.record
        if configuration.planted == .restampHints, RecordKind(of: record.span) == .register,
            let stamp = clock.issue(above: clock.last, now.wall)
        {
            var register = Register(decoding: record)
            register.stamp = stamp
            register.expiryStamp = stamp
            record = register.encoded()
        }
        if configuration.planted == .deleteHintsEarly {
            replay.done.append(HintReplay.DoneHint(stored: item.stored, key: item.key, bytes: item.bytes))
        }
        let request = MergeRequest(
            request: number.bits, placement: placement, keyspace: item.write.keyspace, isFresh: false,
            key: item.write.key, record: record)
        for peer in receivers where peer != PeerTable.own { effects.append(.send(peer, .merge(request))) }
        guard receivers.contains(PeerTable.own) else { return }
        // May answer at once.
        replicaMerge(
            .own(number, place: Int(PeerTable.own.number)), keyspace: item.write.keyspace, token: token,
            key: item.write.key, record: record, isFresh: false)
    }

    /// The target owns the key no more: its present owners get hints of their own, and when these are durable
    /// this one is deleted.
    private mutating func move(
        _ item: HintReplay.Item, to replicas: ReplicaSet, _ token: Token, _ replay: HintReplay
    ) {
        let number = begin(item, replay)
        metrics.hintsMoved += 1
        for peer in replicas.peers {
            let obstacle = keepHint(
                item.write, peers[peer].id, leaf: token.leaf, item.key.time, counts: item.key.counts,
                for: .moved(number))
            if obstacle == nil {
                hints.sending[number.index].moves += 1
            } else if item.key.counts {
                hints.sending[number.index].hasFailed = true
            }
        }
        // No room for any of them, and none counts: they were dropped.
        if hints.sending[number.index].moves == 0 { moveEnded(number) }
    }

    private mutating func begin(_ item: HintReplay.Item, _ replay: HintReplay) -> RequestNumber {
        replay.sent += 1
        replay.sentBytes += item.bytes
        let (index, generation) = hints.sending.insert(Hints.Sending(item: item, sentAt: now.monotonic))
        return RequestNumber(kind: .hint, attempt: 0, generation: generation, index: index)
    }

    // MARK: Answers

    /// The answer to a hint's merge, of a peer or of this node's own replica.
    mutating func replayAnswered(
        _ number: RequestNumber, by peer: PeerIndex, _ outcome: MergeAnswer.Outcome
    ) {
        guard hints.sending.contains(number) else { return }
        switch outcome {
        case .merged, .dominated:
            hints.sending[number.index].owed.removeAll { $0 == peer }
            guard hints.sending[number.index].owed.isEmpty else { return }
            metrics.hintsDelivered += 1
            finish(number.index)
        case .refused(.invalid):
            // The same bytes would be refused for ever.
            metrics.hintsCorrupt += 1
            effects.append(.report(.badHint))
            finish(number.index)
        case .refused, .closed: abandon(number.index)
        }
    }

    /// Done with: its hint is to be deleted.
    private mutating func finish(_ index: Int) {
        let item = hints.sending[index].item
        hints.sending.remove(index)
        let target = item.key.target
        guard let replay = hints.replays[target] else { invariantBroken("a hint of no replay was sent") }
        replay.sent -= 1
        replay.sentBytes -= item.bytes
        replay.delivered += item.bytes
        if configuration.planted != .deleteHintsEarly {
            replay.done.append(HintReplay.DoneHint(stored: item.stored, key: item.key, bytes: item.bytes))
        }
        if replay.step == .sending { sendPage(target, replay) }
        flushDone(target, replay)
        if replay.isPageDone { hints.tick(by: now.monotonic) }
    }

    /// It stays on disk, and so does the rest of its page, until a later round.
    private mutating func abandon(_ index: Int) {
        let item = hints.sending[index].item
        hints.sending.remove(index)
        guard let replay = hints.replays[item.key.target] else {
            invariantBroken("a hint of no replay was sent")
        }
        replay.sent -= 1
        replay.sentBytes -= item.bytes
        replay.abandon(until: now.monotonic + Self.replayPause)
        flushDone(item.key.target, replay)
        hints.tick(by: now.monotonic + Self.replayPause)
    }

    func isReplay(_ number: RequestNumber, to peer: PeerIndex) -> Bool {
        hints.sending.contains(number) && hints.sending[number.index].owed.contains(peer)
    }

    /// A peer can be reached again: what is kept for it is delivered now, not with the next tick.
    mutating func hastenReplay(to peer: PeerIndex) {
        guard hints.ledger[peers[peer].id] != nil else { return }
        hints.tick(by: now.monotonic)
    }

    /// The connection to a peer broke: what was sent to it may be lost.
    mutating func forgetReplay(to peer: PeerIndex) {
        guard hints.sending.count > 0 else { return }
        for index in hints.sending.indices where hints.sending[index].owed.contains(peer) {
            abandon(index)
        }
    }

    // MARK: Moves

    mutating func moveStored(_ number: RequestNumber) {
        guard hints.sending.contains(number) else { return }
        hints.sending[number.index].moves -= 1
        if hints.sending[number.index].moves == 0 { moveEnded(number) }
    }

    mutating func moveRefused(_ number: RequestNumber) {
        guard hints.sending.contains(number) else { return }
        hints.sending[number.index].hasFailed = true
        moveStored(number)
    }

    private mutating func moveEnded(_ number: RequestNumber) {
        if hints.sending[number.index].hasFailed {
            abandon(number.index)
        } else {
            finish(number.index)
        }
    }

    // MARK: Deleting

    /// Deletes what is done with, in batches while more comes.
    private mutating func flushDone(_ target: NodeID, _ replay: HintReplay) {
        guard !replay.done.isEmpty else { return }
        guard replay.done.count >= Limits.hintPageMax / 4 || replay.left.isEmpty && replay.sent == 0 else {
            return
        }
        let done = replay.done
        replay.done.removeAll(keepingCapacity: true)
        replay.deletions += 1
        delete(Hints.Deletion(target: target, hints: done))
    }

    private mutating func delete(_ deletion: Hints.Deletion) {
        let (index, _) = hints.deletions.insert(deletion)
        let ticket = replica.nextTicket
        replica.pending.append(Replica.PendingWrite(purpose: .deletion(index), key: 0))
        effects.append(.storage(.deleteHints(ticket, deletion.hints.map(\.stored))))
    }

    mutating func hintsDeleted(_ index: Int) {
        let deletion = hints.deletions[index]
        hints.deletions.remove(index)
        for hint in deletion.hints where hint.bytes > 0 {
            hints.ledger.remove(hint.key, bytes: hint.bytes)
        }
        guard let replay = hints.replays[deletion.target] else { return }
        replay.deletions -= 1
        if replay.isPageDone { hints.tick(by: now.monotonic) }
    }

    /// Asked for again with the next tick; until then the target's hints aren't read, or they would be met
    /// twice.
    mutating func deletionRefused(_ index: Int) {
        let deletion = hints.deletions[index]
        hints.deletions.remove(index)
        hints.refusedDeletions.append(deletion)
        hints.tick(by: now.monotonic + Self.replayPause)
    }
}
