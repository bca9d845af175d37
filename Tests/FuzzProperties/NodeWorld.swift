import MartletBase
import MartletGossip
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// One real node, alone in a world that the fuzzer makes: it keeps the shell's side of the contract (answers
/// what was asked, once, in order, time moves forward), and lets peers, clients and the disk say anything.
final class NodeWorld {
    var node: Node
    private(set) var now = Now(
        monotonic: Instant(nanoseconds: 1_000_000_000), wall: WallTime(milliseconds: 1_700_000_000_000))
    private(set) var wakeAt = Instant.distantFuture
    private(set) var stopped: StopReason?
    private var queue: [Event] = []

    // What the node has asked for.
    private(set) var introduced: [(index: UInt16, id: NodeID)] = []
    private(set) var links: [(link: LinkID, id: NodeID)] = []
    var asked: [(id: NodeID, request: Asked)] = []
    /// Of exchanges that the node has begun: what their peers may ask about as well.
    private(set) var subjects: [(id: NodeID, subject: ExchangeSubject)] = []
    var reads: [(ticket: ReadTicket, wanted: Wanted)] = []
    var writes: [WriteTicket] = []
    private var lastWrite = WriteTicket(0)
    var reservation: UInt64?
    private(set) var disk: [StorageKey: Blob] = [:]
    private(set) var hints: [Blob: Blob] = [:]
    /// What a refusal of the write takes back.
    private var hintsBefore: [UInt64: [(key: Blob, value: Blob?)]] = [:]
    /// Unanswered; the latest 16.
    var pings: [(sequence: UInt32, to: Address)] = []

    var tickets: UInt64 = 0
    var unanswered: Set<UInt64> = []

    /// A request on its way to a peer.
    struct Asked {
        enum Kind { case merge, read, scan, exchange }

        var number: UInt64
        var kind: Kind
        var scan: ScanRequest?
        var question: Message?
    }

    /// What is read from the disk.
    enum Wanted {
        case record(StorageKey)
        case scan(from: Blob, until: Blob?, ScanLimit)
        case hints(from: Blob, until: Blob?, ScanLimit)
        case digest(DigestQuery)
        case collect([StorageKey])
    }

    static let ports = NodePorts(peers: 7_600, redis: 7_379, redisCluster: 7_380, http: 7_680)
    static let founders = (1...3).map {
        NodeConfiguration.Founder(name: "n\($0)", address: ForgedPacket.address($0))
    }
    /// The hash of the founders' list that nodes tell each other.
    let list: UInt64

    init(isFormed: Bool) {
        var writer = ByteWriter()
        for founder in Self.founders {
            writer.string(founder.name)
            founder.address.write(to: &writer)
            writer.string(founder.zone)
            writer.string(founder.dataCenter)
        }
        list = XXH3.hash(writer.bytes.span.bytes)
        let configuration = NodeConfiguration(
            cluster: ForgedPacket.cluster, id: ForgedPacket.id(1), name: "n1",
            address: ForgedPacket.address(1).ip, ports: Self.ports, version: "1", epoch: 1, boot: 1, seed: 1,
            founders: Self.founders, seeds: [], tokensPerNode: 2,
            keyspaces: [KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(3))],
            gossip: GossipSettings(clusterName: ForgedPacket.cluster))
        let meta = isFormed ? Self.formed(list: list) : []
        node = Node(configuration, recovered: RecoveredState(stampCeiling: .zero, meta: meta), now: now)
    }

    /// What a node of a formed ring finds on its disk.
    private static func formed(list: UInt64) -> [(key: Blob, value: Blob)] {
        var meta: [(key: Blob, value: Blob)] = (1...3).map { number in
            var key = ByteWriter()
            key.u8(UInt8(ascii: "e"))
            ForgedPacket.id(number).write(to: &key)
            let entry = RingEntry(
                id: ForgedPacket.id(number), incarnation: 1, name: "n\(number)",
                address: ForgedPacket.address(number).ip, ports: ports,
                tokens: [Slot(number * 2_000), Slot(number * 2_000 + 8_000)], state: .normal, version: "1")
            return (Blob(key.bytes), entry.encoded())
        }
        meta.append((Blob("f"), founding(list: list, at: 1, (1...3).map(ForgedPacket.id))))
        return meta
    }

    static func founding(list: UInt64, at: UInt64, _ ids: [NodeID]) -> Blob {
        var writer = ByteWriter()
        writer.u64(list)
        writer.u64(at)
        writer.varint(UInt64(ids.count))
        for id in ids { id.write(to: &writer) }
        return Blob(writer.bytes)
    }

    /// The two other founders connect, are heard of, and answer the node's first questions, so that it takes
    /// its own clock for right; its disk grants it the first stamps.
    func greetPeers() throws(PropertyFailure) {
        for number in 2...3 {
            let hello = Hello(
                cluster: ForgedPacket.cluster, id: ForgedPacket.id(number), name: "n\(number)",
                folder: FolderAge(epoch: 1))
            try tell(.hello(LinkID(UInt64(number)), hello))
            try tell(.datagram(from: ForgedPacket.address(number), ForgedPacket.greeting(from: number)))
        }
        while let answer = answerToPing(at: 0, ahead: .zero) { try tell(answer) }
        for peer in introduced { try tell(.linkUp(PeerIndex(peer.index))) }
        if let reserved = reservation {
            reservation = nil
            try tell(.storage(.stampsReserved(ceiling: reserved)))
        }
    }

    /// An ack by the one who was asked; nil when there is no such ping.
    func answerToPing(at index: Int, ahead: Interval) -> Event? {
        guard index < pings.count else { return nil }
        let (sequence, address) = pings.remove(at: index)
        let number = Int((address.ip.v4 ?? 0) & 0xFF)
        return .datagram(
            from: address, ForgedPacket.ack(sequence, from: number, wall: now.wall + ahead))
    }

    // MARK: Time

    func pass(_ interval: Interval) { now = later(now, by: interval, orAt: wakeAt) }

    // MARK: Events and effects

    func tell(_ event: Event) throws(PropertyFailure) {
        queue.append(event)
        try settle()
    }

    /// Until nothing is left that follows by itself.
    func settle() throws(PropertyFailure) {
        while !queue.isEmpty {
            let event = queue.removeFirst()
            guard stopped == nil else { return }
            var buffer = EffectBuffer()
            node.handle(event, now: now, into: &buffer)
            for index in 0..<buffer.count { try carryOut(buffer[index]) }
            node.checkInvariants()
        }
    }

    /// Lets time go by without an answer from anybody: every request ends by its deadline, without the disk
    /// too.
    func finish() throws(PropertyFailure) {
        let end = now.monotonic + .seconds(3)
        while stopped == nil, now.monotonic < end {
            now = later(now, by: end - now.monotonic, orAt: wakeAt)
            try tell(.timer)
        }
        _ = node.status()
        _ = node.currentMetrics()
        try require(
            stopped != nil || unanswered.isEmpty, "\(unanswered.count) requests are never answered")
    }

    private func carryOut(_ effect: Effect) throws(PropertyFailure) {
        try require(stopped == nil, "an effect comes after the node has stopped: \(effect)")
        switch effect {
        case .reply(let ticket, _):
            let isDue = unanswered.remove(ticket.number) != nil
            try require(isDue, "request \(ticket.number) is answered twice, or was never asked")
        case .introduce(let peer, let id, _):
            introduced.removeAll { $0.index == peer.number }
            introduced.append((peer.number, id))
        case .send(let peer, let message):
            guard let target = introduced.first(where: { $0.index == peer.number }) else {
                throw PropertyFailure("a message to a peer that was never introduced")
            }
            try checkSending(message)
            note(message, to: target.id)
        case .respond(_, let message): try checkSending(message)
        case .accept(let link, let id):
            links.removeAll { $0.link == link }
            links.append((link, id))
        case .refuse(_, let farewell): try checkSending(.farewell(farewell))
        case .stream(_, let bytes):
            try require(bytes.count <= Limits.gossipStreamBytesMax, "a push-pull of \(bytes.count) bytes")
        case .datagram(let to, let bytes):
            try require(bytes.count <= 1_400, "a datagram of \(bytes.count) bytes")
            if let sequence = ForgedPacket.sequence(ofPing: bytes) {
                if pings.count == 16 { pings.removeFirst() }
                pings.append((sequence, to))
            }
        case .storage(let request): try store(request)
        case .wake(let instant): wakeAt = instant
        case .stopped(let reason): stopped = reason
        default: break
        }
    }

    private func note(_ message: Message, to id: NodeID) {
        switch message {
        case .merge(let request): asked.append((id, Asked(number: request.request, kind: .merge)))
        case .hint(let request): asked.append((id, Asked(number: request.request, kind: .merge)))
        case .read(let request): asked.append((id, Asked(number: request.request, kind: .read)))
        case .scan(let request):
            asked.append((id, Asked(number: request.request, kind: .scan, scan: request)))
        case .mergeMany(let request): asked.append((id, Asked(number: request.request, kind: .merge)))
        case .exchangeOpening(let opening): note(message, opening.subject, to: id)
        case .exchangeDescent(let descent): note(message, descent.subject, to: id)
        case .exchangeListing(let listing): note(message, listing.subject, to: id)
        default: break
        }
    }

    private func note(_ question: Message, _ subject: ExchangeSubject, to id: NodeID) {
        asked.append((id, Asked(number: subject.request, kind: .exchange, question: question)))
        subjects.append((id, subject))
        if subjects.count > 8 { subjects.removeFirst() }
    }

    /// What is sent can be read by the one it is for.
    private func checkSending(_ message: Message) throws(PropertyFailure) {
        var writer = ByteWriter()
        Frame(time: node.frameTime, message: message).write(to: &writer)
        guard case .frame(let frame, let consumed)? = try? Frame.scan(writer.bytes.span.bytes) else {
            throw PropertyFailure("a message can't be read by its receiver: \(message)")
        }
        try require(frame.message == message && consumed == writer.count, "\(message) reads as another")
    }

    private func store(_ request: StorageRequest) throws(PropertyFailure) {
        switch request {
        case .merge(let ticket, let key, let record):
            try issue(ticket)
            disk[key] = disk[key].map { Record.join($0, record) } ?? record
        case .putMeta(let ticket, _, _): try issue(ticket)
        case .putHint(let ticket, let key, let value):
            try issue(ticket)
            try require(hints[key] == nil, "a hint's key was used before")
            hintsBefore[ticket.number] = [(key, nil)]
            hints[key] = value
        case .deleteHints(let ticket, let keys):
            try issue(ticket)
            hintsBefore[ticket.number] = keys.map { ($0, hints[$0]) }
            for key in keys { hints[key] = nil }
        case .delete(let ticket, let keys):
            try issue(ticket)
            for key in keys { disk[key] = nil }
        case .deleteRange(let ticket, let keyspace, let tokens):
            try issue(ticket)
            for key in disk.keys where key.keyspace == keyspace && tokens.contains(key.token) {
                disk[key] = nil
            }
        case .scanHints(let ticket, let lower, let upper, let limit):
            reads.append((ticket, .hints(from: lower, until: upper, limit)))
        case .read(let ticket, let key): reads.append((ticket, .record(key)))
        case .digest(let ticket, let query): reads.append((ticket, .digest(query)))
        case .collect(let ticket, let keys, _): reads.append((ticket, .collect(keys)))
        case .scan(let ticket, let lower, let upper, let limit):
            reads.append((ticket, .scan(from: lower, until: upper, limit)))
        case .reserveStamps(let ceiling):
            try require(reservation == nil, "two reservations at once")
            reservation = ceiling
        }
    }

    /// A write is refused: what of it can be seen is taken back.
    func refuse(_ ticket: WriteTicket) {
        for (key, value) in hintsBefore.removeValue(forKey: ticket.number) ?? [] { hints[key] = value }
    }

    func hintPage(from lower: Blob, until upper: Blob?, _ limit: ScanLimit) -> ScanPage {
        let keys = hints.keys.filter { key in key >= lower && upper.map { key < $0 } ?? true }.sorted()
        let records = keys.prefix(limit.recordsMax).map { StoredPair(key: $0, value: hints[$0]!) }
        return ScanPage(records: records, next: keys.count > records.count ? keys[records.count] : nil)
    }

    private func issue(_ ticket: WriteTicket) throws(PropertyFailure) {
        try require(ticket.number == lastWrite.number + 1, "write \(ticket.number) is out of turn")
        lastWrite = ticket
        writes.append(ticket)
    }

    func page(_ query: DigestQuery) -> DigestPage {
        let keys = disk.keys.sorted()
        return query.page(.records) { (from, until, body) in
            for key in keys where key.bytes >= from && (until == nil || key.bytes < until!) {
                let goesOn = key.bytes.withUnsafeBytes { k in disk[key]!.withUnsafeBytes { body(k, $0) } }
                if !goesOn { return }
            }
        }
    }

    func page(from lower: Blob, until upper: Blob?, _ limit: ScanLimit) -> ScanPage {
        let keys = disk.keys.filter { $0.bytes >= lower && (upper == nil || $0.bytes < upper!) }.sorted()
        let records = keys.prefix(limit.recordsMax).map { StoredPair(key: $0.bytes, value: disk[$0]!) }
        return ScanPage(
            records: records, next: records.count < keys.count ? keys[records.count].bytes : nil)
    }
}
