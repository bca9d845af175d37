import MartletBase
import MartletLoop
import MartletRESP
import MartletRing
import Synchronization

/// See `ClientGates.handOver`: the thread sanitizer doesn't see every hand-over by a continuation.
private let handovers = Atomic(0)

/// A request as a fake node got it.
struct FakeRequest: Sendable {
    /// Which node, which of its connections, and the how-manieth request of all nodes, from 0.
    let node: Int
    let connection: Int
    let serial: Int
    let words: [String]

    var command: String { words[0] }
    func has(_ word: String) -> Bool { words.contains(word) }
}

/// What a fake node does with a request.
enum FakeAnswer: Sendable {
    /// What the nodes' common store says.
    case store
    case value(RESPValue)
    /// The store's answer, once the tag is released; what comes after it on the connection waits behind it.
    case hold(String)
    /// Nothing, ever.
    case silence
    /// The connection is closed with a reset.
    case drop

    static func error(_ line: String) -> FakeAnswer { .value(.error(line)) }
}

/// Nodes on ports of their own, in this process, on a thread of their own, over one common store: they answer
/// what a script says. The greeting and CLUSTER SLOTS are answered without the script.
final class FakeCluster: Sendable {
    typealias Script = @Sendable (FakeRequest) -> FakeAnswer

    /// `address:port` of each.
    let addresses: [String]
    private let inbox: Inbox<@Sendable (FakeNodes) -> Void>
    private let pool: WorkerPool

    private init(
        _ addresses: [String], _ inbox: Inbox<@Sendable (FakeNodes) -> Void>, _ pool: WorkerPool
    ) {
        self.addresses = addresses
        self.inbox = inbox
        self.pool = pool
    }

    /// - Parameter isCluster: whether the nodes tell a topology: the slots in equal parts.
    static func start(
        nodes: Int = 3, isCluster: Bool = true, _ script: @escaping Script = { _ in .store }
    ) async throws -> FakeCluster {
        let pool = try WorkerPool(name: "fake-cluster", threads: 1, queuedMax: 1)
        typealias Started = (addresses: [String], inbox: Inbox<@Sendable (FakeNodes) -> Void>)
        let started: Started = try await withCheckedThrowingContinuation { continuation in
            _ = pool.submit {
                do {
                    let loop = try EventLoop()
                    let nodes = try FakeNodes(loop, count: nodes, isCluster: isCluster, script)
                    let inbox = try Inbox<@Sendable (FakeNodes) -> Void>(loop, countMax: 1_024) { $0(nodes) }
                    handovers.wrappingAdd(1, ordering: .releasing)
                    continuation.resume(returning: (nodes.addresses.map(\.description), inbox))
                    loop.run()
                    loop.shutDown()
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
        _ = handovers.load(ordering: .acquiring)
        return FakeCluster(started.addresses, started.inbox, pool)
    }

    deinit {
        _ = inbox.send { $0.loop.stop() }
        pool.shutDown()
    }

    private func ask<R: Sendable>(_ body: @escaping @Sendable (FakeNodes) -> R) async -> R {
        let result = await withCheckedContinuation { continuation in
            _ = inbox.send {
                let result = body($0)
                handovers.wrappingAdd(1, ordering: .releasing)
                continuation.resume(returning: result)
            }
        }
        _ = handovers.load(ordering: .acquiring)
        return result
    }

    func setScript(_ script: @escaping Script) async { await ask { $0.script = script } }

    /// Answers what was held under the tag.
    func release(_ tag: String) async { await ask { $0.release(tag) } }

    /// Closes the node's connections with a reset, and its port.
    func kill(_ node: Int) async { await ask { $0.kill(node) } }

    /// Opens the port of a killed node again.
    func revive(_ node: Int) async throws {
        try await ask { nodes in Result { try nodes.listen(node) } }.get()
    }

    /// Gives every slot to one node.
    func giveAll(to node: Int) async { await ask { $0.owners = [node] } }

    /// Gives the slots to these nodes in equal parts.
    func give(to nodes: [Int]) async { await ask { $0.owners = nodes } }

    /// All requests so far but the greetings and CLUSTER SLOTS.
    var requests: [FakeRequest] { get async { await ask { $0.requests } } }
    var connectionsMade: [Int] { get async { await ask { $0.connectionsMade } } }
    var selected: [String] { get async { await ask { $0.selected } } }
    /// The most unanswered requests that one connection has had.
    var inFlightMax: Int { get async { await ask { $0.inFlightMax } } }

    func put(_ key: String, _ value: String) async { await ask { $0.values[key] = Blob(value) } }
}

/// The nodes, on their thread.
final class FakeNodes {
    final class Connection {
        let node: Int
        let number: Int
        let tcp: TCPConnection
        var parser = RequestParser(limits: RequestLimits(argumentBytesMax: 64 << 20))
        var input = InputBuffer(bytesMax: 128 << 20)
        /// Answers that are due, in order: nil while held, with the tag.
        var answers: [(tag: String?, bytes: [UInt8])] = []

        init(node: Int, number: Int, _ tcp: TCPConnection) {
            self.node = node
            self.number = number
            self.tcp = tcp
        }
    }

    let loop: EventLoop
    let isCluster: Bool
    var script: FakeCluster.Script
    private(set) var addresses: [Address]
    var owners: [Int]
    private var listeners: [TCPListener?]
    /// Whose each port is, in the order in which they were opened.
    private var nodeOfOpening: [Int] = []
    private var connections: [Connection] = []
    /// What connections have selected, in order.
    private(set) var selected: [String] = []
    private(set) var connectionsMade: [Int]
    private(set) var requests: [FakeRequest] = []
    private(set) var inFlightMax = 0
    var values: [String: Blob] = [:]
    private var versions = 0

    init(_ loop: EventLoop, count: Int, isCluster: Bool, _ script: @escaping FakeCluster.Script) throws {
        self.loop = loop
        self.isCluster = isCluster
        self.script = script
        // Not the address that connections come from, or one could have a revived node's port by then.
        let free = Address(ip: IPAddress(v4: 127, 200, .random(in: 0...255), .random(in: 1...254)), port: 0)
        addresses = Array(repeating: free, count: count)
        listeners = Array(repeating: nil, count: count)
        connectionsMade = Array(repeating: 0, count: count)
        owners = Array(0..<count)
        for node in 0..<count { try listen(node) }
        // Sorted as the client sorts them, so that the first node is the first by address.
        let order = (0..<count).sorted { addresses[$0] < addresses[$1] }
        addresses = order.map { addresses[$0] }
        listeners = order.map { listeners[$0] }
        for (node, opening) in order.enumerated() { nodeOfOpening[opening] = node }
    }

    func listen(_ node: Int) throws {
        let opening = nodeOfOpening.count
        nodeOfOpening.append(node)
        let listener = try TCPListener(loop, addresses[node]) { [unowned self] in
            accept(nodeOfOpening[opening], $0)
        }
        addresses[node] = listener.address
        listeners[node] = listener
    }

    private func accept(_ node: Int, _ tcp: TCPConnection) {
        let connection = Connection(node: node, number: connectionsMade[node], tcp)
        connectionsMade[node] += 1
        connections.append(connection)
        tcp.onRead = { [unowned self, unowned connection] in read(connection, $0) }
        tcp.onClose = { [unowned self] _ in connections.removeAll { $0 === connection } }
    }

    func kill(_ node: Int) {
        listeners[node]?.close()
        listeners[node] = nil
        for connection in connections where connection.node == node { connection.tcp.reset() }
    }

    func release(_ tag: String) {
        for connection in connections {
            for index in connection.answers.indices where connection.answers[index].tag == tag {
                connection.answers[index].tag = nil
            }
            flush(connection)
        }
    }

    private func read(_ connection: Connection, _ bytes: RawSpan) {
        try? connection.input.parse(bytes) { unread throws(WireError) in
            var used = 0
            while true {
                let rest = unread.extracting(droppingFirst: used)
                switch connection.parser.next(rest) {
                case .needMore(let consumed): return used + consumed
                case .request(let consumed):
                    let request = connection.parser.request(in: rest)
                    var words: [Blob] = []
                    for index in 0..<request.count { words.append(Blob(copying: request[index])) }
                    used += consumed
                    answer(connection, words)
                case .oversized, .protocolError: throw .invalid("request")
                }
            }
        }
        inFlightMax = max(inFlightMax, connection.answers.count)
        flush(connection)
    }

    private func answer(_ connection: Connection, _ blobs: [Blob]) {
        // Of a value the beginning is enough.
        let words = blobs.map { String(decoding: $0.bytes.prefix(256), as: UTF8.self) }
        switch words[0] {
        case "HELLO": return add(connection, .map([.init(.bulkString(Blob("proto")), .integer(3))]))
        case "CLIENT": return add(connection, .simpleString("OK"))
        case "SELECT":
            selected.append(words[1])
            let isKnown = words[1] != "nope"
            return add(
                connection,
                isKnown ? .simpleString("OK") : .error("ERR no keyspace is named 'nope': there are default"))
        case "CLUSTER": return add(connection, isCluster ? slots : .error("ERR no cluster here"))
        default: break
        }
        let request = FakeRequest(
            node: connection.node, connection: connection.number, serial: requests.count, words: words)
        requests.append(request)
        switch script(request) {
        case .store: add(connection, stored(words, blobs, connection.node))
        case .value(let value): add(connection, value)
        case .hold(let tag): add(connection, stored(words, blobs, connection.node), tag: tag)
        case .silence: connection.answers.append(("never", []))
        case .drop: connection.tcp.reset()
        }
    }

    private func add(_ connection: Connection, _ value: RESPValue, tag: String? = nil) {
        var writer = ReplyWriter(version: .three)
        writer.value(value)
        connection.answers.append((tag, writer.bytes))
    }

    private func flush(_ connection: Connection) {
        let held = connection.answers.firstIndex { $0.tag != nil } ?? connection.answers.count
        for answer in connection.answers[..<held] { connection.tcp.write(answer.bytes) }
        connection.answers.removeSubrange(..<held)
    }

    private func range(_ index: Int) -> ClosedRange<Int> {
        index * Limits.slots / owners.count...(index + 1) * Limits.slots / owners.count - 1
    }

    private var slots: RESPValue {
        .array(
            owners.enumerated().map { index, owner in
                let node: [RESPValue] = [
                    .bulkString(Blob(addresses[owner].ip.description)),
                    .integer(Int64(addresses[owner].port)), .bulkString(Blob("id\(owner)")),
                ]
                let range = range(index)
                return .array(
                    [.integer(Int64(range.lowerBound)), .integer(Int64(range.upperBound)), .array(node)])
            })
    }

    // MARK: The store

    private func stored(_ words: [String], _ blobs: [Blob], _ node: Int) -> RESPValue {
        func bulk(_ text: String) -> RESPValue { .bulkString(Blob(text)) }
        switch words[0] {
        case "GET": return values[words[1]].map { .bulkString($0) } ?? .null
        case "VGET":
            let value = values[words[1]]
            return .map([
                .init(bulk("context"), value == nil ? .null : bulk("c")),
                .init(bulk("values"), .array(value.map { [.bulkString($0)] } ?? [])),
            ])
        case "VSET", "VDEL":
            values[words[1]] = words[0] == "VSET" ? blobs[2] : nil
            versions += 1
            let version = words.firstIndex(of: "VERSION").map { words[$0 + 1] } ?? "v\(versions)"
            return .map([.init(bulk("context"), bulk(version)), .init(bulk("version"), bulk(version))])
        case "EXISTS", "PEXPIRE": return .integer(values[words[1]] == nil ? 0 : 1)
        case "PERSIST": return .integer(0)
        case "PTTL": return .integer(values[words[1]] == nil ? -2 : 1_500)
        case "SCAN": return page(words, node)
        default: return .error("ERR unknown command '\(words[0])'")
        }
    }

    /// The cursor is a place in the sorted keys of the node's slots.
    private func page(_ words: [String], _ node: Int) -> RESPValue {
        let keys = values.keys.sorted().filter { key in
            guard isCluster else { return true }
            let slot = Int(Slot(key: Blob(key).span).index)
            return owners.indices.contains { owners[$0] == node && range($0).contains(slot) }
        }
        let start = Int(words[1]) ?? 0
        let count = words.firstIndex(of: "COUNT").flatMap { Int(words[$0 + 1]) } ?? 10
        let end = min(keys.count, start + count)
        let page = keys[min(start, end)..<end].map { RESPValue.bulkString(Blob($0)) }
        return .array([.bulkString(Blob(end == keys.count ? "0" : "\(end)")), .array(page)])
    }
}
