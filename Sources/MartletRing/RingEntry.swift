import MartletBase

/// What a node says of its place in the ring. Not its liveness: who is alive never changes who owns what.
/// That it leaves is a `Verdict`, its own or an operator's elsewhere. Numbers are never reused: 2 and 3 were
/// states.
package enum NodeState: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// It wants to be an owner of slots: of its tokens, when its turn has come (`RingChange`).
    case joining = 0
    case normal = 1
    /// Its disk lost something, and its peers bring it back: an owner as a normal one is, which takes writes
    /// and answers no reads.
    case rebuilding = 4

    package var description: String {
        switch self {
        case .joining: "joining"
        case .normal: "normal"
        case .rebuilding: "rebuilding"
        }
    }
}

/// Where a node listens, all at its one address. 0 is off.
package struct NodePorts: Hashable, Sendable {
    /// TCP and UDP.
    package var peers: UInt16
    package var redis: UInt16
    package var redisCluster: UInt16
    package var http: UInt16

    package init(peers: UInt16, redis: UInt16, redisCluster: UInt16, http: UInt16) {
        self.peers = peers
        self.redis = redis
        self.redisCluster = redisCluster
        self.http = http
    }
}

/// What a node has of the ring. A move changes its tokens, its zone or both; its data centre is for good,
/// because levels are counted by it.
package struct RingPosition: Hashable, Sendable {
    /// The last slots of the ranges that it takes: ascending and distinct. None until it has a place in the
    /// ring.
    package var tokens: [Slot]
    /// What fails together with it.
    package var zone: String

    package init(tokens: [Slot], zone: String) {
        self.tokens = tokens.sorted()
        self.zone = zone
    }
}

/// A node as the ring knows it, and an element of a join-semilattice: entries are gossiped in any order,
/// repeated and merged, and all nodes end at the same one.
///
///     entry = own part (written by the node alone) × done (by whoever completes what the node wants)
///             × verdict (stamped, given by an operator at any node)
///     join  = (own part: the later move, then the greater incarnation, then the greater canonical bytes;
///              done: the greater; verdict: the greater, where none is the least)
///
/// All parts are chains, so their product is a semilattice and the three laws follow (`RingEntryTests`). A
/// node raises its incarnation whenever it changes its part, and to refute a rumour of its death (Das, Gupta,
/// Motivala: "SWIM", 2002, section 4.2); one incarnation with two contents is a node whose data folder was
/// copied or set back, and then the rule of greater bytes at least makes everyone agree. Moves come first so
/// that a folder that was set back behind one can't take it back, however often its node is started.
///
/// Encoding (canonical: equal entries are equal bytes):
///
///     id 20 | incarnation varint | state 1 | joined 8 | turn varint | replaces: 0, or 1 and an id 20
///     | address 16 | ports 4 × 2 | name | zone | data centre | version
///     | number of tokens varint, each token's slot 2, ascending
///     | moved 8 | tokens that it moves to, as these, and if there are any the zone
///     | done 8 | verdict: 0, or kind 1, stamp 8, by 20
package struct RingEntry: Hashable, Sendable {
    package var id: NodeID
    package var incarnation: UInt64
    package var name: String
    package var address: IPAddress
    package var ports: NodePorts
    package var dataCenter: String
    /// What it has, or, joining, wants; what it had before a move that is complete (`position`).
    package var own: RingPosition
    package var state: NodeState
    /// When it asked to join, as the bits of a hybrid time; 0 of a founder.
    package var joined: UInt64
    /// Whose tokens a joining node takes over: of a dead one, which is gone when this one is an owner.
    package var replaces: NodeID?
    /// What it wants in place of its own, with tokens; nil when it knows that it has it.
    package var next: RingPosition?
    /// When it last wanted another position, as the bits of a hybrid time.
    package var moved: UInt64 = 0
    /// Raised so that a change begins anew (`Ring.shape`).
    package var turn: UInt64 = 0
    /// What it wanted up to then (`joined`, `moved`) it has.
    package var done: UInt64 = 0
    /// Of its software.
    package var version: String
    package var verdict: Verdict?

    /// `tokens` may come in any order; names must be valid (`Names.isValid`).
    package init(
        id: NodeID, incarnation: UInt64, name: String, address: IPAddress, ports: NodePorts,
        zone: String = "default", dataCenter: String = "default", tokens: [Slot] = [],
        state: NodeState, joined: UInt64 = 0, replaces: NodeID? = nil, version: String,
        verdict: Verdict? = nil
    ) {
        for text in [name, zone, dataCenter, version] {
            invariant(Names.isValid(text), "\"\(text)\" can't be the name of a node, zone or data centre")
        }
        self.id = id
        self.incarnation = incarnation
        self.name = name
        self.address = address
        self.ports = ports
        self.dataCenter = dataCenter
        own = RingPosition(tokens: tokens, zone: zone)
        self.state = state
        self.joined = joined
        self.replaces = replaces
        self.version = version
        self.verdict = verdict
        checkInvariants()
    }

    /// Whether what it wanted last it has.
    package var hasMoved: Bool { moved > 0 && done >= moved }
    package var position: RingPosition { hasMoved ? next ?? own : own }
    /// The last slots of the ranges that it takes.
    package var tokens: [Slot] { position.tokens }
    package var zone: String { position.zone }

    /// Whether it isn't an owner yet.
    package var isJoining: Bool { state == .joining && done < max(1, joined) }

    /// Whether the ring gives it places, or will: it shows tokens, and nobody has withdrawn them.
    package var ownsTokens: Bool { !tokens.isEmpty && verdict?.kind != .removed }

    /// Whether it is an owner of slots by the ring as it is, before the change in hand.
    package var isPlaced: Bool { ownsTokens && !isJoining }

    /// Whether it goes, or has gone, of itself or by an operator's word.
    package var isGoing: Bool { verdict?.kind == .removing || verdict?.kind == .removed }

    /// Whether others do without it while it goes: an operator has said that it is dead.
    package var isGivenUp: Bool {
        guard let verdict, verdict.by != id else { return false }
        return verdict.kind == .removing || verdict.kind == .removed
    }

    /// As `status` says it.
    package var shownState: String {
        switch verdict?.kind {
        case .removed: verdict?.by == id ? "left" : "removed"
        case .removing: "leaving"
        case .aborted, nil: state == .joining && !isJoining ? "normal" : state.description
        }
    }

    /// Joins another view of the same node into this one. True when that changed it.
    @discardableResult
    package mutating func merge(_ other: RingEntry) -> Bool {
        invariant(id == other.id, "entries of two nodes can't be merged: \(id) and \(other.id)")
        if self == other { return false }
        let verdict = Self.greater(self.verdict, other.verdict)
        let done = max(self.done, other.done)
        var merged = isOwnPartBelow(other) ? other : self
        merged.verdict = verdict
        merged.done = done
        if merged == self { return false }
        self = merged
        return true
    }

    private static func greater(_ a: Verdict?, _ b: Verdict?) -> Verdict? {
        guard let a else { return b }
        guard let b else { return a }
        return max(a, b)
    }

    private func isOwnPartBelow(_ other: RingEntry) -> Bool {
        if moved != other.moved { return moved < other.moved }
        if incarnation != other.incarnation { return incarnation < other.incarnation }
        var (mine, theirs) = (ByteWriter(), ByteWriter())
        writeOwnPart(to: &mine)
        other.writeOwnPart(to: &theirs)
        return Blob(mine.bytes) < Blob(theirs.bytes)
    }

    package func checkInvariants() {
        invariant(next?.tokens.isEmpty != true, "\(name) moves to no tokens")
        for list in [own.tokens, next?.tokens ?? []] {
            invariant(list.count <= Limits.tokensPerNodeMax, "\(name) has \(list.count) tokens")
            invariant(
                zip(list, list.dropFirst()).allSatisfy { $0 < $1 }, "tokens of \(name) aren't ascending")
        }
    }
}

// MARK: The encoding
extension RingEntry {
    /// The longest encoding: how many entries fit a packet is reckoned from what they are, not from this.
    package static let encodedBytesMax =
        2 * NodeID.byteCount + 10 + 1 + 8 + 10 + 1 + 16 + 8 + 5 * (1 + Limits.nameBytesMax) + 8 + 2
        * (2 + 2 * Limits.tokensPerNodeMax)
        + 8 + 1 + 8 + NodeID.byteCount

    package init(from reader: inout ByteReader) throws(WireError) {
        id = try NodeID(from: &reader)
        incarnation = try reader.varint()
        guard incarnation < Limits.entryIncarnationMax else { throw .invalid("incarnation") }
        guard let state = NodeState(rawValue: try reader.u8()) else { throw .invalid("node state") }
        self.state = state
        joined = try reader.u64()
        turn = try reader.varint()
        replaces = try reader.bool("replaced node") ? try NodeID(from: &reader) : nil
        let high = try reader.u64()
        address = IPAddress(high: high, low: try reader.u64())
        let (peers, redis) = (try reader.u16(), try reader.u16())
        let (redisCluster, http) = (try reader.u16(), try reader.u16())
        ports = NodePorts(peers: peers, redis: redis, redisCluster: redisCluster, http: http)
        name = try Names.read("node name", from: &reader)
        let zone = try Names.read("zone", from: &reader)
        dataCenter = try Names.read("data centre", from: &reader)
        version = try Names.read("software version", from: &reader)
        own = RingPosition(tokens: try Self.tokens(from: &reader), zone: zone)
        moved = try reader.u64()
        let next = try Self.tokens(from: &reader)
        if !next.isEmpty {
            self.next = RingPosition(tokens: next, zone: try Names.read("zone", from: &reader))
        }
        done = try reader.u64()
        let kind = try reader.u8()
        verdict = kind == 0 ? nil : try Verdict(kind: kind, from: &reader)
    }

    private static func tokens(from reader: inout ByteReader) throws(WireError) -> [Slot] {
        let count = try reader.count(max: Limits.tokensPerNodeMax, "tokens")
        var tokens: [Slot] = []
        tokens.reserveCapacity(count)
        for _ in 0..<count {
            let slot = try Slot(from: &reader)
            if let previous = tokens.last, previous >= slot { throw .invalid("order of tokens") }
            tokens.append(slot)
        }
        return tokens
    }

    private static func write(_ tokens: [Slot], to writer: inout ByteWriter) {
        writer.varint(UInt64(tokens.count))
        for token in tokens { writer.u16(token.index) }
    }

    package func write(to writer: inout ByteWriter) {
        writeOwnPart(to: &writer)
        writer.u64(done)
        if let verdict { verdict.write(to: &writer) } else { writer.u8(0) }
    }

    private func writeOwnPart(to writer: inout ByteWriter) {
        id.write(to: &writer)
        writer.varint(incarnation)
        writer.u8(state.rawValue)
        writer.u64(joined)
        writer.varint(turn)
        writer.u8(replaces == nil ? 0 : 1)
        replaces?.write(to: &writer)
        writer.u64(address.high)
        writer.u64(address.low)
        for port in [ports.peers, ports.redis, ports.redisCluster, ports.http] { writer.u16(port) }
        writer.string(name)
        writer.string(own.zone)
        writer.string(dataCenter)
        writer.string(version)
        Self.write(own.tokens, to: &writer)
        writer.u64(moved)
        Self.write(next?.tokens ?? [], to: &writer)
        if let next { writer.string(next.zone) }
    }

    package func encoded() -> Blob {
        var writer = ByteWriter(reservingCapacity: 192)
        write(to: &writer)
        return Blob(writer.bytes)
    }

    /// Of the canonical bytes.
    package var digest: UInt64 { XXH3.hash(encoded()) }
}
