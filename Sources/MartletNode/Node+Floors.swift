import MartletBase
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// Purge floors as requests meet them: what a replica shows, what it merges, and how floors spread.
extension Node {
    // MARK: What enters a slot

    /// Whether a version may be merged, by its age.
    enum Entry {
        case open
        /// A put that must be stamped anew, above this.
        case closed(HybridTime)
        /// Only as far as what is held already has its old part: the rest of that may have been purged.
        case onlyKnown
        /// No put is taken, whatever its stamp.
        case shut
    }

    /// - Parameter isFresh: a put; all else carries what some owner held (`PurgeMarks`, a).
    func entry(_ keyspace: UInt32, _ slot: Slot, _ record: RecordSummary, _ isFresh: Bool) -> Entry {
        if isFresh, record.stamp.time <= replica.opensAbove {
            return replica.opensAbove == .latest ? .shut : .closed(replica.opensAbove)
        }
        guard let index = keyspaces.index(of: keyspace) else { return .open }
        let behind = floorBehind(keyspace, slot)
        guard record.oldest <= max(keyspaces[index].marks.highestClosed, behind) else { return .open }
        var levels = keyspaces[index].marks[slot.index]
        levels.floor = max(levels.floor, behind)
        let closed = max(levels.closed, levels.floor)
        if isFresh, record.stamp.time <= closed, configuration.planted != .acceptBelowClosed {
            return .closed(closed)
        }
        // A put of a register is as old as its value.
        if isFresh, record.kind == .register { return .open }
        return record.oldest <= levels.floor && configuration.planted != .acceptBelowFloor
            ? .onlyKnown : .open
    }

    /// Merges a record with a value at or below the floor as far as that value is held (`Record.admitted`). A
    /// value that isn't was replaced by something that is purged, and changes nothing: it counts as merged.
    mutating func admitIfKnown(
        _ origin: Origin, _ keyspace: UInt32, _ token: Token, _ key: Blob, _ record: Blob, _ isFresh: Bool
    ) {
        guard let summary = try? RecordSummary(record.span), let index = keyspaces.index(of: keyspace),
            summary.latest > keyspaces[index].marks[token.slot.index].floor
        else {
            metrics.versionsBelowFloor += 1
            answerMerge(origin, .merged)
            return
        }
        guard replica.admissions.count < Limits.replicaRequestsMax else {
            metrics.replicaRefusals += 1
            answerMerge(origin, .refused(.overloaded))
            return
        }
        let (place, generation) = replica.admissions.insert(
            Replica.Admission(
                origin: origin, keyspace: keyspace, token: token, key: key, record: record, isFresh: isFresh,
                placement: ownPlacement(keyspace, token.slot)))
        let number = RequestNumber(kind: .admission, attempt: 0, generation: generation, index: place)
        effects.append(
            .storage(
                .read(
                    ReadTicket(number.bits), StorageKey(keyspace: keyspace, token: token.value, key: key))))
    }

    mutating func heldCame(_ ticket: ReadTicket, _ result: Result<Blob?, ReadRefused>) {
        let number = RequestNumber(bits: ticket.number)
        invariant(replica.admissions.contains(number), "the storage completed a read that nobody asked for")
        let admission = replica.admissions[number.index]
        replica.admissions.remove(number.index)
        guard case .success(let held) = result else {
            answerMerge(admission.origin, .refused(.overloaded))
            return
        }
        let slot = admission.token.slot
        guard admission.placement == ownPlacement(admission.keyspace, slot) else {
            answerMerge(admission.origin, .refused(.stalePlacement))
            return
        }
        guard let index = keyspaces.index(of: admission.keyspace),
            let record = Record.admitted(
                admission.record, over: held, floor: keyspaces[index].marks[slot.index].floor),
            let summary = try? RecordSummary(record.span)
        else {
            metrics.versionsBelowFloor += 1
            answerMerge(admission.origin, .merged)
            return
        }
        emitMerge(
            admission.origin, admission.keyspace, admission.token, admission.key, record, summary.stamp,
            admission.isFresh)
    }

    /// Whether a hint of that time was promised not to be kept.
    func isPromised(_ keyspace: UInt32, _ leaf: Leaf, _ time: HybridTime) -> Bool {
        guard let index = keyspaces.index(of: keyspace), time <= keyspaces[index].marks.highestPromised else {
            return false
        }
        let levels = keyspaces[index].marks[leaf.first.slot.index]
        return time <= max(levels.promised, levels.floor)
    }

    // MARK: How floors spread

    /// The floor of a slot, for who may not know it.
    func floorNews(_ keyspace: UInt32, _ slot: Slot) -> FloorNews? {
        guard let index = keyspaces.index(of: keyspace), let replicas = keyspaces.replicas(index, of: slot),
            replicas.floor > .zero
        else { return nil }
        return FloorNews(
            keyspace: keyspace, floor: replicas.floor, spans: [keyspaces.span(index, of: slot)])
    }

    /// The floors of many slots of a keyspace, the highest first.
    func floorNews(_ keyspace: UInt32, in slots: SlotSpan) -> [FloorNews] {
        guard let index = keyspaces.index(of: keyspace) else { return [] }
        var spans: [HybridTime: [SlotSpan]] = [:]
        var first = slots.first
        for run in keyspaces[index].marks.runs(in: slots) {
            if run.levels.floor > .zero {
                spans[run.levels.floor, default: []].append(SlotSpan(first: first, last: run.last))
            }
            first = run.last &+ 1
        }
        return spans.keys.sorted(by: >).map {
            FloorNews(keyspace: keyspace, floor: $0, spans: spans[$0] ?? [])
        }
    }

    /// Tells replicas, before a request is tried again on what is now known, the floor that it is made on.
    mutating func tellFloor(_ keyspace: UInt32, _ slot: Slot, _ replicas: ReplicaSet) {
        if let news = floorNews(keyspace, slot) { tell([news], replicas) }
    }

    /// The same of a request about many slots, of which any may have the floor that differs.
    mutating func tellFloors(_ keyspace: UInt32, in slots: SlotSpan, _ replicas: ReplicaSet) {
        tell(floorNews(keyspace, in: slots), replicas)
    }

    private mutating func tell(_ floors: [FloorNews], _ replicas: ReplicaSet) {
        for peer in replicas.peers where peer != PeerTable.own && peers.isReachable(peer) {
            for news in floors { effects.append(.send(peer, .floor(news))) }
        }
    }

    /// A floor that a whole round has reached. An owner that hasn't proved it holds less than the others, of
    /// what was written below it: it was away with an older disk.
    mutating func floorTold(_ news: FloorNews) {
        guard let index = keyspaces.index(of: news.keyspace), formation.isFormed else { return }
        guard news.floor <= HybridTime(now.wall).advanced(by: configuration.clockSkewMax) else {
            metrics.badPeerBytes += 1
            effects.append(.report(.badPeerBytes("purge floor in the future")))
            return
        }
        var spans: [SlotSpan] = []
        for told in news.spans {
            var first = told.first
            for run in keyspaces[index].marks.runs(in: told) {
                let span = SlotSpan(first: first, last: run.last)
                first = run.last &+ 1
                guard run.levels.floor < news.floor else { continue }
                for part in ownedParts(index, span) {
                    if !part.isOwned || run.levels.proved >= news.floor
                        || configuration.planted == .purgeByAge || configuration.planted == .purgeByOneProof
                    {
                        spans.append(part.span)
                    } else {
                        fallBehind(news.keyspace, part.span, news.floor)
                    }
                }
            }
        }
        if !spans.isEmpty { raiseFloor(index, to: news.floor, in: spans) }
    }

    /// Parts of a span of which this node is an owner, or isn't. What it gains by the change in hand it has
    /// from the owners, which have proved what it had no part in.
    func ownedParts(_ index: Int, _ span: SlotSpan) -> [(span: SlotSpan, isOwned: Bool)] {
        var parts: [(span: SlotSpan, isOwned: Bool)] = []
        var first = span.first
        while true {
            guard let replicas = keyspaces.replicas(index, of: Slot(index: first)) else { return parts }
            let last = min(keyspaces.span(index, of: Slot(index: first)).last, span.last)
            let isOwned = replicas.isOwned
            if let before = parts.last, before.isOwned == isOwned {
                parts[parts.count - 1].span = SlotSpan(first: before.span.first, last: last)
            } else {
                parts.append((SlotSpan(first: first, last: last), isOwned))
            }
            if last == span.last { return parts }
            first = last + 1
        }
    }

    mutating func raiseFloor(_ index: Int, to floor: HybridTime, in spans: [SlotSpan]) {
        guard keyspaces[index].marks.raise(.floor, to: floor, in: spans) else { return }
        metrics.floorsRaised += 1
        keyspaces[index].floorRaisedAt = now.monotonic
        // What the leaves' sums count has come to lie behind the horizon.
        for span in spans { exchanges.forest.markPurgeable(keyspaces[index].definition.id, span) }
        storeMarks(index)
        layOutMarks(index, in: spans)
        sweep(index, spans)
    }

    mutating func storeMarks(_ index: Int) {
        putMeta(MetaMemory.marksKey(keyspaces[index].definition.id), keyspaces[index].marks.encoded())
    }

    /// Takes up what the data folder remembers. What was promised holds for stamps as well.
    mutating func recoverMarks(_ memory: MetaMemory) {
        for index in keyspaces.indices {
            guard let marks = memory.marks[keyspaces[index].definition.id] else { continue }
            keyspaces[index].marks = marks
            clock.observe(marks.highestPromised)
        }
    }
}
