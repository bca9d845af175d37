import MartletBase

/// What a packet says, before the news at its end.
///
/// `ping`, `ack` and `gossip` travel as datagrams; a ping may come over TCP too, and is then acknowledged
/// there. The `sync` kinds are the steps of a push-pull and travel over TCP only.
enum PacketKind: UInt8, CaseIterable {
    case ping = 1
    case ack
    /// A helper's: ping this target for me.
    case pingRequest
    /// A helper got the target's ack.
    case relayedAck
    /// A helper is well but got no ack (Lifeguard, IV-A: so a silent helper is a sign that we are the sick
    /// one).
    case nack
    /// News only.
    case gossip
    case syncAsk
    case syncEqual
    case syncLists
    case syncFacts

    var goesByDatagram: Bool { rawValue <= PacketKind.gossip.rawValue }
    var goesByStream: Bool { self == .ping || self == .ack || rawValue > PacketKind.gossip.rawValue }
}

struct RumourDigest: Hashable {
    let key: RumourKey
    let hash: UInt64
}

/// A packet as decoded: reused from packet to packet, so that decoding one allocates nothing. Only the fields
/// of its kind mean anything.
struct Packet {
    var kind = PacketKind.gossip
    /// As it says of itself: up or left.
    var sender = Member(
        id: NodeID(short: 0, middle: 0, low: 0), address: Address(ip: IPAddress(high: 0, low: 0), port: 0),
        incarnation: 0, liveness: .up)

    /// ping, ack, pingRequest, relayedAck, nack: names the probe to the one who asked.
    var sequence: UInt32 = 0
    /// ping, pingRequest: whom it is for.
    var target = NodeID(short: 0, middle: 0, low: 0)
    /// pingRequest: where that is.
    var targetAddress = Address(ip: IPAddress(high: 0, low: 0), port: 0)
    /// ping, ack: the sender's wall clock.
    var wall = WallTime(microseconds: 0)
    /// syncAsk: the digest of all that the sender holds.
    var root: UInt64 = 0
    /// syncFacts: whether the sender has sent what it was asked for, so that nothing more follows.
    var isLast = false

    /// News, or a push-pull's member list. Sorted by id in syncLists and syncFacts.
    var claims: [Claim] = []
    /// Facts, and where in the packet their bytes are.
    var rumours: [(key: RumourKey, bytes: Range<Int>)] = []
    /// syncLists: what the sender holds, sorted by key.
    var digests: [RumourDigest] = []
    /// syncFacts: what the sender would like to have, sorted.
    var wanted: [RumourKey] = []

    mutating func removeAll() {
        claims.removeAll(keepingCapacity: true)
        rumours.removeAll(keepingCapacity: true)
        digests.removeAll(keepingCapacity: true)
        wanted.removeAll(keepingCapacity: true)
    }
}
