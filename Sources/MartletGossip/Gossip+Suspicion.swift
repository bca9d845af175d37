import MartletBase

/// A member that failed a probe, and the time it has left to refute.
struct Suspicion {
    let id: NodeID
    /// When we first heard of it; moved on by a stall of ours.
    var since: Instant
    var expires: Instant
    /// Short ids of the members whose own probes failed, sorted.
    var accusers: [UInt64]

    var confirmations: Int { accusers.count - 1 }
}

extension Gossip {
    /// Our own probe of a member failed.
    mutating func accuse(_ id: NodeID, _ now: Now, _ effects: inout [GossipEffect]) {
        guard let index = table.index(of: id) else { return }
        let held = table[index]
        switch held.liveness {
        // It could not refute, so everybody would refuse the claim, and with it the packet that carries it.
        case .up where held.incarnation == Limits.incarnationMax: break
        case .up:
            var member = held
            member.liveness = .suspect
            let claim = Claim(member: member, accusers: [own.id.short])
            adopt(claim, replacing: index, from: .itself, now, &effects)
        case .suspect: confirmSuspicion(held, by: [own.id.short], &effects)
        case .down, .left: break
        }
    }

    mutating func beginSuspicion(_ member: Member, accusers: [UInt64], at now: Instant) {
        suspicions.append(Suspicion(id: member.id, since: now, expires: now, accusers: accusers))
    }

    /// Adds accusers, and passes them on, until there are as many as are looked for: more change nothing.
    mutating func confirmSuspicion(
        _ member: Member, by accusers: [UInt64], _ effects: inout [GossipEffect]
    ) {
        guard let place = suspicions.firstIndex(where: { $0.id == member.id }) else {
            invariantBroken("every suspect has a suspicion")
        }
        let before = suspicions[place].accusers.count
        for accuser in accusers where suspicions[place].confirmations < settings.suspicionConfirmations {
            let held = suspicions[place].accusers
            if held.contains(accuser) { continue }
            suspicions[place].accusers.insert(accuser, at: held.firstIndex { $0 > accuser } ?? held.count)
        }
        let count = suspicions[place].accusers.count
        if count == before { return }
        reconsiderSuspicions()
        effects.append(.report(.suspicionConfirmed(member.id, confirmations: count - 1)))
        offer(member, accusers: count)
    }

    /// Recomputes when suspicions end: after a change of accusers or of the members that could confirm.
    mutating func reconsiderSuspicions() {
        if suspicions.isEmpty { return }
        let bounds = suspicionTimeouts
        // The first accuser was one of those that are up; so many others could confirm.
        let possible = min(settings.suspicionConfirmations, max(0, table.upCount - 1))
        for index in suspicions.indices {
            let confirmations = suspicions[index].confirmations
            var timeout = bounds.least
            if confirmations < possible {
                let share = log2(confirmations + 1) / log2(possible + 1)
                timeout = bounds.most - (bounds.most - bounds.least).scaled(by: share)
            }
            suspicions[index].expires = suspicions[index].since + timeout
        }
    }

    private var suspicionTimeouts: (least: Interval, most: Interval) {
        let log10 = log2(table.presentCount) * 0.301_029_995_663_981_2
        let least = max(
            settings.suspicionTimeoutMin,
            settings.probeInterval.scaled(by: settings.suspicionMultiplier * log10))
        return (least, least * Int64(settings.suspicionMaxMultiplier))
    }

    mutating func expireSuspicions(_ now: Now, _ effects: inout [GossipEffect]) {
        while let suspicion = suspicions.first(where: { $0.expires <= now.monotonic }) {
            guard let index = table.index(of: suspicion.id) else {
                invariantBroken("a suspicion is of a member")
            }
            var member = table[index]
            member.liveness = .down
            effects.append(
                .report(
                    .declaredDown(
                        member.id, after: now.monotonic - suspicion.since,
                        confirmations: suspicion.confirmations)))
            adopt(Claim(member: member), replacing: index, from: .itself, now, &effects)
        }
    }

    /// When an event comes much later than it was due, we were not run: we can't tell who didn't answer
    /// meanwhile.
    mutating func forgiveStall(at now: Instant, _ effects: inout [GossipEffect]) {
        if nextDeadline == .distantFuture { return }
        let lateness = now - nextDeadline
        if lateness <= settings.probeTimeout { return }
        probes.removeAll()
        relays.removeAll()
        for index in suspicions.indices {
            suspicions[index].since = suspicions[index].since + lateness
            suspicions[index].expires = suspicions[index].expires + lateness
        }
        effects.append(.report(.stalled(lateness)))
        changeLocalHealth(by: 1, &effects)
    }
}

/// Binary logarithm of a positive number, to 2^-20, by repeated squaring: the same on every machine, and
/// without libm.
func log2(_ value: Int) -> Double {
    if value <= 1 { return 0 }
    let whole = Int.bitWidth - 1 - value.leadingZeroBitCount
    var mantissa = Double(value) / Double(1 << whole)
    var result = Double(whole)
    var bit = 0.5
    for _ in 0..<20 {
        mantissa *= mantissa
        if mantissa >= 2 {
            mantissa /= 2
            result += bit
        }
        bit /= 2
    }
    return result
}
