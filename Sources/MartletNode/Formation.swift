import MartletBase
import MartletRing
import MartletVersions

/// What one founding node says of the ring's founding, by gossip: which list it was given, and, once it has
/// formed, which ids founded it.
struct FoundingRumour: Hashable {
    /// A hash of the founding list in cluster.yaml. Rings form only of nodes that were given the same one.
    var list: UInt64
    /// When it was said, in the speaker's hybrid time: a node may be started again with a corrected list.
    var at: UInt64
    /// The founders' ids in the order of the list; empty while the ring is not formed.
    var ids: [NodeID]

    func encoded() -> Blob {
        var writer = ByteWriter()
        writer.u64(list)
        writer.u64(at)
        writer.varint(UInt64(ids.count))
        for id in ids { id.write(to: &writer) }
        return Blob(writer.bytes)
    }

    init(list: UInt64, at: HybridTime, ids: [NodeID]) {
        self.list = list
        self.at = at.bits
        self.ids = ids
    }

    /// Whether the other one is to be kept of two by one founder: a chain, so that all nodes come to keep the
    /// same.
    func isBelow(_ other: FoundingRumour) -> Bool {
        if ids.isEmpty != other.ids.isEmpty { return ids.isEmpty }
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
    private var rumours: [(id: NodeID, rumour: FoundingRumour)] = []
    /// In the order of the list, once formed.
    private(set) var ids: [NodeID]

    /// Whether its list doesn't name this node: it founds nothing, and takes over the ring that it hears of.
    let isJoiner: Bool

    init(founders: [NodeConfiguration.Founder], own name: String, formed: FoundingRumour?) {
        self.founders = founders
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
    var waits: [String] {
        isFormed || isJoiner ? [] : founders.map(\.name).filter { heard[$0]?.isEmpty ?? true }
    }

    func isFounder(name: String) -> Bool { founders.contains { $0.name == name } }

    /// Takes an entry in; returns what is known of its node now, nil when that isn't kept.
    mutating func hear(_ entry: RingEntry) -> RingEntry? {
        // This node's list needn't name them all: of a ring that others have formed.
        guard heard[entry.name] != nil || heard.count < 2 * Limits.nodesMax else { return nil }
        var entries = heard[entry.name] ?? []
        var joined: RingEntry?
        if let known = entries.firstIndex(where: { $0.id == entry.id }) {
            _ = entries[known].merge(entry)
            joined = entries[known]
        } else if entries.count < 8 {
            entries.append(entry)
            entries.sort { $0.id < $1.id }
            joined = entry
        }
        heard[entry.name] = entries
        return joined
    }

    /// Takes news in; returns what is known of its founder now, nil when that isn't kept. That the ring has
    /// formed is never unsaid by older news.
    mutating func hear(_ rumour: FoundingRumour, from id: NodeID) -> FoundingRumour? {
        if let known = rumours.firstIndex(where: { $0.id == id }) {
            if rumours[known].rumour.isBelow(rumour) { rumours[known].rumour = rumour }
            return rumours[known].rumour
        }
        guard rumours.count < 2 * Limits.nodesMax else { return nil }
        rumours.append((id, rumour))
        rumours.sort { $0.id < $1.id }
        return rumour
    }

    mutating func form(_ ids: [NodeID]) {
        self.ids = ids
        if let formed = rumours.first(where: { !$0.rumour.ids.isEmpty }) { list = formed.rumour.list }
    }

    func entry(_ id: NodeID, named name: String) -> RingEntry? { heard[name]?.first { $0.id == id } }

    /// What a ring of these founders begins with here, with those that were let in later.
    func entries(of ids: [NodeID]) -> [RingEntry] {
        let all = heard.values.flatMap { $0 }.sorted { $0.id < $1.id }
        return all.filter { ids.contains($0.id) || $0.joined > 0 }
    }

    /// What the news heard so far amount to.
    func verdict(own: NodeID, named name: String) -> Verdict {
        if let formed = rumours.first(where: { !$0.rumour.ids.isEmpty })?.rumour {
            return takeOver(formed, own: own, named: name)
        }
        if isJoiner { return .waiting }
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
            guard let rumour = rumours.first(where: { $0.id == entry.id })?.rumour else { return .waiting }
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
        let entries = formed.ids.compactMap { id in
            heard.values.lazy.compactMap { $0.first { $0.id == id } }.first
        }
        guard entries.count == formed.ids.count else { return .waiting }
        if let holder = entries.first(where: { $0.name == name && $0.id != own && !$0.isGone }) {
            return .replaced(holder.id)
        }
        return .formed(formed.ids)
    }
}
