import MartletBase
import MartletRing
import MartletStorage
import MartletWire

/// The replica's part of scans: lists for coordinators, this node's own among them.
extension Node {
    mutating func scanAsked(_ link: LinkID, _ peer: PeerIndex, _ request: ScanRequest) {
        if let refusal = scanRefusal(request) {
            if refusal == .stalePlacement {
                showView(to: peer, over: link, request.keyspace, in: slots(of: request))
            }
            metrics.replicaRefusals += 1
            answerScan(.link(link, request: request.request), .refused(refusal))
            return
        }
        replicaScan(.link(link, request: request.request), request)
    }

    /// A message's range may be any two tokens.
    func slots(of request: ScanRequest) -> SlotSpan {
        let (first, last) = (Token(value: request.first).slot.index, Token(value: request.last).slot.index)
        return SlotSpan(first: min(first, last), last: max(first, last))
    }

    /// Why this node can't list the range for a coordinator with the given placement of its slots.
    func scanRefusal(_ request: ScanRequest) -> ReplicaRefusal? {
        guard formation.isFormed, life == .running else { return .notServing }
        let last = Token(value: request.last).slot
        guard let index = keyspaces.index(of: request.keyspace),
            let run = keyspaces.run(index, from: Token(value: request.first).slot, through: last),
            run.last == last, run.digest == request.placement, run.replicas.own != nil
        else { return .stalePlacement }
        return answersReads ? nil : .notServing
    }

    mutating func replicaScan(_ origin: Origin, _ request: ScanRequest) {
        guard replica.scans.count < Limits.replicaScansMax else {
            metrics.replicaRefusals += 1
            answerScan(origin, .refused(.overloaded))
            return
        }
        metrics.replicaScans += 1
        let (index, _) = replica.scans.insert(PendingScan(origin, request, shape: handover.shape))
        passOn(index, from: StorageKey.position(keyspace: request.keyspace, token: request.first))
    }

    private mutating func passOn(_ index: Int, from position: Blob) {
        let number = RequestNumber(
            kind: .scan, attempt: 0, generation: replica.scans.generation(index), index: index)
        let scan = replica.scans[index]
        effects.append(
            .storage(.scan(ReadTicket(number.bits), from: position, until: scan.upper, scan.limit)))
    }

    mutating func scanCame(_ ticket: ReadTicket, _ page: ScanPage) {
        let number = RequestNumber(bits: ticket.number)
        invariant(replica.scans.contains(number), "the storage completed a scan that nobody asked for")
        // What is hidden now and isn't when the list is shown can't be: horizons only rise.
        let keyspace = replica.scans[number.index].keyspace
        let (keyspaces, isBlind) = (keyspaces, configuration.planted == .ignoreTruncation)
        let progress = replica.scans[number.index].take(page) { slot in
            isBlind ? .none : keyspaces.horizon(of: keyspace, slot)
        }
        switch progress {
        case .more(let position): passOn(number.index, from: position)
        case .done(let outcome): finishScan(number.index, outcome)
        }
    }

    mutating func scanRefused(_ ticket: ReadTicket) {
        let number = RequestNumber(bits: ticket.number)
        invariant(replica.scans.contains(number), "the storage refused a scan that nobody asked for")
        finishScan(number.index, .refused(.overloaded))
    }

    /// What was passed may hold merges that a power cut would still undo, and which of them it held isn't
    /// known: the list is shown when all that were asked for by now are durable.
    private mutating func finishScan(_ index: Int, _ outcome: ScanAnswer.Outcome) {
        let origin = replica.scans[index].origin
        // What was to be passed may have been erased before it was, when the ring has turned meanwhile.
        let hasTurned = replica.scans[index].shape != handover.shape
        let outcome = hasTurned ? .refused(.stalePlacement) : outcome
        replica.scans.remove(index)
        if replica.pending.isEmpty || configuration.planted == .answerUnsyncedRead {
            answerScan(origin, outcome)
        } else {
            replica.pending[replica.pending.count - 1].withheld.append(
                Replica.WithheldAnswer(origin: origin, outcome: .scan(outcome)))
        }
    }

    mutating func answerScan(_ origin: Origin, _ outcome: ScanAnswer.Outcome) {
        switch origin {
        case .own(let number, let place): scanAnswered(number, place, outcome)
        case .link(let link, let request):
            effects.append(.respond(link, .scanAnswer(ScanAnswer(request: request, outcome: outcome))))
        case .group: invariantBroken("a group of merges scans nothing")
        }
    }
}
