import MartletBase
import MartletGossip
import MartletVersions
import MartletWire

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
        /// The digest of the ring of which it was last shown all, because it holds another shape.
        var viewShown: UInt64?
        /// Whether it has shown its view of the ring since this node started.
        var hasShownView = false
        /// Whether it answers no reads: it rebuilds its disk. Of this node itself also until it is vouched
        /// for.
        var isRebuilding = false
        /// Whether it has accepted this node's hello since this node started (`Vouching`).
        var hasVouched = false
        /// The greatest hybrid time that was heard from it since this node started.
        var heard = HybridTime.zero

        func isOverloaded(_ now: Instant) -> Bool { overloadedUntil.map { now < $0 } ?? false }
    }

    static let own = PeerIndex(0)

    private var all: [Peer]
    private var indexOfShort = HashTable<PeerIndex>()
    /// How often the liveness of one of them, or whether it is reachable, has changed.
    private(set) var livenessChanges: UInt64 = 0
    /// What is durably remembered of each node's folder.
    var folders: [NodeID: FolderAge] = [:]

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

    /// Whether a request sent now may be answered. Asked for each owner of each request, so it looks at the
    /// fields in their place: a property of `Peer` would be given a copy of all of it.
    func isReachable(_ index: PeerIndex) -> Bool {
        let liveness = all[Int(index.number)].liveness
        return (liveness == .up || liveness == .suspect) && all[Int(index.number)].link != .down
    }

    /// The same of a read.
    func isReadable(_ index: PeerIndex) -> Bool {
        isReachable(index) && !all[Int(index.number)].isRebuilding
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

    mutating func setRebuilding(_ index: PeerIndex, _ isRebuilding: Bool) {
        // What is shown of the topology depends on it as on liveness.
        if self[index].isRebuilding != isRebuilding { livenessChanges += 1 }
        self[index].isRebuilding = isRebuilding
    }

    /// What is known of the folder of a node, what was heard since it was last written down included; nil
    /// when it never introduced itself.
    func folder(of id: NodeID) -> FolderAge? {
        guard var folder = folders[id] else { return nil }
        if let index = index(of: id) { folder.time = max(folder.time, self[index].heard) }
        return folder
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
