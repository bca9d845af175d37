import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// The coordinator of scans (`ScanOperation`).
extension Node {
    mutating func startScan(_ ticket: ClientTicket, _ request: ClientRequest, _ scan: Scan, _ index: Int) {
        metrics.scans += 1
        let level = request.level ?? keyspaces[index].definition.read
        guard level != .any else {
            effects.append(.reply(ticket, .failed(.badLevel(level))))
            return
        }
        guard scans.count < Limits.scansMax else {
            refuseOverload(ticket, "scans_max")
            return
        }
        let deadline = now.monotonic + (request.timeout ?? configuration.requestTimeout)
        let (place, generation) = scans.insert(
            ScanOperation(
                ticket: ticket, keyspace: request.keyspace, level: level, scan: scan, began: now.monotonic,
                deadline: deadline, position: scan.range.lowerBound))
        let number = RequestNumber(kind: .scan, attempt: 0, generation: generation, index: place)
        addDeadline(Deadline(number: number, purpose: .expire), at: deadline)
        if configuration.speculation != .off, now.monotonic + Limits.scanPatience < deadline {
            addDeadline(
                Deadline(number: number, purpose: .speculate), at: now.monotonic + Limits.scanPatience)
        }
        step(place)
    }

    private func number(ofScan index: Int) -> RequestNumber {
        RequestNumber(
            kind: .scan, attempt: scans[index].attempt, generation: scans.generation(index), index: index)
    }

    // MARK: Asking

    /// Asks for the next part, or begins anew with this one on a newer placement.
    private mutating func step(_ index: Int) {
        let position = scans[index].position
        let range = scans[index].scan.range
        guard let keyspace = keyspaces.index(of: scans[index].keyspace) else {
            return failScan(index, .noSuchKeyspace(scans[index].keyspace))
        }
        guard let run = keyspaces.run(keyspace, from: position.slot, through: range.upperBound.slot)
        else { return failScan(index, .loading(waits: formation.waits)) }
        let level = scans[index].level
        let requirement = run.replicas.requirement(level)
        let readable = readable(run.replicas)
        guard requirement.isMet(by: readable) else {
            let failure = unavailable(.read, level, run.replicas, requirement, reachable: readable)
            return failScan(index, failure)
        }
        var last = min(Token.bounds(of: run.last).upperBound, range.upperBound)
        if let listed = scans[index].listed { last = min(last, listed.last) }
        scans[index].begin(run, requirement, at: now.monotonic)
        let number = number(ofScan: index)
        scans[index].request = ScanRequest(
            request: number.bits, placement: digest(of: run, keyspace, position, last),
            keyspace: scans[index].keyspace, first: position.value, last: last.value,
            asOf: now.wall.milliseconds, wanted: wanted(scans[index]))
        var chosen = closest(run.replicas, meeting: requirement, avoiding: scans[index].avoided)
        while let place = chosen.first {
            chosen.remove(place)
            guard isCurrent(number) else { return }
            if !scans[index].asked.contains(place) { ask(index, place) }
        }
    }

    /// Of the slots that the question is about, when they are fewer than the run.
    private func digest(
        of run: KeyspaceTable.Run, _ keyspace: Int, _ first: Token, _ last: Token
    ) -> UInt64 {
        last.slot == run.last
            ? run.digest : keyspaces.run(keyspace, from: first.slot, through: last.slot)?.digest ?? 0
    }

    private func wanted(_ scan: ScanOperation) -> ScanRequest.Wanted {
        switch scan.scan.wanted {
        case .keys(let about):
            .keys(atLeast: max(1, min(about - scan.page.keys.count, Limits.scanKeysMax)))
        case .count: scan.listed == nil ? .counts : .keys(atLeast: Limits.scanKeysMax)
        }
    }

    /// Whether the number is of a step that still asks.
    private func isCurrent(_ number: RequestNumber) -> Bool {
        scans.contains(number) && scans[number.index].attempt == number.attempt
            && scans[number.index].step == .asking
    }

    private mutating func ask(_ index: Int, _ place: Int) {
        scans[index].asked.insert(place)
        let request = scans[index].request
        let peer = scans[index].replicas.peers[place]
        if peer == PeerTable.own {
            let origin = Origin.own(RequestNumber(bits: request.request), place: place)
            if let refusal = scanRefusal(request) {
                answerScan(origin, .refused(refusal))
            } else {
                replicaScan(origin, request)
            }
        } else {
            effects.append(.send(peer, .scan(request)))
        }
    }

    /// Asks one more replica where some take long, and looks again later: one deadline a page, not one a
    /// step.
    mutating func lookAfterScan(_ number: RequestNumber) {
        guard scans.contains(number) else { return }
        let index = number.index
        var next = now.monotonic + Limits.scanPatience
        let due = scans[index].askedAt + Limits.scanPatience
        if due > now.monotonic {
            next = due
        } else if scans[index].step == .asking {
            scans[index].awaited.forEach { place in
                let peer = scans[index].replicas.peers[place]
                if !scans[index].slow.contains(peer) { scans[index].slow.append(peer) }
            }
            askInStead(index)
        }
        guard scans.contains(number), next < scans[index].deadline else { return }
        addDeadline(Deadline(number: number, purpose: .speculate), at: next)
    }

    /// Asks a place that brings the level nearer than those that have answered, if there is one.
    private mutating func askInStead(_ index: Int) {
        let scan = scans[index]
        var left = readable(scan.replicas).intersection(scan.requirement.scope).subtracting(scan.asked)
        while let other = closest(scan.replicas, left) {
            left.remove(other)
            guard scan.requirement.isHelped(by: other, given: scan.answered) else { continue }
            metrics.speculativeScans += 1
            return ask(index, other)
        }
    }

    // MARK: Answers

    mutating func scanAnswered(_ number: RequestNumber, _ place: Int, _ outcome: ScanAnswer.Outcome) {
        let index = number.index
        guard isCurrent(number), scans[index].awaited.contains(place) else { return }
        switch outcome {
        case .refused(.stalePlacement): retryScan(index)
        case .refused: scanLost(index, place)
        case .keys, .counts:
            guard isSound(outcome, scans[index].request) else {
                metrics.badPeerBytes += 1
                effects.append(.report(.badPeerBytes("scan answer")))
                return scanLost(index, place)
            }
            scans[index].answers[place] = outcome
            if scans[index].requirement.isMet(by: scans[index].answered) { compare(index) }
        }
    }

    /// Whether a peer's list is one: of the range that was asked for, in order, nothing twice, and getting
    /// on.
    private func isSound(_ outcome: ScanAnswer.Outcome, _ request: ScanRequest) -> Bool {
        var after = request.first
        var before: Blob?
        var leaf: UInt32?
        func isAhead(_ next: UInt64?) -> Bool {
            next.map { $0 > request.first && $0 <= request.last } ?? true
        }
        switch (outcome, request.wanted) {
        case (.keys(let keys, let next), .keys):
            for key in keys {
                let token = Token(key: key).value
                guard token >= after, token <= request.last else { return false }
                if token == after, let before, key <= before { return false }
                (after, before) = (token, key)
            }
            return isAhead(next) && (keys.isEmpty || next.map { $0 > after } ?? true)
        case (.counts(let counts, let next), .counts):
            for count in counts {
                guard count.leaf < Leaf.count, leaf.map({ $0 < count.leaf }) ?? true,
                    Leaf(index: count.leaf).last.value >= after,
                    Leaf(index: count.leaf).first.value <= request.last
                else { return false }
                leaf = count.leaf
                after = Leaf(index: count.leaf).last.value
            }
            return isAhead(next) && (counts.isEmpty || next.map { $0 > after } ?? true)
        default: return false
        }
    }

    private mutating func retryScan(_ index: Int) {
        let scan = scans[index]
        guard scan.placementRetries < Limits.placementRetriesMax, scan.attempt < Limits.scanStepsMax else {
            return expireScan(index)
        }
        metrics.placementRetries += 1
        scans[index].placementRetries += 1
        tellFloors(scan.keyspace, in: slots(of: scan.request), scan.replicas)
        step(index)
    }

    /// No list will come from this place: asks another one that helps, or gives up.
    private mutating func scanLost(_ index: Int, _ place: Int) {
        scans[index].lost.insert(place)
        let scan = scans[index]
        let number = number(ofScan: index)
        var left = readable(scan.replicas).intersection(scan.requirement.scope).subtracting(scan.asked)
        while isCurrent(number) {
            let hoped = scans[index].answered.union(scans[index].awaited)
            if scan.requirement.isMet(by: hoped) { return }
            guard let other = closest(scan.replicas, left) else { return expireScan(index) }
            left.remove(other)
            if scan.requirement.isHelped(by: other, given: hoped) { ask(index, other) }
        }
    }

    mutating func scanLost(_ index: Int, _ peer: PeerIndex) {
        guard scans[index].step == .asking, let place = scans[index].replicas.place(of: peer),
            scans[index].awaited.contains(place)
        else { return }
        scanLost(index, place)
    }

    // MARK: Resolving

    private mutating func compare(_ index: Int) {
        scans[index].compare(planted: configuration.planted)
        scans[index].answers = []
        scans[index].step = .resolving
        resolve(index)
    }

    /// Has keys in doubt read, some at once; when none is left the step is done.
    private mutating func resolve(_ index: Int) {
        let number = number(ofScan: index)
        while scans.contains(number), scans[index].nextDoubt < scans[index].doubts.count,
            scans[index].readsUnderWay < Limits.scanReadsMax
        {
            let place = scans[index].doubts[scans[index].nextDoubt]
            let key = scans[index].found[place].key
            scans[index].nextDoubt += 1
            scans[index].readsUnderWay += 1
            metrics.scanReads += 1
            let token = Token(key: key)
            guard let keyspace = keyspaces.index(of: scans[index].keyspace),
                let replicas = keyspaces.replicas(keyspace, of: token.slot)
            else { return failScan(index, .noSuchKeyspace(scans[index].keyspace)) }
            let request = ClientRequest(
                keyspace: scans[index].keyspace, key: key, operation: .get, level: scans[index].level,
                timeout: scans[index].deadline - now.monotonic)
            startRead(.scan(number, place: place), request, keyspace, token, replicas)
        }
        let isDone =
            scans.contains(number) && scans[index].step == .resolving && scans[index].readsUnderWay == 0
            && scans[index].nextDoubt == scans[index].doubts.count
        if isDone { finishStep(index) }
    }

    /// A key in doubt was read.
    mutating func scanResolved(_ number: RequestNumber, _ place: Int, _ reply: ClientReply) {
        let index = number.index
        guard scans.contains(number), scans[index].attempt == number.attempt else { return }
        switch reply {
        case .read(let record):
            let isLive = record.map { (try? RecordSummary($0.span))?.isLive(now.wall) ?? false } ?? false
            scans[index].found[place].isLive = isLive
            scans[index].readsUnderWay -= 1
            resolve(index)
        case .failed(let failure): failScan(index, failure)
        case .written, .scanned, .defined, .acted: invariantBroken("a read was answered by something else")
        }
    }

    private mutating func finishStep(_ index: Int) {
        scans[index].takeFound()
        scans[index].placementRetries = 0
        if !scans[index].advance() {
            finishScan(index, next: nil)
        } else if scans[index].isFull(at: now.monotonic) {
            finishScan(index, next: scans[index].position)
        } else {
            step(index)
        }
    }

    // MARK: Ends

    mutating func scanExpired(_ number: RequestNumber) {
        if scans.contains(number) { expireScan(number.index) }
    }

    /// The part that is under way can't be finished.
    mutating func expireScan(_ index: Int) {
        let scan = scans[index]
        let scope = scan.requirement.scope
        let answered = scan.answered
        failScan(
            index,
            .timeout(
                .read, scan.level, required: scan.requirement.required,
                acknowledged: scan.requirement.counted(answered), acked: names(scan.replicas, answered),
                unknown: names(scan.replicas, scope.subtracting(answered)), version: nil,
                after: now.monotonic - scan.began))
    }

    /// Answers with the page as far as it came, if it came anywhere; else with the failure.
    private mutating func failScan(_ index: Int, _ failure: RequestFailure) {
        if scans[index].hasAdvanced { return finishScan(index, next: scans[index].position) }
        switch failure {
        case .unavailable: metrics.scansUnavailable += 1
        case .timeout: metrics.scansTimedOut += 1
        default: break
        }
        end(index, .failed(failure))
    }

    private mutating func finishScan(_ index: Int, next: Token?) {
        scans[index].page.next = next
        end(index, .scanned(scans[index].page))
    }

    private mutating func end(_ index: Int, _ reply: ClientReply) {
        effects.append(.reply(scans[index].ticket, reply))
        if scans[index].readsUnderWay > 0 { abandonReads(ofScan: index) }
        scans.remove(index)
    }

    /// Nobody waits for them any more.
    private mutating func abandonReads(ofScan index: Int) {
        let number = number(ofScan: index)
        for read in reads.indices {
            if case .scan(number, _) = reads[read].asker { removeRead(read) }
        }
    }
}
