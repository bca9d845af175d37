import MartletBase
import MartletLoop

/// A Redis face on the loop: listens, gives each connection a session, and once a turn gives each
/// connection what its session has written, so that however many replies a turn makes for a client they cost
/// one system call.
///
/// To be made after the runtime: replies that the runtime's own end of a turn brings are then sent in that
/// turn.
package final class RedisListener {
    private let loop: EventLoop
    private let server: RedisServer
    private let face: RedisFace
    private var listener: TCPListener?
    private var connections: [ObjectIdentifier: ClientConnection] = [:]
    private var isClosing = false

    /// Where it listens: the port that the system chose, when it was asked for port 0.
    package private(set) var address: Address

    package init(
        _ loop: EventLoop, _ address: Address, server: RedisServer, face: RedisFace = .single
    ) throws(LoopError) {
        self.loop = loop
        self.server = server
        self.face = face
        self.address = address
        let listener = try TCPListener(loop, address) { [weak self] in self?.accept($0) }
        self.listener = listener
        self.address = listener.address
        loop.onTurnEnd { [weak server] in server?.flush() }
    }

    package var connectionCount: Int { connections.count }

    private func accept(_ tcp: TCPConnection) {
        let local = tcp.local ?? address
        guard !isClosing, let session = server.open(peer: "\(tcp.peer)", local: "\(local)", face: face)
        else {
            tcp.write(RedisServer.tooManyClients)
            tcp.closeAfterFlush()
            return
        }
        let connection = ClientConnection(tcp, session)
        let key = ObjectIdentifier(connection)
        connections[key] = connection
        tcp.keepAlive(after: Limits.clientKeepAlive)
        tcp.onRead = { [unowned connection] in connection.received($0) }
        tcp.onEndOfInput = { [unowned connection] in connection.inputEnded() }
        tcp.onDrained = { [unowned connection] in connection.drained() }
        tcp.onClose = { [weak self, server] _ in
            server.close(session)
            self?.connections[key] = nil
        }
    }

    /// Takes no further connection, and no further request from those there are; each closes when it has its
    /// replies.
    package func drain() {
        isClosing = true
        listener?.close()
        listener = nil
        for session in server.sessions { session.finishAfterReplies() }
        server.flush()
    }

    /// Closes everything at once.
    package func close() {
        drain()
        for session in server.sessions { session.cut() }
    }
}

/// A client's socket and its session.
private final class ClientConnection: RedisConnection {
    private let tcp: TCPConnection
    private let session: RedisSession
    private var isPaused = false

    init(_ tcp: TCPConnection, _ session: RedisSession) {
        self.tcp = tcp
        self.session = session
        session.connection = self
    }

    var pendingOutputBytes: Int { tcp.pendingOutputBytes }

    func received(_ bytes: RawSpan) { session.receive(bytes) }
    func drained() { session.resume() }

    /// A client that ends its side after its last request still gets its replies, as from Redis's own clients
    /// in pipes.
    func inputEnded() { session.endInput() }

    func flush() {
        takeOutput()
        if session.isFinished { return tcp.closeAfterFlush() }
        let isPaused = session.wantsPause
        if isPaused != self.isPaused {
            self.isPaused = isPaused
            if isPaused { tcp.pauseReading() } else { tcp.resumeReading() }
        }
        // With room for anything else, it is unread replies that its further commands wait for.
        if session.isBlocked && tcp.pendingOutputBytes >= Limits.clientOutputPauseBytes {
            tcp.notifyWhenDrained(below: Limits.clientOutputPauseBytes / 2)
        }
    }

    private func takeOutput() {
        var replies = session.pipeline.takeReplies()
        if !replies.isEmpty {
            session.server.counters.bytesWritten += UInt64(replies.count)
            tcp.write { output in
                // Nothing is pending on nearly every connection: then the buffers change places instead of
                // being copied.
                if output.bytes.isEmpty { swap(&output.bytes, &replies) } else { output.raw(replies) }
            }
        }
        session.pipeline.giveBack(replies)
    }

    func cut() { tcp.close() }
}
