import Glibc
import MartletBase
import MartletGossip
import MartletNode
import MartletRing
import MartletRocksDB
import MartletStorage
import MartletVersions
import MartletWire

/// Two nodes and their engines in one process. Messages arrive at once, as frames that are counted; time goes
/// on when nothing is left to do, so that what is measured is work and not waiting.
final class RepairWorld {
    private final class Member {
        var node: Node
        let configuration: NodeConfiguration
        let engine: RocksDBEngine
        var wakeAt = Instant.distantFuture
        var hasWritten = false
        var lastTicket = WriteTicket(0)

        init(_ configuration: NodeConfiguration, _ engine: RocksDBEngine, now: Now) {
            self.configuration = configuration
            self.engine = engine
            node = Node(configuration, recovered: RecoveredState(), now: now)
        }
    }

    private var members: [Member] = []
    private var queue: [(to: Int, event: Event)] = []
    private var next = 0
    private var monotonic = Instant(nanoseconds: 1_000_000_000)
    private let keys: Int
    private let valueBytes: Int
    private var added = 0
    private var writes: UInt64 = 0

    // What was measured.
    private(set) var passed = 0
    /// The processor's time for them.
    private(set) var digestSeconds = 0.0
    private var bytes = 0
    private var payload = 0
    private var questions = 0

    init(folder: String, keys: Int, valueBytes: Int) throws(Failure) {
        self.keys = keys
        self.valueBytes = valueBytes
        let founders = (0..<2).map {
            NodeConfiguration.Founder(name: "n\($0 + 1)", address: Self.address($0))
        }
        for (i, founder) in founders.enumerated() {
            let id = NodeID(short: UInt64(i + 1), middle: 0, low: 0)
            var configuration = NodeConfiguration(
                cluster: "bench", id: id, name: founder.name, address: founder.address.ip,
                ports: NodePorts(peers: 7600, redis: 7379, redisCluster: 7380, http: 7680), version: "0",
                epoch: 1, boot: 1, seed: UInt64(i), founders: founders, seeds: [],
                keyspaces: [KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(2))],
                gossip: GossipSettings(clusterName: "bench"))
            configuration.repairInterval = .hours(1_000)
            configuration.keepsHints = false
            do {
                let folder = try DataFolder(
                    opening: "\(folder)/\(founder.name)", cluster: "bench", name: founder.name, newNode: id,
                    now: WallTime(milliseconds: 1_700_000_000_000))
                let engine = try RocksDBEngine(
                    opening: folder, settings: RocksDBSettings(diskFreeMinBytes: 0), rules: .records)
                members.append(Member(configuration, engine, now: now))
            } catch {
                throw .refused("\(error)")
            }
        }
        try fill()
    }

    private static func address(_ i: Int) -> Address {
        Address(ip: IPAddress(v4: 127, 0, 0, UInt8(i + 1)), port: 7600)
    }

    private var now: Now {
        Now(
            monotonic: monotonic,
            wall: WallTime(microseconds: 1_700_000_000_000_000 + monotonic.nanoseconds / 1_000))
    }

    private func key(_ number: Int) -> Blob { Blob("key:\(number)") }

    private func record(_ number: Int) -> Blob {
        var random = Random(seed: UInt64(number))
        let value = (0..<(valueBytes + 7) / 8).flatMap { _ in
            withUnsafeBytes(of: random.next()) { Array($0) }
        }
        let stamp = Stamp(
            time: HybridTime(WallTime(milliseconds: 1_600_000_000_000 + Int64(number))),
            writer: Writer(node: 1, boot: 1, shard: 0))
        return Register(stamp: stamp, value: .present(Blob(Array(value.prefix(valueBytes))))).encoded()
    }

    /// Both hold the same.
    private func fill() throws(Failure) {
        do {
            for first in stride(from: 0, to: keys, by: 1_000) {
                var batch = WriteBatch()
                for number in first..<min(keys, first + 1_000) {
                    let key = key(number)
                    batch.merge(
                        StorageKey(keyspace: 0, token: Token(key: key).value, key: key), record(number))
                }
                for member in members { try write(batch, to: member) }
            }
            for member in members {
                _ = try member.engine.sync()
                try member.engine.compact()
            }
        } catch {
            throw .refused("\(error)")
        }
    }

    /// Waits while the engine is behind.
    private func write(_ batch: borrowing WriteBatch, to member: Member) throws(StorageError) {
        while true {
            do {
                try member.engine.write(batch)
                return
            } catch .refused {
                usleep(20_000)
                try member.engine.checkHealth()
            }
        }
    }

    // MARK: What is done

    func form() {
        for i in members.indices { queue.append((i, .start)) }
        advance(.seconds(5))
    }

    /// Gives each of so many new keys to one of the two.
    func differ(by count: Int) throws(Failure) {
        for number in added..<(added + count) {
            let key = key(keys + number)
            let i = number % 2
            guard let placement = members[i].node.placement(keyspace: 0)?.placement else {
                throw .refused("no ring has formed")
            }
            writes += 1
            let request = MergeRequest(
                request: writes, placement: placement.digest(of: Token(key: key).slot), keyspace: 0,
                isFresh: false, key: key, record: record(keys + number))
            let event = Event.peer(
                link(from: 1 - i, to: i), members[1 - i].configuration.id, members[1 - i].node.hybridTime,
                .merge(request))
            queue.append((i, event))
            if number % 1_000 == 999 { settle() }
        }
        added += count
        settle()
    }

    /// Has the two exchange, and tells what that took.
    func exchange(_ name: String, differences: Int = 0) throws(Failure) -> RepairRow {
        (bytes, payload, questions) = (0, 0, 0)
        let before = members[0].node.currentMetrics().exchangesComplete
        _ = members[0].node.askForExchanges(keyspace: 0, slots: 0...16_383, inTurns: false)
        let began = Self.clock()
        queue.append((0, .timer))
        for _ in 0..<100_000 where members[0].node.currentMetrics().exchangesComplete == before {
            advance(.milliseconds(10))
        }
        guard members[0].node.currentMetrics().exchangesComplete > before else {
            throw .refused("the exchange never ended")
        }
        return RepairRow(
            name: name, differences: differences, roundTrips: questions, bytes: bytes, payload: payload,
            seconds: Self.clock() - began)
    }

    // MARK: The world

    static func clock(_ id: clockid_t = CLOCK_MONOTONIC) -> Double {
        var time = timespec()
        clock_gettime(id, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func advance(_ interval: Interval) {
        settle()
        let until = monotonic + interval
        while monotonic < until {
            monotonic = min(until, monotonic + .milliseconds(5))
            for (i, member) in members.enumerated() where member.wakeAt <= monotonic {
                member.wakeAt = .distantFuture
                queue.append((i, .timer))
            }
            settle()
        }
    }

    private func settle() {
        while true {
            while next < queue.count {
                let (i, event) = queue[next]
                next += 1
                var buffer = EffectBuffer()
                members[i].node.handle(event, now: now, into: &buffer)
                for index in 0..<buffer.count { carryOut(i, buffer[index]) }
            }
            queue.removeAll(keepingCapacity: true)
            next = 0
            for (i, member) in members.enumerated() where member.hasWritten {
                member.hasWritten = false
                _ = try? member.engine.sync()
                queue.append((i, .storage(.durable(through: member.lastTicket))))
            }
            if queue.isEmpty { return }
        }
    }

    private func link(from: Int, to: Int) -> LinkID { LinkID(UInt64(from * 10 + to)) }

    private func deliver(from i: Int, to j: Int, over link: LinkID, _ message: Message) {
        var writer = ByteWriter()
        Frame(time: members[i].node.hybridTime, message: message).write(to: &writer)
        count(message, writer.count)
        guard case .frame(let frame, _)? = try? Frame.scan(writer.bytes.span.bytes) else {
            invariantBroken("a frame that was just written can't be read")
        }
        queue.append((j, .peer(link, members[i].configuration.id, frame.time, frame.message)))
    }

    private func count(_ message: Message, _ frameBytes: Int) {
        switch message {
        case .exchangeOpening, .exchangeDescent, .exchangeListing: questions += 1
        case .mergeMany(let request):
            questions += 1
            payload += request.records.reduce(0) { $0 + $1.key.count + $1.record.count }
        case .exchangeAnswer(let answer):
            if case .differences(let it) = answer.outcome {
                payload += it.records.reduce(0) { $0 + $1.key.count + $1.record.count }
            }
        case .mergeAnswer: break
        default: return
        }
        bytes += frameBytes
    }

    private func carryOut(_ i: Int, _ effect: Effect) {
        let other = 1 - i
        switch effect {
        case .introduce(let peer, _, _):
            for (a, b) in [(i, other), (other, i)] {
                let it = members[b].configuration
                queue.append(
                    (
                        a,
                        .hello(
                            link(from: i, to: other),
                            Hello(
                                cluster: it.cluster, id: it.id, name: it.name,
                                folder: FolderAge(epoch: it.epoch, boot: it.boot)))
                    ))
            }
            queue.append((i, .linkUp(peer)))
        case .send(_, let message):
            deliver(from: i, to: other, over: link(from: i, to: other), message)
        case .respond(let link, let message): deliver(from: i, to: other, over: link, message)
        case .stream(_, let payload):
            deliver(from: i, to: other, over: link(from: i, to: other), .gossip(payload))
        case .datagram(_, let bytes):
            queue.append((other, .datagram(from: members[i].configuration.peersAddress, bytes)))
        case .storage(let request): store(members[i], i, request)
        case .wake(let instant): members[i].wakeAt = instant
        case .accept, .dismiss, .refuse, .reply, .report, .stopped: break
        }
    }

    private func store(_ member: Member, _ i: Int, _ request: StorageRequest) {
        do {
            var batch = WriteBatch()
            switch request {
            case .merge(let ticket, let key, let record):
                batch.merge(key, record)
                member.lastTicket = ticket
            case .putMeta(let ticket, let key, let value):
                batch.putMeta(key, value)
                member.lastTicket = ticket
            case .read(let ticket, let key):
                if case .found(let record) = try member.engine.read(key, tier: .any) {
                    queue.append((i, .storage(.read(ticket, record))))
                } else {
                    queue.append((i, .storage(.read(ticket, nil))))
                }
            case .scan(let ticket, let lower, let upper, let limit):
                let page = try member.engine.scan(from: lower, until: upper, limit: limit)
                queue.append((i, .storage(.scanned(ticket, page))))
            case .scanHints(let ticket, _, _, _):
                queue.append((i, .storage(.scanned(ticket, ScanPage(records: [], next: nil)))))
            case .digest(let ticket, let query):
                let began = Self.clock(CLOCK_THREAD_CPUTIME_ID)
                let page = try member.engine.digest(query)
                if case .sums = query.wanted {
                    digestSeconds += Self.clock(CLOCK_THREAD_CPUTIME_ID) - began
                    passed += page.passed
                }
                queue.append((i, .storage(.digested(ticket, page))))
            case .collect(let ticket, let keys, let bytesMax):
                let page = try member.engine.collect(keys, bytesMax: bytesMax)
                queue.append((i, .storage(.scanned(ticket, page))))
            case .reserveStamps(let ceiling):
                queue.append((i, .storage(.stampsReserved(ceiling: ceiling))))
            default: invariantBroken("a bench's node does no more than merge and compare")
            }
            if !batch.isEmpty {
                try write(batch, to: member)
                member.hasWritten = true
            }
        } catch {
            invariantBroken("the engine failed: \(error)")
        }
    }
}
