import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// Read repair: the last step of a get whose replicas differ. The join is written back until N - R + 1 places
/// hold it, and only then shown.
///
/// From here on the join is fixed. A place that can't take it is replaced by another one, so a replica that
/// dies meanwhile costs the read nothing but the time to ask the next.
extension Node {
    mutating func repair(_ index: Int) {
        // Who differed may be gone, and another have answered in its place. (And without any record there is
        // nothing to write, whatever a peer's digest says.)
        guard !reads[index].isSettled, reads[index].record != nil else {
            finishRead(index, .read(reads[index].record))
            return
        }
        reads[index].step = .repairing
        reads[index].lost = .none
        metrics.readRepairs += 1
        let stale = reads[index].answered.subtracting(reads[index].holders)
        sendRepairs(index, to: stale.intersection(reachable(reads[index].replicas)))
    }

    /// Writes the join back to the stale places, and to as many others as it takes to reach the complement.
    private mutating func sendRepairs(_ index: Int, to stale: Places) {
        guard let record = reads[index].record else {
            invariantBroken("replicas differ, but none of them holds a record")
        }
        let replicas = reads[index].replicas
        let needed = reads[index].requirement.complement
        var targets = stale
        var promised = reads[index].promised.union(targets)
        var left = reachable(replicas).subtracting(promised).subtracting(reads[index].lost)
        while !needed.isMet(by: promised), let place = closest(replicas, left) {
            left.remove(place)
            guard needed.isHelped(by: place, given: promised) else { continue }
            targets.insert(place)
            promised.insert(place)
        }
        reads[index].repairs = reads[index].repairs.union(targets)
        let number = number(of: index)
        let request = MergeRequest(
            request: number.bits, placement: replicas.digest, keyspace: reads[index].keyspace, isFresh: false,
            key: reads[index].key, record: record)
        targets.forEach { place in
            let peer = replicas.peers[place]
            if peer != PeerTable.own { effects.append(.send(peer, .merge(request))) }
        }
        // Last, because the own replica may answer at once.
        if let own = replicas.own, targets.contains(own) {
            replicaMerge(
                .own(number, place: own), keyspace: reads[index].keyspace, token: reads[index].token,
                key: reads[index].key, record: record, isFresh: false)
        }
        if reads.contains(number) { settleRepair(index) }
    }

    private mutating func settleRepair(_ index: Int) {
        let needed = reads[index].requirement.complement
        if configuration.planted == .skipReadRepairWait || needed.isMet(by: reads[index].holders) {
            finishRead(index, .read(reads[index].record))
        } else if !needed.isMet(by: reads[index].promised) {
            failRead(index)
        }
    }

    mutating func repairAnswered(_ number: RequestNumber, _ place: Int, _ outcome: MergeAnswer.Outcome) {
        let index = number.index
        guard reads.contains(number), reads[index].attempt == number.attempt,
            reads[index].step == .repairing, reads[index].repairs.contains(place)
        else { return }
        switch outcome {
        case .merged, .dominated:
            reads[index].repaired.insert(place)
            settleRepair(index)
        case .refused(.stalePlacement): if !retryRead(index) { failRead(index) }
        case .refused, .closed: repairLost(index, place)
        }
    }

    /// A repair did not arrive: another place must take it.
    mutating func repairLost(_ index: Int, _ place: Int) {
        reads[index].lost.insert(place)
        sendRepairs(index, to: .none)
    }
}
