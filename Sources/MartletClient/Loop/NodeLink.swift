import MartletBase
import MartletLoop
import MartletRESP

/// What the client has with one node: its connections, those that wait for room in them, and what is thought
/// of the node.
final class NodeLink {
    let address: Address
    unowned let core: ClientCore
    private(set) var connections: [Connection] = []
    private var waiting = FIFO<Operation>()
    var breaker: CircuitBreaker
    var latency = LatencyTracker()
    /// Connections that failed in a row.
    private(set) var connectFailures = 0
    private var connectAfter = Instant.zero
    private var reconnectTimer: LoopTimer?
    private(set) var lastFailure: MartletError?
    /// No longer one of the nodes: gone when what is under way has ended.
    private(set) var isRetired = false

    init(_ address: Address, _ core: ClientCore) {
        self.address = address
        self.core = core
        breaker = CircuitBreaker(core.settings.breaker)
        reconnectTimer = LoopTimer(core.loop) { [unowned self] in connectIfNone() }
    }

    private var now: Instant { core.loop.now.monotonic }

    // MARK: Connections

    var isReady: Bool { connections.contains { $0.isReady } }
    var isIdle: Bool { waiting.isEmpty }
    var isConnecting: Bool { connections.contains { !$0.isReady } }
    var requestCount: Int { connections.reduce(0) { $0 + $1.requests.count } }
    var waitingCount: Int { waiting.count }

    func connectIfNone() {
        if connections.isEmpty, !isRetired, !core.isClosing { open() }
    }

    private func open() {
        core.counters.connections += 1
        connections.append(Connection(self, core.loop))
    }

    private func openAnother() {
        guard connections.count < core.settings.connectionsPerNode, !isConnecting, !isRetired,
            !core.isClosing, now >= connectAfter
        else { return }
        open()
    }

    func becameReady() {
        connectFailures = 0
        lastFailure = nil
        drainWaiting()
        core.becameReady(self)
    }

    func closed(_ connection: Connection, _ why: MartletError, lost: [Connection.Request]) {
        connections.removeAll { $0 === connection }
        if core.isClosing { return }
        lastFailure = why
        if !isRetired, !isReady {
            connectFailures += 1
            let pause = core.settings.reconnectBackoff.pause(afterFailures: connectFailures, &core.random)
            connectAfter = now + pause
            // At once the first time: a connection that was idle says little about the node.
            reconnectTimer?.arm(at: connectFailures == 1 && !lost.isEmpty ? now : connectAfter)
            core.noticeTrouble()
        }
        for request in lost {
            if let operation = request.operation { attemptLost(operation, request, why) }
        }
        if connections.isEmpty { giveBackWaiting(why) }
        core.retireIfDone(self)
    }

    private func attemptLost(_ operation: Operation, _ request: Connection.Request, _ why: MartletError) {
        operation.inFlight -= 1
        breaker.record(isSuccess: false, isProbe: request.isProbe, now: now)
        if operation.isDone { return }
        var facts = operation.interrupted
        if !operation.command.isRead {
            facts = .init(mayHaveHappened: true, version: operation.version, node: address.description)
        }
        if case .unexpectedAnswer = why {
            core.attemptFailed(operation, why, at: self)
        } else {
            core.attemptFailed(operation, .connectionLost(facts), at: self)
        }
    }

    /// Nothing of these was sent: other nodes may take them.
    private func giveBackWaiting(_ why: MartletError) {
        for _ in 0..<waiting.count {
            guard let operation = waiting.popFirst() else { return }
            operation.isWaiting = false
            if !operation.isDone { core.attemptFailed(operation, .noNode(why.reason), at: self) }
        }
    }

    /// From now on the node gets no new request.
    func retire() {
        isRetired = true
        reconnectTimer?.disarm()
        giveBackWaiting(.noNode("\(address) is no longer one of the nodes"))
    }

    func unretire() {
        isRetired = false
        connectIfNone()
    }

    func close() {
        reconnectTimer?.close()
        reconnectTimer = nil
        for connection in connections { connection.close() }
    }

    // MARK: Requests

    /// Whether a request would go out at once, and an answer may be hoped for.
    func isWilling(_ now: Instant) -> Bool {
        !isRetired && breaker.wouldAdmit(now: now) && connections.contains { $0.hasRoom && !$0.isSilent }
    }

    /// Whether a request could at least wait for the node.
    func isHopeful(_ now: Instant) -> Bool {
        guard !isRetired, breaker.wouldAdmit(now: now), hasWaitingRoom else { return false }
        return !connections.isEmpty || now >= connectAfter
    }

    private var hasWaitingRoom: Bool { waiting.count < core.settings.waitingPerNodeMax }

    /// Sends the request, or lets it wait.
    /// - Returns: false when even the queue is full.
    func submit(_ operation: Operation, _ now: Instant) -> Bool {
        // Nobody overtakes those that wait.
        if waiting.isEmpty, let connection = roomiest {
            send(operation, connection, now)
            return true
        }
        if !hasWaitingRoom { waiting.removeAll { $0.isDone } }
        guard hasWaitingRoom else { return false }
        operation.isWaiting = true
        operation.node = self
        waiting.append(operation)
        if connections.isEmpty { open() } else { openAnother() }
        return true
    }

    private var roomiest: Connection? {
        var best: Connection?
        for connection in connections where connection.hasRoom {
            guard let chosen = best else {
                best = connection
                continue
            }
            let isBetter =
                chosen.isSilent == connection.isSilent
                ? connection.requests.count < chosen.requests.count : chosen.isSilent
            if isBetter { best = connection }
        }
        return best
    }

    private func send(_ operation: Operation, _ connection: Connection, _ now: Instant) {
        connection.send(operation, isProbe: breaker.admit(now: now))
        core.sent(operation, now)
        // One that is half full is full at the next burst.
        if connection.requests.count * 2 > core.settings.inFlightPerConnectionMax { openAnother() }
    }

    func drainWaiting() {
        while !waiting.isEmpty, let connection = roomiest {
            guard let operation = waiting.popFirst() else { return }
            operation.isWaiting = false
            if !operation.isDone { send(operation, connection, now) }
        }
    }

    // MARK: Answers

    func answered(_ operation: Operation, _ request: Connection.Request, _ value: RESPValue) {
        let now = now
        operation.inFlight -= 1
        let error = value.errorText.map { ErrorLine($0).error }
        let isBlamed = error.map(RetryPolicy.blamesNode) ?? false
        breaker.record(isSuccess: !isBlamed, isProbe: request.isProbe, now: now)
        if error == nil {
            latency.record(now - request.sentAt)
            if operation.command.isRead { core.readLatency.record(now - request.sentAt) }
        }
        core.retireIfDone(self)
        if operation.isDone { return }
        guard let error else {
            if operation.hasSpeculated, operation.command.isRead, operation.node !== self {
                core.counters.speculationsLost += 1
            }
            return core.finish(operation, .success(value))
        }
        core.attemptFailed(operation, error, at: self)
    }
}
