import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// The coordinator of changes of keyspaces, and what other nodes do for it.
///
/// **FLUSHDB.** A truncation is a stamp T: whatever was written at or below it is gone. Its command answers
/// when every node that lives has T on its disk and its clock past T, and among them, for every key, as many
/// owners as the level asks of a write. From then on
///
/// - no read at a level that meets it shows an older value: one of the replicas that it asks knows T, hides
///   what is behind it, and refuses a coordinator that doesn't, for T is part of the placement's digest;
/// - no put that begins later is hidden: whoever coordinates it stamps above T, and one that was away, and
///   stamps below it, is told so by a replica (`dominated`) and stamps anew;
/// - nothing comes back: a merge at or below T, whoever sends it (a hint, a repair, an exchange, a node that
///   was away), is acknowledged, and stored nowhere.
///
/// That such a merge is discarded breaks no promise: it is dominated by the truncation, which is on this
/// node's disk before the first one is discarded, and which no join ever lowers.
extension Node {
    mutating func changeKeyspaces(
        _ ticket: ClientTicket, _ change: KeyspaceChange, level: ConsistencyLevel?, until deadline: Instant
    ) {
        guard changes.count < Limits.definitionChangesMax else {
            refuseOverload(ticket, "definition_changes_max")
            return
        }
        guard skew.isGood(now) else {
            effects.append(.reply(ticket, skewed()))
            return
        }
        guard isClockJudged else {
            refuseOverload(ticket, "clock_sample")
            return
        }
        if let failure = unavailable(change, level) {
            effects.append(.reply(ticket, .failed(failure)))
            return
        }
        let floor = keyspaces.definitions.reduce(clock.last) {
            max($0, HybridTime(bits: max($1.stamp, $1.truncation)))
        }
        guard let stamp = clock.issue(above: floor, now.wall) else {
            reserveStamps(above: floor)
            refuseOverload(ticket, "stamp_reservation")
            return
        }
        reserveStamps()
        switch definitions(after: change, at: stamp.time.bits) {
        case .failure(let refused): effects.append(.reply(ticket, .failed(.keyspace(refused.refusal))))
        case .success(let definitions):
            if let altered = definitions.first(where: { isAlteration($0) }) {
                let act = Handover.Act.definition(altered)
                if let refusal = obstacle(toAct: act) {
                    let wanted = Wish.Wanted.keyspaces(change, level: level)
                    postpone(Wish(wanted: wanted, ticket: ticket, until: deadline), refusal)
                } else {
                    self.act(act, for: .definition(ticket, until: deadline))
                }
                return
            }
            let isTruncation = if case .truncate = change { true } else { false }
            begin(ticket, definitions, isTruncation: isTruncation, level: level, until: deadline)
        }
    }

    /// Whether it asks for other copies than the ring knows of: that is an act on the ring.
    private func isAlteration(_ definition: KeyspaceDefinition) -> Bool {
        keyspaces.definition(of: definition.id).map { $0.copies != definition.copies } ?? false
    }

    /// An act on a keyspace is durable here: now the others hear of it.
    mutating func spread(_ definition: KeyspaceDefinition, for asker: Handover.Asker) {
        var (ticket, deadline) = (ClientTicket?.none, now.monotonic + configuration.requestTimeout)
        if case .definition(let waiting, let until) = asker { (ticket, deadline) = (waiting, until) }
        guard changes.count < Limits.definitionChangesMax else {
            keyspaceCame(definition)
            if let ticket { refuseOverload(ticket, "definition_changes_max") }
            return
        }
        begin(ticket, [definition], isTruncation: false, level: nil, until: deadline)
    }

    private struct Refused: Error {
        let refusal: KeyspaceRefusal
    }

    /// What the change makes of the definitions that it concerns.
    private func definitions(
        after change: KeyspaceChange, at stamp: UInt64
    ) -> Result<[KeyspaceDefinition], Refused> {
        func refused(_ refusal: KeyspaceRefusal) -> Result<[KeyspaceDefinition], Refused> {
            .failure(Refused(refusal: refusal))
        }
        func unknown(_ name: String) -> Result<[KeyspaceDefinition], Refused> {
            refused(.unknown(name, known: keyspaces.all.map(\.definition.name)))
        }
        switch change {
        case .create(let name, let options):
            if keyspaces.index(named: name) != nil { return refused(.exists(name)) }
            if let refusal = options.replication.flatMap({ stray($0) }) { return refused(refusal) }
            guard keyspaces.all.count < Limits.keyspacesMax else {
                return refused(.tooMany(max: Limits.keyspacesMax))
            }
            guard keyspaces.definitions.count < Limits.definitionsMax else {
                return refused(.tooMany(max: Limits.definitionsMax))
            }
            let id = KeyspaceDefinition.newID(creator: configuration.id, created: stamp) {
                keyspaces.definition(of: $0) != nil
            }
            var definition = KeyspaceDefinition(
                id: id, name: name, created: stamp, stamp: stamp,
                replication: options.replication ?? foundingReplication,
                conflict: options.conflict ?? .lww)
            definition.apply(options)
            return .success([definition])
        case .alter(let name, let options):
            guard let index = keyspaces.index(named: name) else { return unknown(name) }
            var definition = keyspaces[index].definition
            if let (option, reason) = definition.fixedOption(among: options) {
                return refused(.fixed(keyspace: name, option: option, reason: reason))
            }
            if let factor = options.replication {
                if let refusal = refusal(of: factor, in: definition) { return refused(refusal) }
                want(factor, of: &definition, at: stamp)
            }
            definition.apply(options)
            definition.stamp = stamp
            if configuration.planted == .loseTruncation { definition.truncation = 0 }
            return .success([definition])
        case .drop(let name):
            guard let index = keyspaces.index(named: name) else { return unknown(name) }
            var definition = keyspaces[index].definition
            if definition.id == KeyspaceDefinition.firstID { return refused(.first(name)) }
            definition.isDropped = true
            return .success([definition])
        case .truncate(let ids):
            return .success(
                ids.compactMap { keyspaces.index(of: $0) }.map { index in
                    var definition = keyspaces[index].definition
                    definition.truncation = stamp
                    return definition
                })
        }
    }

    private func stray(_ factor: ReplicationFactor) -> KeyspaceRefusal? {
        guard case .perDataCenter(let list) = factor else { return nil }
        let known = Set(ring.entries.map(\.dataCenter))
        return list.first { !known.contains($0.name) }.map {
            .unknownDataCenter($0.name, known: known.sorted())
        }
    }

    // MARK: Copies

    /// Why a keyspace can't have that factor now; nil when it can.
    private func refusal(
        of factor: ReplicationFactor, in definition: KeyspaceDefinition
    ) -> KeyspaceRefusal? {
        let copies = definition.copies
        if factor == copies.factor || factor == copies.wanted { return nil }
        if let wanted = copies.wanted { return .altering(definition.name, to: wanted) }
        if let refusal = stray(factor) { return refusal }
        guard factor.isFilled(by: ring.staying) else {
            return .tooFewNodes(factor, nodes: ring.staying.count)
        }
        guard copies.factor.ownersMax(beside: factor) <= Limits.placesMax else {
            return .tooManyOwners(max: Limits.placesMax)
        }
        return nil
    }

    /// What is wanted already stays behind what waits; the factor in force calls off what was wanted.
    private func want(_ factor: ReplicationFactor, of definition: inout KeyspaceDefinition, at stamp: UInt64)
    {
        let copies = definition.copies
        guard factor != (copies.wanted ?? copies.factor) else { return }
        // Behind the change in hand, whatever the clocks.
        let latest = max(handover.change?.stamp ?? 0, copies.altered, copies.done)
        definition.copies.want(factor, at: max(stamp, latest + 1))
        if configuration.planted == .alterAtOnce { definition.copies.complete() }
    }

    /// Why a truncation can't be acknowledged at its level by the nodes that can be reached; nil when it can,
    /// and for every other change, which needs no more than this node.
    private func unavailable(_ change: KeyspaceChange, _ level: ConsistencyLevel?) -> RequestFailure? {
        guard case .truncate(let ids) = change else { return nil }
        for index in ids.compactMap({ keyspaces.index(of: $0) }) {
            let level = level ?? keyspaces[index].definition.write
            for replicas in keyspaces[index].sets {
                let requirement = replicas.requirement(level)
                let reachable = reachable(replicas)
                guard !requirement.isMet(by: reachable) else { continue }
                return unavailable(.write, level, replicas, requirement, reachable: reachable)
            }
        }
        return nil
    }

    // MARK: Spreading

    private mutating func begin(
        _ ticket: ClientTicket?, _ definitions: [KeyspaceDefinition], isTruncation: Bool,
        level: ConsistencyLevel?, until deadline: Instant
    ) {
        let others = ring.entries.compactMap { peers.index(of: $0.id) }.filter {
            $0 != PeerTable.own && peers[$0].liveness.isPresent
        }
        let (index, generation) = changes.insert(
            DefinitionChange(
                ticket: ticket, definitions: definitions, isTruncation: isTruncation, level: level,
                began: now.monotonic, awaited: [PeerTable.own] + others))
        let number = RequestNumber(kind: .definition, attempt: 0, generation: generation, index: index)
        addDeadline(Deadline(number: number, purpose: .expire), at: deadline)
        for definition in definitions { keyspaceCame(definition) }
        flushGossip()
        for peer in others { askToDefine(index, peer) }
        answerWhenDurable(.own(number, place: 0), changes[index].ids)
    }

    private mutating func askToDefine(_ index: Int, _ peer: PeerIndex) {
        let number = RequestNumber(
            kind: .definition, attempt: 0, generation: changes.generation(index), index: index)
        let definitions = changes[index].ids.compactMap { keyspaces.definition(of: $0)?.encoded() }
        effects.append(
            .send(peer, .define(DefineRequest(request: number.bits, definitions: definitions))))
    }

    /// A peer can be reached again: what it was asked may have been lost.
    mutating func askAgainToDefine(_ peer: PeerIndex) {
        for index in changes.indices where changes[index].awaited.contains(peer) { askToDefine(index, peer) }
    }

    // MARK: Other nodes

    mutating func defineAsked(_ link: LinkID, _ request: DefineRequest) {
        var ids: [UInt32] = []
        do {
            for bytes in request.definitions {
                var reader = ByteReader(bytes.span)
                let definition = try KeyspaceDefinition(from: &reader)
                try reader.expectEnd()
                ids.append(definition.id)
                keyspaceCame(definition)
            }
        } catch {
            metrics.badPeerBytes += 1
            effects.append(.report(.badPeerBytes("definition")))
            answerMerge(.link(link, request: request.request), .refused(.invalid))
            return
        }
        flushGossip()
        answerWhenDurable(.link(link, request: request.request), ids)
    }

    /// Acknowledges definitions once all that was written by now is durable.
    private mutating func answerWhenDurable(_ origin: Origin, _ ids: [UInt32]) {
        if replica.pending.isEmpty {
            answerDefinition(origin, ids)
        } else {
            replica.pending[replica.pending.count - 1].withheld.append(
                Replica.WithheldAnswer(origin: origin, outcome: .definition(ids)))
        }
    }

    /// What the storage refused is written later, and acknowledged then: when it is asked again.
    mutating func answerDefinition(_ origin: Origin, _ ids: [UInt32]) {
        let isDurable = ids.allSatisfy { id in
            !replica.refusedMeta.contains { $0.key == MetaMemory.keyspaceKey(id) }
        }
        answerMerge(origin, isDurable ? .merged : .refused(.overloaded))
    }

    // MARK: Answers

    func isAwaited(_ number: RequestNumber, _ peer: PeerIndex) -> Bool {
        changes.contains(number) && changes[number.index].awaited.contains(peer)
    }

    /// An answer to a `define`: of a peer, or of this node's own disk.
    mutating func definitionAnswered(
        _ number: RequestNumber, _ peer: PeerIndex, _ outcome: MergeAnswer.Outcome
    ) {
        guard isAwaited(number, peer), case .merged = outcome else { return }
        changes[number.index].awaited.removeAll { $0 == peer }
        changes[number.index].acknowledged.append(peer)
        advanceChange(number.index)
    }

    /// A node is dead: it isn't waited for, and hears of the change when it comes back.
    mutating func forgetDefinitions(of peer: PeerIndex) {
        for index in changes.indices where changes[index].awaited.contains(peer) {
            changes[index].awaited.removeAll { $0 == peer }
            advanceChange(index)
        }
    }

    private mutating func advanceChange(_ index: Int) {
        let change = changes[index]
        if configuration.planted == .flushEarly, change.acknowledged.contains(PeerTable.own) {
            finishChange(index)
            return
        }
        guard change.awaited.isEmpty else { return }
        // Who has died meanwhile may have been one too many.
        if isMet(change) { finishChange(index) } else { changeExpired(index) }
    }

    private func isMet(_ change: DefinitionChange) -> Bool {
        guard change.isTruncation else { return true }
        for index in change.ids.compactMap({ keyspaces.index(of: $0) }) {
            for replicas in keyspaces[index].sets {
                var places = Places.none
                for peer in change.acknowledged {
                    if let place = replicas.place(of: peer) { places.insert(place) }
                }
                let level = change.level ?? keyspaces[index].definition.write
                guard replicas.requirement(level).isMet(by: places) else { return false }
            }
        }
        return true
    }

    private mutating func finishChange(_ index: Int) {
        let change = changes[index]
        changes.remove(index)
        if let ticket = change.ticket { effects.append(.reply(ticket, .defined(change.definitions))) }
    }

    /// Not all that live have acknowledged; gossip will bring it to them.
    mutating func changeExpired(_ index: Int) {
        let change = changes[index]
        changes.remove(index)
        guard let ticket = change.ticket else { return }
        metrics.writesTimedOut += 1
        func names(_ list: [PeerIndex]) -> [String] { list.map { peers[$0].name }.sorted() }
        effects.append(
            .reply(
                ticket,
                .failed(
                    .timeout(
                        .define, .all, required: change.awaited.count + change.acknowledged.count,
                        acknowledged: change.acknowledged.count, acked: names(change.acknowledged),
                        unknown: names(change.awaited), version: nil, after: now.monotonic - change.began))))
    }
}
