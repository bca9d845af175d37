import MartletBase
import MartletGossip

/// Some ids and addresses, and a member driven by hand.
enum Name {
    static let a = NodeID(short: 0xA, middle: 1, low: 1)
    static let b = NodeID(short: 0xB, middle: 1, low: 1)
    static let c = NodeID(short: 0xC, middle: 1, low: 1)
    static let d = NodeID(short: 0xD, middle: 1, low: 1)

    static func address(_ id: NodeID) -> Address {
        Address(ip: IPAddress(v4: 10, 9, 0, UInt8(id.short & 255)), port: 7600)
    }
}

/// A `Gossip` with a clock of its own, and what its last event asked for.
struct Peer {
    var gossip: Gossip
    var time = Instant(nanoseconds: 1_000_000_000)
    var effects: [GossipEffect] = []

    init(
        _ id: NodeID, incarnation: UInt64 = 5, cluster: String = "test", address: Address? = nil,
        change: (inout GossipSettings) -> Void = { _ in }
    ) {
        var settings = GossipSettings(clusterName: cluster)
        change(&settings)
        gossip = Gossip(
            id: id, address: address ?? Name.address(id), incarnation: incarnation, settings: settings,
            seed: id.short)
    }

    mutating func handle(_ event: GossipEvent) {
        effects.removeAll()
        gossip.handle(
            event, now: Now(monotonic: time, wall: WallTime(milliseconds: 1_700_000_000_000)), into: &effects)
        gossip.checkInvariants()
    }

    /// Sends `.timer` whenever it is due, until the given time has passed; gives all effects.
    mutating func wait(_ interval: Interval) -> [GossipEffect] {
        let end = time + interval
        var all: [GossipEffect] = []
        while gossip.nextDeadline <= end {
            time = max(time, gossip.nextDeadline)
            handle(.timer)
            all += effects
        }
        time = end
        effects = all
        return all
    }

    /// Hands over every datagram among this one's last effects that is addressed to the other.
    func deliver(to other: inout Peer) {
        for case .datagram(let to, let bytes) in effects where to == Name.address(other.gossip.id) {
            other.handle(.datagram(from: Name.address(gossip.id), bytes))
        }
    }

    /// Delivers until neither has anything to say: the answers are delivered back.
    mutating func exchange(with other: inout Peer) {
        for _ in 0..<10 {
            deliver(to: &other)
            other.deliver(to: &self)
        }
    }

    /// What was said of members by the last event.
    var changes: [(member: Member, was: Liveness?)] {
        effects.compactMap { if case .liveness(let member, let was) = $0 { (member, was) } else { nil } }
    }

    var refusals: [String] {
        effects.compactMap { if case .refused(let reason) = $0 { reason.description } else { nil } }
    }

    var reports: [GossipReport] {
        effects.compactMap { if case .report(let report) = $0 { report } else { nil } }
    }
}

/// Packets written by hand, after the format in `PacketCodec`'s documentation: what a forger or another
/// version sends.
struct Forged {
    static let ping: UInt8 = 1
    static let ack: UInt8 = 2
    static let pingRequest: UInt8 = 3
    static let gossip: UInt8 = 6
    static let syncAsk: UInt8 = 7
    static let syncLists: UInt8 = 9
    static let syncFacts: UInt8 = 10

    private var writer = ByteWriter()

    init(
        _ kind: UInt8, from sender: NodeID, incarnation: UInt64 = 5, liveness: Liveness = .up,
        cluster: String = "test", version: UInt8 = 1, magic: UInt32 = 0x4D47_5350, address: Address? = nil
    ) {
        writer.u32(magic)
        writer.u8(version)
        writer.u64(0)
        writer.u64(XXH3.hash(Blob(cluster)))
        writer.u8(kind)
        claim(sender, incarnation, liveness, address: address)
    }

    mutating func claim(
        _ id: NodeID, _ incarnation: UInt64, _ liveness: Liveness, accusers: [UInt64] = [],
        address: Address? = nil
    ) {
        writer.u8(liveness.rawValue)
        id.write(to: &writer)
        writer.varint(incarnation)
        let address = address ?? Name.address(id)
        writer.u8(4)
        writer.u32(address.ip.v4 ?? 0)
        writer.u16(address.port)
        if liveness == .suspect {
            writer.u8(UInt8(accusers.count))
            for accuser in accusers { writer.u64(accuser) }
        }
    }

    mutating func with(_ body: (inout ByteWriter) -> Void) { body(&writer) }

    var sealed: Blob { Self.seal(writer.bytes) }

    /// Puts the right checksum on the bytes, whatever they are.
    static func seal(_ bytes: [UInt8]) -> Blob {
        guard bytes.count >= 13 else { return Blob(bytes) }
        var bytes = bytes
        let checksum = XXH3.hash(Blob(Array(bytes[13...])))
        for i in 0..<8 { bytes[5 + i] = UInt8(truncatingIfNeeded: checksum >> UInt64(56 - 8 * i)) }
        return Blob(bytes)
    }

    /// News of one member, from another.
    static func news(
        from sender: NodeID, of id: NodeID, _ incarnation: UInt64, _ liveness: Liveness,
        accusers: [UInt64] = [],
        address: Address? = nil
    ) -> GossipEvent {
        var packet = Forged(gossip, from: sender)
        packet.claim(id, incarnation, liveness, accusers: accusers, address: address)
        return .datagram(from: Name.address(sender), packet.sealed)
    }
}
