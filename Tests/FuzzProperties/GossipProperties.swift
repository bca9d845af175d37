import MartletBase
import MartletGossip

/// A member that hears anything, in any order, keeps its invariants; what it says is understood by another
/// one, and stays within the sizes of packets and push-pulls.
func checkGossip(_ input: [UInt8]) throws(PropertyFailure) {
    var input = FuzzInput(input)
    var member = GossipMember()
    try member.tell(.start)
    while !input.isAtEnd {
        let event = GossipMember.event(&input, at: &member.now, deadline: member.gossip.nextDeadline)
        try member.tell(event)
    }
}

private struct GossipMember {
    var gossip: Gossip
    var listener: Gossip
    var now = Now(monotonic: .zero, wall: WallTime(milliseconds: 1_700_000_000_000))

    init() {
        let settings = GossipSettings(clusterName: ForgedPacket.cluster)
        gossip = Gossip(
            id: ForgedPacket.id(1), address: ForgedPacket.address(1), incarnation: 1, settings: settings,
            seed: 1)
        listener = Gossip(
            id: ForgedPacket.id(200), address: ForgedPacket.address(200), incarnation: 1, settings: settings,
            seed: 2)
    }

    static func event(_ input: inout FuzzInput, at now: inout Now, deadline: Instant) -> GossipEvent {
        func fact(_ input: inout FuzzInput) -> Blob { Blob(input.piece()) }
        switch input.below(16) {
        case 0: return .datagram(from: ForgedPacket.address(input.below(8)), Blob(input.piece()))
        case 1: return .stream(link: 1, Blob(input.piece()))
        case 2, 3, 4:
            let from = ForgedPacket.address(input.below(8))
            return .datagram(from: from, ForgedPacket.packet(&input, rumour: fact))
        case 5, 6, 7: return .stream(link: 2, ForgedPacket.packet(&input, rumour: fact))
        case 8: return .streamFailed(ForgedPacket.address(input.below(8)))
        case 9: return .connectionBroke(ForgedPacket.id(input.below(8)))
        case 10:
            return .publish(
                RumourKey(kind: input.u8() % 8, id: ForgedPacket.id(input.below(8))), Blob(input.piece()))
        case 11: return .retract(RumourKey(kind: input.u8() % 8, id: ForgedPacket.id(input.below(8))))
        case 12:
            // Not ourselves: who would be left to talk?
            return .forget(ForgedPacket.id(2 + input.below(6)))
        case 13: return .join(seeds: [ForgedPacket.address(input.below(8))])
        case 14 where input.below(8) == 7: return .leave
        default:
            now = later(now, by: .milliseconds(Int64(input.u8()) * 4), orAt: deadline)
            return .timer
        }
    }

    mutating func tell(_ event: GossipEvent) throws(PropertyFailure) {
        var effects: [GossipEffect] = []
        gossip.handle(event, now: now, into: &effects)
        gossip.checkInvariants()
        for effect in effects {
            switch effect {
            case .datagram(let to, let bytes):
                try require(
                    bytes.count <= gossip.settings.packetBytesMax, "a datagram of \(bytes.count) bytes")
                try understand(.datagram(from: to, bytes), "datagram", bytes)
            case .stream(_, let bytes), .respond(_, let bytes):
                try require(bytes.count <= Limits.gossipStreamBytesMax, "a push-pull of \(bytes.count) bytes")
                try understand(.stream(link: 1, bytes), "push-pull", bytes)
            default: break
            }
        }
    }

    private mutating func understand(
        _ event: GossipEvent, _ what: String, _ bytes: Blob
    ) throws(PropertyFailure) {
        var effects: [GossipEffect] = []
        listener.handle(event, now: now, into: &effects)
        for case .refused(let reason) in effects where reason.description != "target" {
            throw PropertyFailure("a \(what) is refused by others because of its \(reason): \(bytes)")
        }
    }
}

/// The time after so long, or the deadline when that comes first. Both clocks move.
func later(_ now: Now, by interval: Interval, orAt deadline: Instant) -> Now {
    let step = max(.zero, min(interval, deadline - now.monotonic))
    return Now(monotonic: now.monotonic + step, wall: now.wall + step)
}
