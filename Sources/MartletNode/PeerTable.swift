import MartletBase
import MartletGossip

/// The nodes that this one knows, in the order in which it met them. Index zero is itself.
struct PeerTable {
    enum Link { case untried, up, down }

    struct Peer {
        let id: NodeID
        var name: String
        var address: Address
        var liveness: Liveness
        var link: Link = .untried
        /// Smoothed time to answer a read; zero until it has answered one.
        var latency: Interval = .zero
        /// Smoothed time of a probe's ping and its ack; nil until one came back.
        var roundTrip: Interval?
        /// When it last acknowledged a probe of ours.
        var acknowledgedAt: Instant?
        var downSince: Instant?
        /// Its storage refused a merge: another one before this instant would be refused as well.
        var overloadedUntil: Instant?
        /// The digest of the ring that was last sent to it as a view, so that one difference isn't answered
        /// twice.
        var viewSent: UInt64?

        func isOverloaded(_ now: Instant) -> Bool { overloadedUntil.map { now < $0 } ?? false }

        /// Whether a request sent now may be answered.
        var isReachable: Bool { (liveness == .up || liveness == .suspect) && link != .down }
    }

    static let own = PeerIndex(0)

    private var all: [Peer]
    private var indexOfShort = HashTable<PeerIndex>()
    /// How often the liveness of one of them, or whether it is reachable, has changed.
    private(set) var livenessChanges: UInt64 = 0
    /// The highest storage epoch that each node has shown.
    var epochs: [NodeID: UInt64] = [:]

    init(own id: NodeID, name: String, address: Address) {
        all = [Peer(id: id, name: name, address: address, liveness: .up, link: .up)]
        indexOfShort[id.short] = Self.own
    }

    var indices: Range<Int> { all.indices }
    var count: Int { all.count }

    subscript(index: PeerIndex) -> Peer {
        @inline(__always) _read { yield all[Int(index.number)] }
        @inline(__always) _modify { yield &all[Int(index.number)] }
    }

    func index(of id: NodeID) -> PeerIndex? {
        guard let index = indexOfShort[id.short], all[Int(index.number)].id == id else { return nil }
        return index
    }

    /// Adds a node that only gossip speaks of; nil when there are too many or another id has the same short
    /// form.
    mutating func addStranger(
        _ id: NodeID, name: String, address: Address, liveness: Liveness
    ) -> PeerIndex? {
        guard all.count < Limits.peersMax - Limits.nodesMax, indexOfShort[id.short] == nil else { return nil }
        return add(id, name: name, address: address, liveness: liveness)
    }

    /// Adds a node of the ring, as down. There is always room: strangers leave it, and one of the same short
    /// form gives way, or whoever can send a packet could keep a node out of the ring.
    mutating func addMember(_ id: NodeID, name: String, address: Address) -> PeerIndex {
        if let stranger = indexOfShort[id.short] {
            invariant(stranger != Self.own, "\(id) begins like this node's own id, and is in its ring")
            setLiveness(stranger, .down)
            setLink(stranger, .down)
        }
        return add(id, name: name, address: address, liveness: .down)
    }

    private mutating func add(
        _ id: NodeID, name: String, address: Address, liveness: Liveness
    ) -> PeerIndex {
        invariant(all.count < Limits.peersMax, "more nodes than the ring and its strangers may be")
        let index = PeerIndex(UInt16(all.count))
        all.append(Peer(id: id, name: name, address: address, liveness: liveness))
        livenessChanges += 1
        indexOfShort[id.short] = index
        return index
    }

    mutating func setLiveness(_ index: PeerIndex, _ liveness: Liveness) {
        if self[index].liveness != liveness { livenessChanges += 1 }
        self[index].liveness = liveness
    }

    mutating func setLink(_ index: PeerIndex, _ link: Link) {
        if (self[index].link == .down) != (link == .down) { livenessChanges += 1 }
        self[index].link = link
    }

    /// A probe was acknowledged: by an eighth of what differs, so that one slow packet says little.
    mutating func noteRoundTrip(_ index: PeerIndex, _ taken: Interval, now: Instant) {
        let known = self[index].roundTrip ?? taken
        self[index].roundTrip = known + (taken - known) / 8
        self[index].acknowledgedAt = now
    }

    /// Whether no other node is up.
    var isAlone: Bool { !all.dropFirst().contains { $0.liveness == .up || $0.liveness == .suspect } }

}
