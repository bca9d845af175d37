import AllocationCounting
import MartletBase
import MartletGossip
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire
import Testing

/// A few nodes in one process, for tests that read like scripts: every message arrives at once and in order
/// unless the script holds it back, disks are dictionaries, and time stands still until the script moves it.
final class ScriptedCluster {
    final class Member {
        var node: Node
        let configuration: NodeConfiguration
        var disk: [StorageKey: Blob] = [:]
        var meta: [Blob: Blob] = [:]
        var hints: [Blob: Blob] = [:]
        /// Every write is refused with it while it is set.
        var refusal: StorageRefusal?
        var isUp = true
        /// Merges stay undurable while it is set.
        var holdsSync = false
        var lastTicket = WriteTicket(0)
        /// The stamp ceiling on disk.
        var ceiling = HybridTime.zero
        /// Reservations of stamps stay unanswered while it is set.
        var holdsReservations = false
        var wallOffset = Interval.zero
        var wakeAt = Instant.distantFuture
        var peers: [PeerIndex: Int] = [:]
        var replies: [UInt64: ClientReply] = [:]
        var stopped: StopReason?
        var reports: [Report] = []

        init(
            _ configuration: NodeConfiguration, now: Now, recovered: RecoveredState = RecoveredState()
        ) {
            self.configuration = configuration
            node = Node(configuration, recovered: recovered, now: now)
            ceiling = recovered.stampCeiling
        }
    }

    private(set) var members: [Member] = []
    /// Datagrams get lost, all of them; connections work.
    var losesDatagrams = false
    private var queue: [(to: Int, event: Event)] = []
    private var monotonic = Instant(nanoseconds: 1_000_000_000)
    private var nextTicket: UInt64 = 1
    /// Drops what it answers true for: sender, receiver, message.
    var drops: (Int, Int, Message) -> Bool = { _, _, _ in false }
    /// Keeps back what it answers true for, until `release`.
    var holds: (Int, Int, Message) -> Bool = { _, _, _ in false }
    private var held: [(from: Int, to: Int, event: Event)] = []
    /// Sees every message that is sent: sender, receiver, message.
    var watch: (Int, Int, Message) -> Void = { _, _, _ in }
    /// Sees what a node says when it refuses a connection.
    var onRefusal: (Farewell) -> Void = { _ in }
    /// Pages that storages were asked for.
    var storageScans = 0
    var countsAllocations = false
    /// What the nodes themselves have allocated while `countsAllocations` was set.
    private(set) var allocations: Int64 = 0

    static let keyspace = KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(3))

    init(
        nodes count: Int, keyspace: KeyspaceDefinition = ScriptedCluster.keyspace,
        change: (inout NodeConfiguration) -> Void = { _ in }
    ) {
        var random = Random(seed: 7)
        let founders = (0..<count).map { i in
            NodeConfiguration.Founder(name: "n\(i + 1)", address: Self.address(i))
        }
        for (i, founder) in founders.enumerated() {
            var configuration = NodeConfiguration(
                cluster: "test", id: NodeID(random: &random), name: founder.name, address: founder.address.ip,
                ports: NodePorts(peers: 7600, redis: 7379, redisCluster: 7380, http: 7680), version: "0.0.0",
                epoch: 1, boot: 1, seed: UInt64(i), founders: founders, seeds: [], keyspaces: [keyspace],
                gossip: GossipSettings(clusterName: "test"))
            change(&configuration)
            members.append(Member(configuration, now: now(Interval.zero)))
        }
    }

    static func address(_ i: Int) -> Address {
        Address(ip: IPAddress(v4: 127, 0, 0, UInt8(i + 1)), port: 7600)
    }

    private func now(_ offset: Interval) -> Now {
        Now(
            monotonic: monotonic,
            wall: WallTime(microseconds: 1_700_000_000_000_000 + monotonic.nanoseconds / 1_000) + offset)
    }

    /// The time that all nodes' clocks show, unless the script has set them wrong.
    var wall: WallTime { now(.zero).wall }

    // MARK: The script's verbs

    func start(_ nodes: [Int]? = nil) {
        for i in nodes ?? Array(members.indices) { queue.append((i, .start)) }
        settle()
    }

    /// Sends a request to a node; the reply is there when everything has settled, if nothing was held back.
    @discardableResult
    func ask(_ i: Int, _ request: ClientRequest) -> UInt64 {
        let ticket = nextTicket
        nextTicket += 1
        queue.append((i, .client(ClientTicket(ticket), request)))
        settle()
        return ticket
    }

    func reply(_ i: Int, _ ticket: UInt64) -> ClientReply? { members[i].replies[ticket] }

    func put(
        _ i: Int, _ key: String, _ value: String, _ level: ConsistencyLevel = .quorum, above: Stamp? = nil,
        version: Stamp? = nil
    ) -> ClientReply? {
        let put = Put(.value(Blob(value), expiry: nil), above: above, version: version)
        return reply(
            i, ask(i, ClientRequest(keyspace: 0, key: Blob(key), operation: .put(put), level: level)))
    }

    func get(_ i: Int, _ key: String, _ level: ConsistencyLevel = .quorum) -> ClientReply? {
        reply(i, ask(i, ClientRequest(keyspace: 0, key: Blob(key), operation: .get, level: level)))
    }

    func change(_ i: Int, _ change: KeyspaceChange, _ level: ConsistencyLevel? = nil) -> ClientReply? {
        reply(
            i, ask(i, ClientRequest(keyspace: 0, key: .empty, operation: .change(change), level: level)))
    }

    /// Moves time on, firing what falls due, in steps of at most `step`.
    func advance(_ interval: Interval, step: Interval = .milliseconds(10)) {
        let until = monotonic + interval
        while monotonic < until {
            monotonic = min(until, monotonic + step)
            for i in members.indices where members[i].isUp && members[i].wakeAt <= monotonic {
                members[i].wakeAt = .distantFuture
                queue.append((i, .timer))
            }
            settle()
        }
    }

    /// The process is gone, and its connections with it.
    func kill(_ i: Int) {
        members[i].isUp = false
        for (j, member) in members.enumerated() where member.isUp {
            for (peer, target) in member.peers where target == i { queue.append((j, .linkDown(peer))) }
        }
        settle()
    }

    func shutDown(_ i: Int) {
        queue.append((i, .shutdown))
        settle()
    }

    /// Starts a dead node again under its name and address, with nothing of what it was.
    func replaceWithEmptyFolder(_ i: Int) {
        var configuration = members[i].configuration
        var random = Random(seed: 99)
        configuration.id = NodeID(random: &random)
        members[i] = Member(configuration, now: now(.zero))
        start([i])
    }

    /// A node dies, starts with an empty folder, and once more as the others tell it: it rebuilds its disk.
    func loseFolder(_ i: Int, change: (inout NodeConfiguration) -> Void = { _ in }) {
        kill(i)
        advance(.seconds(20))
        replaceWithEmptyFolder(i)
        advance(.seconds(5))
        guard case .rebuild(let order, _)? = members[i].stopped else {
            Issue.record("a wiped node goes on under an id of its own")
            return
        }
        restart(i) {
            $0.id = order.id
            ($0.epoch, $0.lostEpoch, $0.boot) = (order.epoch, order.epoch, order.boot)
            change(&$0)
        }
    }

    /// Starts a dead node again on its own folder.
    func restart(
        _ i: Int, end: RunEnd = RunEnd(), trees: Blob? = nil,
        change: (inout NodeConfiguration) -> Void = { _ in }
    ) {
        let old = members[i]
        var configuration = old.configuration
        configuration.boot += 1
        configuration.epoch += 1
        change(&configuration)
        let meta = old.meta.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) }
        let member = Member(
            configuration, now: now(old.wallOffset),
            recovered: RecoveredState(stampCeiling: old.ceiling, meta: meta, end: end, trees: trees))
        member.disk = old.disk
        member.meta = old.meta
        member.hints = old.hints
        member.wallOffset = old.wallOffset
        members[i] = member
        start([i])
        for (j, other) in members.enumerated() where other.isUp {
            for (peer, target) in other.peers where target == i { queue.append((j, .linkUp(peer))) }
        }
        settle()
    }

    /// Lets arrive what was held back, of one sender or of all, in the order in which it was sent.
    func release(from sender: Int? = nil) {
        if sender == nil { holds = { _, _, _ in false } }
        let released = held.filter { sender == nil || $0.from == sender }
        held.removeAll { sender == nil || $0.from == sender }
        queue += released.map { ($0.to, $0.event) }
        settle()
    }

    /// Lets a node hear something that nobody sent.
    func inject(_ i: Int, _ event: Event) {
        queue.append((i, event))
        settle()
    }

    /// A message as from node `j`, on the link that it opened, or on the one that node `i` opened to it.
    func forge(_ i: Int, from j: Int, overOwnLink: Bool = false, _ message: Message) {
        let link = overOwnLink ? link(from: i, to: j) : link(from: j, to: i)
        inject(i, .peer(link, members[j].configuration.id, members[i].node.hybridTime, message))
    }

    /// Answers the reservations that were held back.
    func reserve(_ i: Int) {
        members[i].holdsReservations = false
        queue.append((i, .storage(.stampsReserved(ceiling: members[i].ceiling.bits))))
        settle()
    }

    var time: Now { now(.zero) }

    /// Makes what was held back durable.
    func sync(_ i: Int) {
        members[i].holdsSync = false
        queue.append((i, .storage(.durable(through: members[i].lastTicket))))
        settle()
    }

    /// What a node has stored under the key: the value and its stamp.
    func stored(_ i: Int, _ key: String) -> Register? {
        let token = Token(key: Blob(key))
        return members[i].disk[StorageKey(keyspace: 0, token: token.value, key: Blob(key))]
            .map(Register.init(decoding:))
    }

    // MARK: The world

    private func settle() {
        var steps = 0
        while !queue.isEmpty {
            steps += 1
            invariant(steps < 200_000, "the nodes never come to rest")
            let (i, event) = queue.removeFirst()
            let member = members[i]
            guard member.isUp, member.stopped == nil else { continue }
            var buffer = EffectBuffer()
            let now = now(member.wallOffset)
            if countsAllocations { allocation_counting_begin() }
            member.node.handle(event, now: now, into: &buffer)
            if countsAllocations { allocations += allocation_counting_end() }
            for index in 0..<buffer.count { carryOut(i, buffer[index]) }
            member.node.checkInvariants()
        }
    }

    private func index(of address: Address) -> Int? {
        members.firstIndex { $0.configuration.peersAddress == address && $0.isUp }
    }

    private func link(from: Int, to: Int) -> LinkID { LinkID(UInt64(from * 100 + to)) }

    private func deliver(from i: Int, to j: Int, over link: LinkID, _ message: Message) {
        watch(i, j, message)
        guard !drops(i, j, message) else { return }
        var writer = ByteWriter()
        Frame(time: members[i].node.frameTime, message: message).write(to: &writer)
        guard case .frame(let frame, _)? = try? Frame.scan(writer.bytes.span.bytes) else {
            invariantBroken("a frame that was just written can't be read")
        }
        let event = Event.peer(link, members[i].configuration.id, frame.time, frame.message)
        if holds(i, j, message) { held.append((i, j, event)) } else { queue.append((j, event)) }
    }

    private func carryOut(_ i: Int, _ effect: Effect) {
        let member = members[i]
        switch effect {
        case .reply(let ticket, let reply):
            invariant(member.replies[ticket.number] == nil, "ticket \(ticket.number) was answered twice")
            member.replies[ticket.number] = reply
        case .introduce(let peer, _, let address):
            guard let j = members.firstIndex(where: { $0.configuration.peersAddress == address }) else {
                return
            }
            member.peers[peer] = j
            guard members[j].isUp else {
                queue.append((i, .linkDown(peer)))
                return
            }
            queue.append((j, .hello(link(from: i, to: j), members[i].node.hello)))
            queue.append((i, .hello(link(from: i, to: j), members[j].node.hello)))
            queue.append((i, .linkUp(peer)))
        case .dismiss(let peer): member.peers[peer] = nil
        case .send(let peer, let message):
            guard let j = member.peers[peer], members[j].isUp else { return }
            deliver(from: i, to: j, over: link(from: i, to: j), message)
        case .respond(let link, let message):
            let (from, to) = (Int(link.number / 100), Int(link.number % 100))
            deliver(from: i, to: i == from ? to : from, over: link, message)
        case .accept: break
        case .refuse(let link, let farewell):
            onRefusal(farewell)
            let (from, to) = (Int(link.number / 100), Int(link.number % 100))
            if to == i, members.indices.contains(from) {
                queue.append((from, .refusedByPeer(member.configuration.peersAddress, farewell)))
            }
        case .stream(let address, let payload):
            guard let j = index(of: address) else {
                queue.append((i, .streamFailed(address)))
                return
            }
            if i != j { queue.append((j, .hello(link(from: i, to: j), member.node.hello))) }
            deliver(from: i, to: j, over: link(from: i, to: j), .gossip(payload))
        case .datagram(let address, let bytes):
            if !losesDatagrams, let j = index(of: address), !drops(i, j, .gossip(bytes)) {
                queue.append((j, .datagram(from: member.configuration.peersAddress, bytes)))
            }
        case .storage(let request): store(i, request)
        case .wake(let instant): member.wakeAt = instant
        case .report(let report): member.reports.append(report)
        case .stopped(let reason): member.stopped = reason
        }
    }

    private func store(_ i: Int, _ request: StorageRequest) {
        let member = members[i]
        if let refusal = member.refusal, let ticket = request.writeTicket {
            queue.append((i, .storage(.refused(ticket, refusal))))
            return
        }
        switch request {
        case .merge(let ticket, let key, let record):
            member.disk[key] = member.disk[key].map { Record.join($0, record) } ?? record
            becomeDurable(i, ticket)
        case .putMeta(let ticket, let key, let value):
            member.meta[key] = value
            becomeDurable(i, ticket)
        case .putHint(let ticket, let key, let value):
            invariant(member.hints[key] == nil, "a hint's key was used before")
            member.hints[key] = value
            becomeDurable(i, ticket)
        case .deleteHints(let ticket, let keys):
            for key in keys { member.hints[key] = nil }
            becomeDurable(i, ticket)
        case .delete(let ticket, let keys):
            for key in keys { member.disk[key] = nil }
            becomeDurable(i, ticket)
        case .deleteRange(let ticket, let keyspace, let tokens):
            for key in member.disk.keys where key.keyspace == keyspace && tokens.contains(key.token) {
                member.disk[key] = nil
            }
            becomeDurable(i, ticket)
        case .read(let ticket, let key): queue.append((i, .storage(.read(ticket, member.disk[key]))))
        case .scan(let ticket, let lower, let upper, let limit):
            storageScans += 1
            let page = scan(member, from: lower, until: upper, limit)
            queue.append((i, .storage(.scanned(ticket, page))))
        case .scanHints(let ticket, let lower, let upper, let limit):
            let keys = member.hints.keys.filter { key in key >= lower && upper.map { key < $0 } ?? true }
                .sorted()
            let records = keys.prefix(limit.recordsMax).map {
                StoredPair(key: $0, value: member.hints[$0]!)
            }
            let page = ScanPage(
                records: records, next: keys.count > records.count ? keys[records.count] : nil)
            queue.append((i, .storage(.scanned(ticket, page))))
        case .digest(let ticket, let query):
            let keys = member.disk.keys.sorted()
            let page = query.page(.records) { (from, until, body) in
                for key in keys where key.bytes >= from && until.map({ key.bytes < $0 }) ?? true {
                    let goesOn = key.bytes.withUnsafeBytes { k in
                        member.disk[key]!.withUnsafeBytes { body(k, $0) }
                    }
                    if !goesOn { return }
                }
            }
            queue.append((i, .storage(.digested(ticket, page))))
        case .collect(let ticket, let keys, _):
            let records = keys.compactMap { key in
                member.disk[key].map { StoredPair(key: key.bytes, value: $0) }
            }
            queue.append((i, .storage(.scanned(ticket, ScanPage(records: records, next: nil)))))
        case .reserveStamps(let ceiling):
            member.ceiling = HybridTime(bits: ceiling)
            if !member.holdsReservations { queue.append((i, .storage(.stampsReserved(ceiling: ceiling)))) }
        }
    }

    private func scan(_ member: Member, from lower: Blob, until upper: Blob?, _ limit: ScanLimit) -> ScanPage
    {
        let keys = member.disk.keys.filter { key in
            key.bytes >= lower && upper.map { key.bytes < $0 } ?? true
        }.sorted()
        let records = keys.prefix(limit.recordsMax).map {
            StoredPair(key: $0.bytes, value: member.disk[$0]!)
        }
        let next = keys.count > records.count ? keys[records.count].bytes : nil
        return ScanPage(records: records, next: next)
    }

    private func becomeDurable(_ i: Int, _ ticket: WriteTicket) {
        members[i].lastTicket = ticket
        if !members[i].holdsSync { queue.append((i, .storage(.durable(through: ticket)))) }
    }
}

extension StorageRequest {
    /// Of those that the storage may refuse.
    var writeTicket: WriteTicket? {
        switch self {
        case .merge(let ticket, _, _), .putMeta(let ticket, _, _), .putHint(let ticket, _, _),
            .deleteHints(let ticket, _), .delete(let ticket, _), .deleteRange(let ticket, _, _):
            ticket
        case .read, .scan, .scanHints, .digest, .collect, .reserveStamps: nil
        }
    }
}

extension ClientReply {
    /// The value read, "-" for none or a tombstone; nil when this is no read that succeeded.
    var value: String? {
        guard case .read(let record) = self else { return nil }
        guard let record, case .present(let value) = Register(decoding: record).value else { return "-" }
        return value.text
    }

    var stamp: Stamp? {
        switch self {
        case .written(let stamp): stamp
        case .read(.some(let record)): Register(decoding: record).stamp
        case .read(.none), .scanned, .defined, .acted, .failed: nil
        }
    }

    var failure: RequestFailure? {
        if case .failed(let failure) = self { failure } else { nil }
    }
}
