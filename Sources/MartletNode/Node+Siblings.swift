import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// The coordinator of puts in keyspaces with siblings: the one write that reads.
///
/// An owner coordinates (`Node+Forward.swift` finds one for the clients of others). It reads its own record,
/// leaves out what the put's context covers, adds the new version under its dot, makes that durable here, and
/// then sends the whole record to the other owners. From there on it is a put like any other
/// (`Node+Write.swift`): counting, hints and the answer are the same.
///
/// A put that names the version of an earlier attempt (`Put.version`) is recognised by its dot: where the
/// record knows it, nothing is added, and what is held is sent again. So a retry at the same owner adds no
/// sibling, however late it comes; elsewhere it may.
extension Node {
    mutating func startSiblingsWrite(_ write: WriteOperation, until deadline: Instant) {
        let hash = Replica.hash(write.token, write.keyspace)
        if let place = siblings.places[hash] {
            let round = siblings.table[place]
            // Two keys of one hash are never written at once.
            guard round.key == write.key, round.keyspace == write.keyspace,
                round.waiting.count < Limits.siblingPutsMax
            else {
                metrics.overloaded += 1
                reply(
                    to: write.asker, .failed(.overloaded(node: configuration.name, limit: "sibling_puts")))
                return
            }
        }
        let index = insertWrite(write, until: deadline)
        joinRound(index)
    }

    /// Lets a put wait for its key's next round, which begins at once when there is none.
    mutating func joinRound(_ index: Int) {
        let write = writes[index]
        let number = RequestNumber(
            kind: .write, attempt: 0, generation: writes.generation(index), index: index)
        let hash = Replica.hash(write.token, write.keyspace)
        if let place = siblings.places[hash] {
            siblings.table[place].waiting.append(number)
            return
        }
        let (place, _) = siblings.table.insert(
            SiblingsRounds.Round(
                keyspace: write.keyspace, token: write.token, key: write.key, waiting: [number]))
        siblings.places[hash] = place
        beginRound(place)
    }

    private func roundNumber(_ place: Int) -> RequestNumber {
        RequestNumber(kind: .round, attempt: 0, generation: siblings.table.generation(place), index: place)
    }

    private mutating func beginRound(_ place: Int) {
        siblings.table[place].current += siblings.table[place].waiting
        siblings.table[place].waiting.removeAll(keepingCapacity: true)
        let round = siblings.table[place]
        guard isClockJudged else {
            siblings.table[place].step = .stamping
            hasUnjudgedWrites = true
            return
        }
        siblings.table[place].step = .reading
        replicaRead(
            .own(roundNumber(place), place: 0), keyspace: round.keyspace, token: round.token, key: round.key,
            wantsDigest: false)
    }

    /// Whether a put without a version has none because its round reads, or makes another durable.
    func waitsForStorage(_ index: Int) -> Bool {
        let write = writes[index]
        guard write.keepsSiblings, let place = siblings.places[Replica.hash(write.token, write.keyspace)]
        else { return false }
        return siblings.table[place].step != .stamping
    }

    /// The clock was judged, or its ceiling has risen: rounds that waited for that begin again, also those
    /// whose puts have been given up since: the next put of the key would join them.
    mutating func resumeRounds() {
        guard siblings.table.count > 0 else { return }
        for place in siblings.table.indices
        where siblings.table.isInUse(place) && siblings.table[place].step == .stamping {
            beginRound(place)
        }
    }

    // MARK: The read

    mutating func roundRead(_ number: RequestNumber, _ outcome: ReadAnswer.Outcome) {
        guard siblings.table.contains(number) else { return }
        let place = number.index
        guard case .record(let held) = outcome else {
            let current = takeCurrent(place)
            for write in current where writes.contains(write) { refuseFull(write.index, "storage") }
            endRound(place)
            return
        }
        // A register can be there when a keyspace's definition is wrong at the node that wrote it; any
        // sibling wins against it.
        var record = held.flatMap { RecordKind(of: $0.span) == .siblings ? $0 : nil }
        if configuration.planted == .dropSibling { dropOldest(&record) }
        let base = record
        var isChanged = false
        var current: [RequestNumber] = []
        for write in siblings.table[place].current where writes.contains(write) {
            switch apply(write.index, to: &record) {
            case .added:
                isChanged = true
                current.append(write)
            case .known: current.append(write)
            case .refused: break
            case .waits:
                // The puts before it in the round have their dots; they go first.
                siblings.table[place].waiting.insert(write, at: 0)
            }
        }
        siblings.table[place].current = current
        guard let record, !current.isEmpty else {
            return siblings.table[place].waiting.isEmpty ? endRound(place) : waitForStamps(place)
        }
        for write in current {
            writes[write.index].record = record
            if let own = writes[write.index].replicas.own { writes[write.index].sent = .only(own) }
        }
        siblings.table[place].record = record
        siblings.table[place].step = .storing
        guard isChanged || base == nil else {
            roundStored(number, .merged)
            return
        }
        let round = siblings.table[place]
        replicaMerge(
            .own(number, place: 0), keyspace: round.keyspace, token: round.token, key: round.key,
            record: record, isFresh: true)
    }

    private mutating func waitForStamps(_ place: Int) { siblings.table[place].step = .stamping }

    private enum Applied { case added, known, refused, waits }

    /// Applies one put to the record that the round makes.
    private mutating func apply(_ index: Int, to record: inout Blob?) -> Applied {
        let put = writes[index].put
        let known = record.map { Record.context(of: $0.span) } ?? .empty
        if let version = put.version ?? writes[index].version, known.covers(version),
            writes[index].dominatedBy == nil
        {
            writes[index].version = version
            return .known
        }
        if writes[index].version == nil, !skew.isGood(now) {
            // It was judged while the put waited.
            refuseWrite(index, skewed())
            return .refused
        }
        var context = put.context
        if configuration.planted == .coverTooMuch { context.join(known) }
        if let version = writes[index].version { context.insert(version) }
        let above = max(known.latest, context.latest, writes[index].dominatedBy ?? .zero)
        guard let stamp = clock.issue(above: max(above, clock.last), now.wall) else {
            reserveStamps(above: above)
            return .waits
        }
        reserveStamps()
        let dot = Stamp(time: stamp.time, writer: siblings.actor)
        let (value, expiry): (Blob?, Int64?) =
            switch put.content {
            case .value(let value, let expiry): (value, expiry)
            case .tombstone: (nil, nil)
            case .expiry: invariantBroken("siblings have no expiry of their own to change")
            }
        let new = Siblings.NewVersion(dot: dot, value: value, expiry: expiry)
        let made = reusingDot(new, known) ?? Siblings.putting(new, over: record, context: context)
        if let failure = limitBroken(made, record) {
            metrics.siblingsRefused += 1
            refuseWrite(index, .failed(failure))
            return .refused
        }
        writes[index].version = dot
        writes[index].isStamped = true
        record = made
        return .added
    }

    /// Why a put would leave too much under its key; nil when it doesn't, or leaves less than there was.
    private mutating func limitBroken(_ made: Blob, _ before: Blob?) -> RequestFailure? {
        let count = versionCount(made)
        let was = before.map { versionCount($0) } ?? 0
        if count > configuration.siblingsMax, count > was {
            return .siblings(limit: "siblings_max", found: was, max: configuration.siblingsMax)
        }
        if made.count > Limits.siblingsBytesMax, made.count > before?.count ?? 0 {
            return .siblings(limit: "siblings_bytes", found: made.count, max: Limits.siblingsBytesMax)
        }
        if count >= configuration.siblingsWarn { metrics.siblingsWarned += 1 }
        metrics.siblings.add(count)
        return nil
    }

    private func versionCount(_ record: Blob) -> Int {
        var count = 0
        Record.forEachVersion(record.span) { _ in count += 1 }
        return count
    }

    // MARK: The end

    /// The round's record is durable here, or was refused: now copies may leave.
    mutating func roundStored(_ number: RequestNumber, _ outcome: MergeAnswer.Outcome) {
        guard siblings.table.contains(number) else { return }
        let place = number.index
        for write in takeCurrent(place) where writes.contains(write) {
            let index = write.index
            switch outcome {
            case .merged: spread(index)
            case .dominated(let stamp):
                writes[index].dominatedBy = max(writes[index].dominatedBy ?? .zero, stamp.time)
                spread(index)
            case .closed(let time) where !writes[index].isReopened && !writes[index].isAnswered:
                // Nothing was stored: the dot was below what the slot has closed since it was given.
                writes[index].isReopened = true
                writes[index].version = nil
                writes[index].sent = .none
                writes[index].dominatedBy = time
                siblings.table[place].waiting.append(write)
            case .refused(.notServing):
                // It rebuilds, and the key holds something of before the purge floor.
                endUnstored(index, "rebuilding")
            case .refused, .closed:
                noteOverload(PeerTable.own)
                endUnstored(index, "storage")
            }
        }
        endRound(place)
    }

    /// Nothing of the put was stored, here or elsewhere.
    private mutating func endUnstored(_ index: Int, _ limit: StaticName) {
        writes[index].version = nil
        writes[index].sent = .none
        if writes[index].isAnswered { giveUpWaiting(index) } else { refuseFull(index, limit) }
    }

    /// The copies are under way: this node's own record was durable before they left.
    mutating func ownRecordIsDurable(_ index: Int) {
        if let own = writes[index].replicas.own {
            writes[index].sent.insert(own)
            writes[index].acked.insert(own)
        }
        advanceWrite(index)
    }

    /// Sends what is durable here to the other owners; of a put whose time was up before only hints go.
    private mutating func spread(_ index: Int) {
        guard writes[index].isAnswered else {
            send(index)
            return
        }
        if let own = writes[index].replicas.own { writes[index].acked.insert(own) }
        settleHints(index)
    }

    private mutating func takeCurrent(_ place: Int) -> [RequestNumber] {
        let current = siblings.table[place].current
        siblings.table[place].current = []
        return current
    }

    private mutating func endRound(_ place: Int) {
        if !siblings.table[place].waiting.isEmpty {
            beginRound(place)
            return
        }
        siblings.places[Replica.hash(siblings.table[place].token, siblings.table[place].keyspace)] = nil
        siblings.table.remove(place)
    }

    // MARK: Planted bugs

    private func dropOldest(_ record: inout Blob?) {
        guard let held = record else { return }
        var times: [UInt64] = []
        Record.forEachVersion(held.span) { times.append($0.stamp.time.bits) }
        if times.count > 1, let oldest = times.min() {
            record = Record.seen(held, behind: Horizon(truncation: oldest))
        }
    }

    private func reusingDot(_ new: Siblings.NewVersion, _ known: CausalContext) -> Blob? {
        guard configuration.planted == .reuseDot,
            let own = known.entries.first(where: { $0.writer == siblings.actor })
        else { return nil }
        var reused = new
        reused.dot = Stamp(time: own.latest, writer: siblings.actor)
        let others = CausalContext(known.entries.filter { $0.writer != siblings.actor })
        return Siblings.putting(reused, over: nil, context: others)
    }
}
