import MartletBase
import MartletNode
import MartletRing
import MartletServer
import MartletVersions

/// A store of one node in memory, faithful to the core's contract: registers that are joined, stamps that
/// rise, exactly one reply for each request. What it does with a request happens at some moment between its
/// coming and its reply, and replies come in any order: drawn from a seed, or at once.
package final class FakeBackend: RedisBackend {
    private struct Work {
        let ticket: ClientTicket
        let request: ClientRequest
        var reply: ClientReply?
    }

    package weak var server: RedisServer?
    package var now = Now(monotonic: .zero, wall: WallTime(milliseconds: 1_700_000_000_000))
    package var keyspaces: [KeyspaceDefinition]
    /// Whether requests are answered within `submit`.
    package var isImmediate = true
    /// Called for each request; what it returns is the reply.
    package var fails: ((ClientRequest) -> RequestFailure?)?
    private var records: [StorageName: Blob] = [:]
    private var work: [Work] = []
    private var clock: HybridClock
    package private(set) var submitted: [ClientRequest] = []
    package private(set) var workMax = 0
    package private(set) var replies = 0

    private struct StorageName: Hashable {
        let keyspace: UInt32
        let key: Blob
    }

    package init() {
        keyspaces = [
            KeyspaceDefinition(id: 0, name: "default", stamp: 1, replication: .count(3)),
            KeyspaceDefinition(
                id: 7, name: "sessions", stamp: 1, replication: .count(3), read: .one, write: .all,
                ttl: .seconds(60)),
        ]
        let writer = Writer(node: 0xAB, boot: 3, shard: 0)
        clock = HybridClock(writer: writer, recovered: .zero)
        clock.reserved(HybridTime(bits: .max))
    }

    package func submit(_ ticket: ClientTicket, _ request: ClientRequest) {
        submitted.append(request)
        if isImmediate {
            replies += 1
            server?.complete(ticket, carryOut(request))
        } else {
            work.append(Work(ticket: ticket, request: request))
            workMax = max(workMax, work.count)
        }
    }

    package var hasWork: Bool { !work.isEmpty }
    package var workCount: Int { work.count }

    /// Does one step of one request: carries it out, or delivers its reply.
    package func step(_ random: inout Random) {
        guard !work.isEmpty else { return }
        let index = random.below(work.count)
        if let reply = work[index].reply {
            let ticket = work.remove(at: index).ticket
            replies += 1
            server?.complete(ticket, reply)
        } else {
            work[index].reply = carryOut(work[index].request)
        }
    }

    package func finish(_ random: inout Random) {
        while hasWork { step(&random) }
    }

    private func carryOut(_ request: ClientRequest) -> ClientReply {
        if let failure = fails?(request) { return .failed(failure) }
        if case .scan(let scan) = request.operation { return .scanned(page(scan, request.keyspace)) }
        if case .change(let change) = request.operation { return carryOut(change) }
        let name = StorageName(keyspace: request.keyspace, key: request.key)
        guard case .put(let put) = request.operation else { return .read(records[name]) }
        if keyspaces.first(where: { $0.id == request.keyspace })?.conflict == .siblings {
            return putSibling(put, name)
        }
        let floor = max(clock.last, put.above?.time ?? .zero)
        let stamp = put.version ?? clock.issue(above: floor, now.wall)!
        let record: Blob
        switch put.content {
        case .value(let value, let expiry):
            record = Register(stamp: stamp, value: .present(value), expiry: expiry).encoded()
        case .tombstone: record = Register(stamp: stamp, value: .tombstone).encoded()
        case .expiry(let old, let expiry):
            guard let view = try? RegisterView(old.span) else { return .failed(.stopping) }
            let end = view.valueOffset + view.valueLength
            let value = Blob(Array(old.bytes[view.valueOffset..<end]))
            record =
                Register(stamp: view.stamp, value: .present(value), expiryStamp: stamp, expiry: expiry)
                .encoded()
        }
        records[name] = records[name].map { Record.join($0, record) } ?? record
        return .written(stamp)
    }

    private func putSibling(_ put: Put, _ name: StorageName) -> ClientReply {
        let held = records[name].map { Record.context(of: $0.span) } ?? .empty
        if let version = put.version, held.covers(version) { return .written(version) }
        let stamp = clock.issue(above: max(clock.last, put.context.latest), now.wall)!
        guard case .value(let value, let expiry) = put.content else {
            let new = Siblings.NewVersion(dot: stamp, value: nil, expiry: nil)
            records[name] = Siblings.putting(new, over: records[name], context: put.context)
            return .written(stamp)
        }
        let new = Siblings.NewVersion(dot: stamp, value: value, expiry: expiry)
        records[name] = Siblings.putting(new, over: records[name], context: put.context)
        return .written(stamp)
    }

    private func carryOut(_ change: KeyspaceChange) -> ClientReply {
        switch change {
        case .create(let name, let options):
            if keyspaces.contains(where: { $0.name == name }) { return .failed(.keyspace(.exists(name))) }
            var made = KeyspaceDefinition(
                id: 100 + UInt32(submitted.count), name: name, created: clock.last.bits + 1, stamp: 1,
                replication: options.replication ?? .count(3), conflict: options.conflict ?? .lww)
            made.apply(options)
            keyspaces.append(made)
            return .defined([made])
        case .alter(let name, let options):
            guard let index = index(named: name) else { return unknown(name) }
            if let (option, reason) = keyspaces[index].fixedOption(among: options) {
                return .failed(.keyspace(.fixed(keyspace: name, option: option, reason: reason)))
            }
            keyspaces[index].apply(options)
            return .defined([keyspaces[index]])
        case .drop(let name):
            guard let index = index(named: name) else { return unknown(name) }
            return .defined([keyspaces.remove(at: index)])
        case .truncate(let ids):
            records = records.filter { !ids.contains($0.key.keyspace) }
            return .defined(keyspaces.filter { ids.contains($0.id) })
        }
    }

    private func index(named name: String) -> Int? { keyspaces.firstIndex { $0.name == name } }

    private func unknown(_ name: String) -> ClientReply {
        .failed(.keyspace(.unknown(name, known: keyspaces.map(\.name))))
    }

    /// Where a page ends although the range goes on, as it does where the owners change.
    package var borders: [Token] = (1..<8).map { Token(value: UInt64($0) << 61) }
    /// The tokens of keys; a test can have keys share one.
    package var token: (Blob) -> Token = { Token(key: $0) }

    private func page(_ scan: Scan, _ keyspace: UInt32) -> KeyPage {
        let border = borders.first { $0 > scan.range.lowerBound && $0 <= scan.range.upperBound }
        let live = records.compactMap { name, record -> (token: Token, key: Blob)? in
            guard name.keyspace == keyspace, scan.range.contains(token(name.key)),
                let summary = try? RecordSummary(record.span), summary.isLive(now.wall)
            else { return nil }
            return (token(name.key), name.key)
        }
        let found = live.sorted { ($0.token, $0.key) < ($1.token, $1.key) }
            .filter { each in border.map { each.token < $0 } ?? true }
        guard case .keys(let about) = scan.wanted else {
            return KeyPage(keys: [], count: found.count, next: border)
        }
        var end = min(about, found.count)
        while end > 0, end < found.count, found[end].token == found[end - 1].token { end += 1 }
        let next = end < found.count ? found[end].token : border
        return KeyPage(keys: found[..<end].map(\.key), count: end, next: next)
    }

    // MARK: What is shown

    package var statusShown = NodeStatus(
        cluster: "test", asked: "n1", isFormed: true, waits: [], ringDigest: 0x1234, isAgreed: true,
        members: [])
    package var placementShown: Placement?
    package func status() -> NodeStatus { statusShown }
    package func placement(keyspace: UInt32) -> Placement? { placementShown }
    package func usage() -> NodeUsage { NodeUsage(storedBytes: 4_096, hintBytes: 0, uptime: .seconds(12)) }
    package func nodeMetrics() -> NodeMetrics { NodeMetrics() }
    package var hintsShown = HintStatus(dropped: 0, targets: [])
    package func hintStatus() -> HintStatus { hintsShown }
    package func repairStatus() -> RepairStatus {
        RepairStatus(waiting: 0, askedComplete: 0, askedFailed: 0, running: [])
    }
    package func repair(keyspace: UInt32, slots: ClosedRange<UInt16>, inTurns: Bool) -> Int? { 0 }
    package func runtimeMetrics() -> [MetricFamily] { [] }
}

/// A server over a fake store, and one client of it.
package final class Harness {
    package let backend = FakeBackend()
    package let server: RedisServer
    package let client: RedisSession

    package init(_ change: (inout RedisSettings) -> Void = { _ in }) {
        var settings = RedisSettings(
            nodeID: NodeID(hex: String(repeating: "ab", count: 20))!, nodeName: "n1", version: "0.1.0",
            address: Address(ip: IPAddress(v4: 127, 0, 0, 1), port: 7_379))
        settings.clusterPort = 7_380
        change(&settings)
        server = RedisServer(backend, settings)
        backend.server = server
        var level = "info"
        server.logLevel = LogLevelSetting(get: { level }, set: { level = $0 })
        client = server.open(peer: "127.0.0.1:50000", local: "127.0.0.1:7379")!
    }

    /// Sends a request of these words.
    package func send(_ words: [Blob], to session: RedisSession? = nil) {
        let bytes = Blob(Self.request(words))
        (session ?? client).receive(bytes.span)
    }

    /// What the client gets for a line of words that are apart by spaces.
    @discardableResult
    package func ask(_ line: String, on session: RedisSession? = nil) -> String {
        send(
            line.split(separator: " ", omittingEmptySubsequences: false).map { Blob(String($0)) }, to: session
        )
        return output(session)
    }

    package func ask(_ words: [Blob]) -> String {
        send(words)
        return output()
    }

    package func output(_ session: RedisSession? = nil) -> String {
        server.checkInvariants()
        return Self.shown((session ?? client).takeOutput())
    }

    package static func request(_ words: [Blob]) -> [UInt8] {
        var out = Array("*\(words.count)\r\n".utf8)
        for word in words { out += Array("$\(word.count)\r\n".utf8) + word.bytes + Array("\r\n".utf8) }
        return out
    }

    /// Where two outputs begin to differ, with what is around; nil when they don't.
    package static func difference(_ got: [UInt8], _ expected: [UInt8]) -> String? {
        if got == expected { return nil }
        let common = zip(got, expected).prefix { $0 == $1 }.count
        let start = max(0, common - 100)
        return "got ...\(shown(Array(got.dropFirst(start).prefix(200)))) "
            + "instead of ...\(shown(Array(expected.dropFirst(start).prefix(200))))"
    }

    /// Line ends as `|`, so that expectations are short.
    package static func shown(_ bytes: [UInt8]) -> String {
        String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "|")
    }
}
