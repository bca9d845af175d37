import MartletBase

/// A ping that we sent for another member.
struct Relay {
    /// Of our ping to the target.
    let sequence: UInt32
    let target: NodeID
    /// Who asked, and by what number it knows the probe.
    let origin: NodeID
    let originAddress: Address
    let originSequence: UInt32
    /// When to say that there's no ack yet, then when to give up.
    var nextStep: Instant
    let expires: Instant
    var saidNo = false
}

extension Gossip {
    mutating func receivePingRequest(
        _ packet: borrowing Packet, from address: Address, _ now: Now, _ effects: inout [GossipEffect]
    ) {
        guard packet.target != own.id, relays.count < Limits.gossipRelaysMax else {
            effects.append(.refused("ping request"))
            return
        }
        let timeout = settings.probeTimeout
        let relay = Relay(
            sequence: UInt32(truncatingIfNeeded: random.next()), target: packet.target,
            origin: packet.sender.id, originAddress: address, originSequence: packet.sequence,
            // Before the asker's own timeout, with time to travel.
            nextStep: now.monotonic + timeout.scaled(by: 0.8), expires: now.monotonic + timeout * 2)
        relays.append(relay)
        let known = table.index(of: relay.target).map { table[$0].address }
        sendPing(relay.sequence, to: relay.target, at: known ?? packet.targetAddress, now, &effects)
    }

    mutating func relayAck(_ sequence: UInt32, of target: NodeID, _ effects: inout [GossipEffect]) {
        guard let place = relays.firstIndex(where: { $0.sequence == sequence && $0.target == target }) else {
            return
        }
        answer(relays.remove(at: place), .relayedAck, &effects)
    }

    mutating func advanceRelays(at now: Instant, _ effects: inout [GossipEffect]) {
        while let place = relays.firstIndex(where: { $0.nextStep <= now }) {
            if relays[place].saidNo {
                relays.remove(at: place)
            } else {
                relays[place].saidNo = true
                relays[place].nextStep = relays[place].expires
                answer(relays[place], .nack, &effects)
            }
        }
    }

    private mutating func answer(_ relay: Relay, _ kind: PacketKind, _ effects: inout [GossipEffect]) {
        var writer = begin(kind)
        writer.u32(relay.originSequence)
        send(writer, to: relay.originAddress, of: relay.origin, &effects)
    }
}
