import MartletBase
import MartletRing
import MartletVersions

/// What is said of the ring's founding, by gossip: by each founding node which list it was given, and later
/// that it has formed; and then by all alike which ids founded it.
struct FoundingRumour: Hashable {
    /// A hash of the founding list in cluster.yaml. Rings form only of nodes that were given the same one.
    var list: UInt64
    /// When it was said, in the speaker's hybrid time: a node may be started again with a corrected list.
    /// Zero once the speaker has formed.
    var at: UInt64
    /// The founders' ids in the order of the list, in the one fact that all say alike (`key`): else n nodes
    /// would each keep n lists of n ids. Empty in what each says of itself.
    var ids: [NodeID]

    /// Whether who said so had formed: whoever hears it founds no other ring.
    var hasFormed: Bool { at == 0 || !ids.isEmpty }

    func encoded() -> Blob {
        var writer = ByteWriter()
        writer.u64(list)
        writer.u64(at)
        writer.varint(UInt64(ids.count))
        for id in ids { id.write(to: &writer) }
        return Blob(writer.bytes)
    }

    /// Of a node that has formed nothing yet.
    init(list: UInt64, at: HybridTime) {
        self.list = list
        self.at = at.bits
        ids = []
    }

    /// Of what all say who have formed or, without ids, of one of them.
    init(list: UInt64, formedOf ids: [NodeID]) {
        self.list = list
        at = 0
        self.ids = ids
    }

    /// Under which id it is spread: that of the node which says it, or one that follows from the founders. So
    /// two rings that have formed are two facts, and whoever hears both knows.
    func key(saidBy id: NodeID) -> NodeID {
        guard !ids.isEmpty else { return id }
        var writer = ByteWriter(reservingCapacity: NodeID.byteCount * ids.count)
        for id in ids { id.write(to: &writer) }
        return NodeID(short: XXH3.hash(writer.bytes.span.bytes), middle: 0, low: 0)
    }

    /// Whether the other one is to be kept of two by one founder: a chain, so that all nodes come to keep the
    /// same.
    func isBelow(_ other: FoundingRumour) -> Bool {
        if ids.isEmpty != other.ids.isEmpty { return ids.isEmpty }
        if hasFormed != other.hasFormed { return other.hasFormed }
        if at != other.at { return at < other.at }
        return encoded() < other.encoded()
    }

    init(from bytes: Blob) throws(WireError) {
        var reader = ByteReader(bytes.span)
        list = try reader.u64()
        at = try reader.u64()
        let count = try reader.count(max: Limits.nodesMax, "founders")
        ids = []
        for _ in 0..<count { ids.append(try NodeID(from: &reader)) }
        try reader.expectEnd()
    }
}

/// How the first ring comes to be, so that no two can, and how a node finds out that it is to join one.
///
/// The founding nodes are those of cluster.yaml. None serves until it has heard from each of them, under one
/// id each and with the same list. Whoever has heard all of them has formed, for ever: it remembers their ids
/// durably, and says so. A node that hears that others have formed takes over their ids; if its own name was
/// given to another id there, its data folder was lost or replaced, and it must not serve with an empty one.
/// If its name isn't among theirs, it is no founder, whatever its own list says, and asks to be let in.
struct Formation {
    enum Verdict: Equatable {
        case waiting
        case formed([NodeID])
        case conflict(String)
        /// The ring was formed with another id under this node's name.
        case replaced(NodeID)
    }

    private let founders: [NodeConfiguration.Founder]
    private(set) var list: UInt64
    /// Entries heard, by founder's name. Usually one each.
    private var heard: [String: [RingEntry]] = [:]
    /// Of all whose entries were heard.
    private var nameOfID: [NodeID: String] = [:]
    /// Founders' names of which there are none, in the order of the list.
    private var unheard: [String]
    /// By id.
    private var rumours: [(id: NodeID, rumour: FoundingRumour)] = []
    /// In the order of the list, once formed.
    private(set) var ids: [NodeID]

    /// Whether its list doesn't name this node: it founds nothing, and takes over the ring that it hears of.
    let isJoiner: Bool

    init(founders: [NodeConfiguration.Founder], own name: String, formed: FoundingRumour?) {
        self.founders = founders
        unheard = founders.map(\.name)
        isJoiner = !founders.contains { $0.name == name }
        ids = formed?.ids ?? []
        var writer = ByteWriter()
        for founder in founders {
            writer.string(founder.name)
            founder.address.write(to: &writer)
            writer.string(founder.zone)
            writer.string(founder.dataCenter)
        }
        // Others are told of the ring as it was founded, whatever this node's list says.
        list = formed?.list ?? XXH3.hash(writer.bytes.span.bytes)
    }

    var isFormed: Bool { !ids.isEmpty }

    /// The founding nodes not heard yet.
    var waits: [String] { isFormed || isJoiner ? [] : unheard }

    func isFounder(name: String) -> Bool { founders.contains { $0.name == name } }

    /// Takes an entry in; returns what is known of its node now, nil when that isn't kept.
    mutating func hear(_ entry: RingEntry) -> RingEntry? {
        // This node's list needn't name them all: of a ring that others have formed.
        guard heard[entry.name] != nil || heard.count < 2 * Limits.nodesMax else { return nil }
        if heard[entry.name] == nil { unheard.removeAll { $0 == entry.name } }
        var entries = heard[entry.name] ?? []
        var joined: RingEntry?
        if let known = entries.firstIndex(where: { $0.id == entry.id }) {
            _ = entries[known].merge(entry)
            joined = entries[known]
        } else if entries.count < 8 {
            entries.append(entry)
            entries.sort { $0.id < $1.id }
            nameOfID[entry.id] = entry.name
            joined = entry
        }
        heard[entry.name] = entries
        return joined
    }

    /// Takes news in; returns what is known of its founder now, nil when that isn't kept. That the ring has
    /// formed is never unsaid by older news.
    mutating func hear(_ rumour: FoundingRumour, from id: NodeID) -> FoundingRumour? {
        let place = rumourPlace(notBelow: id)
        if place < rumours.count, rumours[place].id == id {
            if rumours[place].rumour.isBelow(rumour) { rumours[place].rumour = rumour }
            return rumours[place].rumour
        }
        guard rumours.count < 2 * Limits.nodesMax else { return nil }
        rumours.insert((id, rumour), at: place)
        return rumour
    }

    private func rumourPlace(notBelow id: NodeID) -> Int {
        var (low, high) = (0, rumours.count)
        while low < high {
            let middle = (low + high) / 2
            if rumours[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func rumour(of id: NodeID) -> FoundingRumour? {
        let place = rumourPlace(notBelow: id)
        return place < rumours.count && rumours[place].id == id ? rumours[place].rumour : nil
    }

    mutating func form(_ ids: [NodeID]) {
        self.ids = ids
        if let formed = rumours.first(where: { !$0.rumour.ids.isEmpty }) { list = formed.rumour.list }
    }

    func entry(_ id: NodeID, named name: String) -> RingEntry? { heard[name]?.first { $0.id == id } }

    /// What a ring of these founders begins with here, with those that were let in later.
    func entries(of ids: [NodeID]) -> [RingEntry] {
        let all = heard.values.flatMap { $0 }.sorted { $0.id < $1.id }
        let founders = Set(ids)
        return all.filter { founders.contains($0.id) || $0.joined > 0 }
    }

    /// What the news heard so far amount to.
    func verdict(own: NodeID, named name: String) -> Verdict {
        if let formed = rumours.first(where: { !$0.rumour.ids.isEmpty })?.rumour {
            return takeOver(formed, own: own, named: name)
        }
        // What one that has formed says of itself may come before what all say.
        if isJoiner || rumours.contains(where: \.rumour.hasFormed) { return .waiting }
        var ids: [NodeID] = []
        for founder in founders {
            guard let entries = heard[founder.name], let entry = entries.first else { return .waiting }
            guard entries.count == 1 else {
                return .conflict(
                    "the name \(founder.name) is claimed by \(entries[0].id) and \(entries[1].id)")
            }
            guard entry.address == founder.address.ip else {
                return .conflict(
                    "\(founder.name) is at \(entry.address), not at \(founder.address.ip) as listed")
            }
            guard let rumour = rumour(of: entry.id) else { return .waiting }
            guard rumour.list == list else {
                return .conflict("\(founder.name) was started with another list of nodes in its cluster.yaml")
            }
            ids.append(entry.id)
        }
        return .formed(ids)
    }

    /// Others have formed.
    private func takeOver(_ formed: FoundingRumour, own: NodeID, named name: String) -> Verdict {
        if let other = rumours.first(where: { !$0.rumour.ids.isEmpty && $0.rumour.ids != formed.ids }) {
            return .conflict("two rings have formed: one says \(formed.ids[0]), \(other.id) says another")
        }
        guard nameOfID.count >= formed.ids.count else { return .waiting }
        let entries = formed.ids.compactMap { id in nameOfID[id].flatMap { entry(id, named: $0) } }
        guard entries.count == formed.ids.count else { return .waiting }
        if let holder = entries.first(where: { $0.name == name && $0.id != own && !$0.isGone }) {
            return .replaced(holder.id)
        }
        return .formed(formed.ids)
    }
}
