import Glibc
import MartletBase
import MartletLoop
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// The real world of one node: a loop that turns sockets, timers and disks into events, and carries out
/// effects.
///
/// Everything but the storage driver's jobs runs on the loop's thread. Events that effects give rise to at
/// once (a read answered from memory) are queued and handled in the same turn, after the event in hand.
package final class NodeRuntime {
    package let loop: EventLoop
    private let identity: NodeID
    private var node: Node
    /// The node's own, as of its last event.
    private var frameTime: HybridTime
    /// Came while another one was handled.
    private var events: ContiguousArray<Event> = []
    /// For the effects of the next event; nil while one is handled.
    private var spareBuffer: EffectBuffer? = EffectBuffer()
    private var isPumping = false
    private var storage: StorageDriver!
    private var transport: PeerTransport!
    private var socket: UDPSocket!
    private var timer: LoopTimer!
    private let onReply: (ClientTicket, ClientReply) -> Void
    private let onReport: (Report) -> Void
    private let onStop: (StopReason) -> Void
    private let engine: any StorageEngine & Sendable
    private var isStopped = false
    package let started: Instant

    /// What the owner of a runtime hears from it, always on the loop's thread.
    package struct Listeners {
        package var onReply: (ClientTicket, ClientReply) -> Void
        package var onReport: (Report) -> Void
        package var onStop: (StopReason) -> Void

        package init(
            onReply: @escaping (ClientTicket, ClientReply) -> Void, onReport: @escaping (Report) -> Void,
            onStop: @escaping (StopReason) -> Void
        ) {
            self.onReply = onReply
            self.onReport = onReport
            self.onStop = onStop
        }
    }

    /// Binds the peers' sockets and makes the node; it speaks when `start` is called.
    ///
    /// - Parameter reserve: makes a stamp ceiling durable, on a worker's thread.
    package init(
        _ loop: EventLoop, _ configuration: NodeConfiguration, recovered: RecoveredState,
        engine: any StorageEngine & Sendable, durability: StorageDriver.Durability,
        reserve: @escaping @Sendable (UInt64) throws(StorageError) -> Void, listeners: Listeners
    ) throws(LoopError) {
        self.loop = loop
        self.engine = engine
        identity = configuration.id
        started = loop.now.monotonic
        onReply = listeners.onReply
        onReport = listeners.onReport
        onStop = listeners.onStop
        node = Node(configuration, recovered: recovered, now: loop.now)
        frameTime = node.frameTime
        timer = LoopTimer(loop) { [unowned self] in deliver(.timer) }
        socket = try UDPSocket(loop, configuration.peersAddress) { [unowned self] from, bytes in
            deliver(.datagram(from: from, Blob(copying: bytes)))
        }
        transport = try PeerTransport(
            loop, listen: configuration.peersAddress, hello: node.hello,
            seed: configuration.seed ^ 0x7472_616E,
            time: { [unowned self] in frameTime },
            deliver: { [unowned self] in deliver($0) },
            log: { [unowned self] text, address in onReport(.gossip("peer \(address): \(text)")) })
        storage = try StorageDriver(
            loop, engine: engine,
            durability: durability, dropAfter: configuration.clockSkewMax * 2,
            reserve: reserve, onCompletion: { [unowned self] in deliver(.storage($0)) })
        loop.onTurnEnd { [unowned self] in endTurn() }
    }

    package func start() { deliver(.start) }
    package func shutDown() { deliver(.shutdown) }

    /// Hands a client's request to the node; the reply comes by `onReply`, perhaps before this returns.
    ///
    /// The loop's clocks must have been read since the request came, as they are for what comes over its
    /// connections: a put stamped with an earlier time would lose against writes that were acknowledged
    /// before it began.
    package func submit(_ ticket: ClientTicket, _ request: consuming ClientRequest) {
        deliver(.client(ticket, request))
    }

    // MARK: Events and effects

    private func deliver(_ event: consuming Event) {
        guard !isStopped else {
            if case .client(let ticket, _) = event { onReply(ticket, .failed(.stopping)) }
            return
        }
        guard !isPumping else {
            events.append(event)
            return
        }
        isPumping = true
        handle(event)
        if !events.isEmpty { handleRest() }
        isPumping = false
    }

    /// The events that the first one's effects gave rise to, and what these give rise to.
    private func handleRest() {
        while !events.isEmpty {
            var taken: ContiguousArray<Event> = []
            swap(&taken, &events)
            taken.drain(leaving: .timer) { if !isStopped { handle($0) } }
            if events.isEmpty { swap(&taken, &events) }
        }
    }

    private func handle(_ event: consuming Event) {
        guard var buffer = spareBuffer.take() else {
            invariantBroken("an event is handled while another one is")
        }
        frameTime = Self.handle(event, now: loop.now, by: &node, into: &buffer)
        buffer.drain { carryOut($0) }
        spareBuffer = consume buffer
    }

    /// In one access to the node.
    private static func handle(
        _ event: consuming Event, now: Now, by node: inout Node, into buffer: inout EffectBuffer
    ) -> HybridTime {
        node.handle(event, now: now, into: &buffer)
        return node.frameTime
    }

    private func carryOut(_ effect: consuming Effect) {
        switch consume effect {
        case .reply(let ticket, let reply): onReply(ticket, reply)
        case .introduce(let peer, let id, let address): transport.introduce(peer, id, address)
        case .dismiss(let peer): transport.dismiss(peer)
        case .send(let peer, let message): transport.send(peer, message)
        case .respond(let link, let message): transport.respond(link, message)
        case .accept(let link, let id): transport.accept(link, id)
        case .refuse(let link, let farewell): transport.refuse(link, farewell)
        case .stream(let address, let payload): transport.stream(address, payload)
        case .datagram(let address, let bytes): _ = socket.send(bytes.bytes, to: address)
        case .storage(let request): storage.carryOut(request)
        case .wake(let instant): instant == .distantFuture ? timer.disarm() : timer.arm(at: instant)
        case .report(let report): onReport(report)
        case .stopped(let reason):
            isStopped = true
            onStop(reason)
        }
    }

    private func endTurn() {
        guard !isStopped else { return }
        storage.endTurn()
    }

    // MARK: What is shown

    package func status() -> NodeStatus { node.status() }
    package func placement(
        keyspace: UInt32
    ) -> (definition: KeyspaceDefinition, placement: Placement)? { node.placement(keyspace: keyspace) }
    package func nodeMetrics() -> NodeMetrics { node.currentMetrics() }
    /// After `onStop` (`Node.treeCheckpoint`).
    package func treeCheckpoint(lastWrite: SequenceNumber) -> Blob {
        node.treeCheckpoint(lastWrite: lastWrite)
    }
    package func hintStatus() -> HintStatus { node.hintStatus() }
    package func repairStatus() -> RepairStatus { node.repairStatus() }
    package func askForExchanges(keyspace: UInt32, slots: ClosedRange<UInt16>, inTurns: Bool) -> Int? {
        defer { deliver(.timer) }
        return node.askForExchanges(keyspace: keyspace, slots: slots, inTurns: inTurns)
    }
    package var topologyStamp: TopologyStamp { node.topologyStamp }
    package var keyspaces: [KeyspaceDefinition] { node.keyspaceDefinitions }
    package func storageStatistics() -> StorageStatistics { engine.statistics() }

    package func metrics() -> RuntimeMetrics {
        RuntimeMetrics(
            loop: loop.counters, badFrames: transport.badFrames, refusedHellos: transport.refusedHellos,
            droppedMessages: transport.dropped, dials: transport.dials, links: transport.connectionCount,
            peerOutputBytes: transport.pendingOutputBytes, coldReads: storage.coldReads,
            coldReadsPending: storage.coldReadsPending, refusedWrites: storage.refusedWrites,
            syncLatency: storage.syncLatency)
    }

    /// After `onStop`: closes sockets and threads. The loop's owner then ends the loop.
    package func close() {
        transport.shutDown()
        socket.close()
        timer.close()
        storage.shutDown()
    }
}

/// Counters of the shell, beside the node's own.
package struct RuntimeMetrics: Sendable {
    package var loop: LoopCounters
    package var badFrames: UInt64
    package var refusedHellos: UInt64
    package var droppedMessages: UInt64
    package var dials: UInt64
    package var links: Int
    package var peerOutputBytes: Int
    package var coldReads: UInt64
    package var coldReadsPending: Int
    package var refusedWrites: UInt64
    package var syncLatency: LatencyHistogram
}

extension NodeRuntime {
    /// The process's resident memory; nil when the system doesn't say.
    package func residentBytes() -> Int? {
        guard let file = fopen("/proc/self/statm", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard fgets(&line, Int32(line.count), file) != nil else { return nil }
        let fields = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            .split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }
}
