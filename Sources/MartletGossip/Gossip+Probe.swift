import MartletBase

/// A ping of ours that awaits its ack.
struct Probe {
    let sequence: UInt32
    let target: NodeID
    let sentAt: Instant
    /// When the indirect probes are sent, then when it has failed.
    var nextStep: Instant
    let failsAt: Instant
    var isIndirect = false
    /// Members asked to ping the target, and those of them that said they had no ack either.
    var helpers = 0
    var nacks = 0
}

extension Gossip {
    // MARK: Whom to probe

    /// Somewhere at random in the rest of this round (SWIM, 4.3), so that a newcomer is soon probed.
    mutating func joinProbeOrder(_ id: NodeID) {
        if let place = probeOrder.firstIndex(of: id) {
            if place >= probeCursor { return }
            probeOrder.remove(at: place)
            probeCursor -= 1
        }
        let place = probeCursor + random.below(probeOrder.count - probeCursor + 1)
        probeOrder.insert(id, at: place)
    }

    mutating func probeNext(_ now: Now, _ effects: inout [GossipEffect]) {
        nextProbe = now.monotonic + settings.probeInterval * Int64(localHealth + 1)
        if peersPresent == 0 { return }
        // A round is reshuffled at most once here: everybody may be under probe already.
        for _ in 0...1 {
            while probeCursor < probeOrder.count {
                let id = probeOrder[probeCursor]
                probeCursor += 1
                if canProbe(id) {
                    probe(id, now, &effects)
                    return
                }
            }
            probeOrder.removeAll(keepingCapacity: true)
            for member in table.members where member.liveness.isPresent && member.id != own.id {
                probeOrder.append(member.id)
            }
            random.shuffle(&probeOrder)
            probeCursor = 0
        }
    }

    private func canProbe(_ id: NodeID) -> Bool {
        guard isActive, id != own.id, let index = table.index(of: id) else { return false }
        return table[index].liveness.isPresent && probes.count < Limits.gossipProbesMax
            && !probes.contains { $0.target == id }
    }

    /// A broken connection or a suspicion asks for it.
    mutating func probeAtOnce(_ id: NodeID, _ now: Now, _ effects: inout [GossipEffect]) {
        if canProbe(id) { probe(id, now, &effects) }
    }

    /// Some of those who hear of a suspicion look for themselves.
    mutating func considerSecondOpinion(_ id: NodeID, _ now: Now, _ effects: inout [GossipEffect]) {
        let others = max(1, peersPresent - 1)
        if random.chance(Double(settings.secondOpinions) / Double(others)) { probeAtOnce(id, now, &effects) }
    }

    private mutating func probe(_ id: NodeID, _ now: Now, _ effects: inout [GossipEffect]) {
        guard let index = table.index(of: id) else { invariantBroken("only members are probed") }
        let scale = Int64(localHealth + 1)
        let timeout = settings.probeTimeout * scale
        let probe = Probe(
            sequence: UInt32(truncatingIfNeeded: random.next()), target: id, sentAt: now.monotonic,
            nextStep: now.monotonic + timeout,
            failsAt: now.monotonic + max(settings.probeInterval * scale, timeout * 2))
        probes.append(probe)
        sendPing(probe.sequence, to: id, at: table[index].address, now, &effects)
    }

    // MARK: Its steps

    mutating func advanceProbes(_ now: Now, _ effects: inout [GossipEffect]) {
        while let place = probes.firstIndex(where: { $0.nextStep <= now.monotonic }) {
            if probes[place].isIndirect {
                let probe = probes.remove(at: place)
                fail(probe, now, &effects)
            } else {
                probeIndirectly(place, now, &effects)
            }
        }
    }

    private mutating func probeIndirectly(_ place: Int, _ now: Now, _ effects: inout [GossipEffect]) {
        let probe = probes[place]
        guard let index = table.index(of: probe.target) else { invariantBroken("a probe is of a member") }
        let target = table[index]
        let helpers = randomPeers(settings.indirectProbes, upOnly: true, excluding: target.id)
        probes[place].isIndirect = true
        probes[place].nextStep = probe.failsAt
        probes[place].helpers = helpers.count
        for helper in helpers {
            var writer = begin(.pingRequest)
            writer.u32(probe.sequence)
            target.id.write(to: &writer)
            writer.compact(target.address)
            send(writer, to: table[helper], &effects)
        }
        var writer = begin(.ping)
        writer.u32(probe.sequence)
        target.id.write(to: &writer)
        writer.u64(UInt64(clamping: now.wall.microseconds))
        addNote(to: &writer, for: target.id)
        effects.append(.stream(to: target.address, PacketCodec.seal(writer)))
    }

    private mutating func fail(_ probe: Probe, _ now: Now, _ effects: inout [GossipEffect]) {
        // Helpers that are well say so (Lifeguard, IV-A); without any, the doubt is shared.
        changeLocalHealth(by: probe.helpers > 0 ? probe.helpers - probe.nacks : 1, &effects)
        effects.append(.report(.probeFailed(probe.target, nacks: probe.nacks, helpers: probe.helpers)))
        accuse(probe.target, now, &effects)
    }

    // MARK: Answers

    /// An ack by the target itself, over either channel.
    mutating func receiveAck(
        _ packet: borrowing Packet, overStream: Bool, _ now: Now, _ effects: inout [GossipEffect]
    ) {
        let (sequence, sender) = (packet.sequence, packet.sender.id)
        if let place = probes.firstIndex(where: { $0.sequence == sequence && $0.target == sender }) {
            let probe = probes.remove(at: place)
            if overStream {
                effects.append(.report(.datagramsLost(sender)))
            } else {
                let roundTrip = now.monotonic - probe.sentAt
                let offset = packet.wall + roundTrip / 2 - now.wall
                effects.append(.clockSample(sender, offset: offset, roundTrip: roundTrip))
            }
            changeLocalHealth(by: -1, &effects)
        } else if !overStream {
            relayAck(sequence, of: sender, &effects)
        }
    }

    mutating func receiveRelayedAck(_ sequence: UInt32, _ effects: inout [GossipEffect]) {
        guard let place = probes.firstIndex(where: { $0.sequence == sequence && $0.isIndirect }) else {
            return
        }
        probes.remove(at: place)
        changeLocalHealth(by: -1, &effects)
    }

    mutating func receiveNack(_ sequence: UInt32) {
        guard let place = probes.firstIndex(where: { $0.sequence == sequence && $0.isIndirect }) else {
            return
        }
        probes[place].nacks = min(probes[place].nacks + 1, probes[place].helpers)
    }

    // MARK: Absent members

    /// Contacts those whom this member doesn't take part with: one that is absent, one that it never met.
    mutating func reconnect(_ now: Now, _ effects: inout [GossipEffect]) {
        nextReconnect = now.monotonic + settings.reconnectInterval
        pingAbsent(now, &effects)
        let strangers = strangers
        if peersPresent > 0, isTurn(toContact: strangers.count) {
            askForSync(strangers[random.below(strangers.count)], &effects)
        }
    }

    /// So likely that all members present contact as many together as there are, each interval.
    private mutating func isTurn(toContact count: Int) -> Bool {
        count > 0 && random.chance(Double(count) / Double(table.presentCount))
    }

    /// Pings an absent member, so that it hears how it is held, and refutes if it lives.
    private mutating func pingAbsent(_ now: Now, _ effects: inout [GossipEffect]) {
        let absent = table.absentCount
        guard isTurn(toContact: absent) else { return }
        var left = random.below(absent)
        for index in 0..<table.count where !table[index].liveness.isPresent {
            if left == 0 {
                let member = table[index]
                sendPing(
                    UInt32(truncatingIfNeeded: random.next()), to: member.id, at: member.address, now,
                    &effects)
                return
            }
            left -= 1
        }
    }
}
