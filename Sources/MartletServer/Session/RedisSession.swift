import MartletBase
import MartletLoop
import MartletNode
import MartletRESP
import MartletRing
import MartletVersions

/// One client of the Redis protocol, without its socket: bytes in, bytes out, requests to the core in
/// between.
///
/// A request becomes a *command*, which waits in a queue until its reply is its turn to be written. A command
/// about keys has *operations*, one a key; the rest is answered at once. So the life of a GET is:
///
///     bytes → request → command (queue) + operation (table) → core → reply → operation done → reply written
///     in order
///
/// **Order.** Replies are written in the order of the requests. Operations on different keys run side by
/// side, at most `Limits.clientOperationsMax` of them. An operation on a key that another one of this
/// connection has under way waits for it: so a pipeline reads its own writes, its writes of one key happen in
/// its order, and its reads of one key never go back. A command with more keys than there is room for becomes
/// operations little by little, and the commands after it wait until all of it has. A command that goes over
/// the keys (`KeyWalk`) waits for all that came before it, and all that comes after it waits for it.
///
/// **Back-pressure.** When operations, commands or unsent output are at their limits the session stops
/// parsing: what was received is kept, and the connection stops reading (`isBlocked`). A client that leaves
/// more than `client_output_max` unread is cut off, as Redis does.
///
/// **Failure.** What a client sends is answered with an error at worst. Bytes that are no request end the
/// connection after the replies before them.
package final class RedisSession {
    enum State {
        case open
        /// Takes no request any more; closes when the replies that are due are written.
        case closing
        case closed
    }

    let server: RedisServer
    let backend: any RedisBackend
    let table = CommandTable.shared
    /// As CLIENT ID shows it; rises from connection to connection.
    package let id: UInt64
    /// The numbers of this session's tickets begin with this.
    let ticketBase: UInt64
    package let peer: String
    package let local: String
    let face: RedisFace
    let began: Instant
    /// Refers to this session, until `close`.
    var connection: (any RedisConnection)?

    private var input: InputBuffer
    private var parser: RequestParser
    private var isParsing = false
    /// Whether a request may be waiting in the input because there was no room for it.
    package private(set) var isBlocked = false
    private var hasSpoken = false
    /// The client will send nothing more.
    private var hasInputEnded = false
    private(set) var state = State.open
    /// Whether the server's list of sessions to flush has this one.
    var isTouched = false

    /// Replies that the connection hasn't taken.
    var writer = ReplyWriter()
    private var scratch = ReplyWriter()

    var commands = CommandQueue()
    var operations = OperationTable()
    /// The command with keys that haven't become operations: always the last one in the queue.
    var admitting: UInt64?
    var isAdmitting = false
    /// The command that goes over the keys: always the last one in the queue.
    var walk: KeyWalk?
    var isWalking = false
    /// The command that changes keyspaces: always the last one in the queue.
    var change: PendingChange?
    /// Values that wait in the queue for their reply to be written.
    var heldBytes = 0

    /// The row of the command in hand, and whether it is to say nothing.
    var row = 0
    var isMuted = false
    var isReplyOff = false
    var skipsNextReply = false

    // What commands change for those that follow.
    var keyspace: UInt32 = 0
    /// The selected keyspace's index when it was selected: where to look for it first.
    var keyspaceIndex = 0
    /// Nil: the keyspace's own.
    var readLevel: ConsistencyLevel?
    var writeLevel: ConsistencyLevel?
    var name = Blob.empty
    var libraryName = Blob.empty
    var libraryVersion = Blob.empty
    var isEvictable = true
    var lastActive: Instant

    init(
        _ server: RedisServer, id: UInt64, ticketBase: UInt64, peer: String, local: String, face: RedisFace
    ) {
        self.server = server
        self.id = id
        self.ticketBase = ticketBase
        self.peer = peer
        self.local = local
        self.face = face
        backend = server.backend
        began = server.backend.now.monotonic
        lastActive = began
        let settings = server.settings
        let limits = RequestLimits(argumentBytesMax: max(settings.valueBytesMax, settings.keyBytesMax))
        parser = RequestParser(limits: limits)
        input = InputBuffer(bytesMax: limits.requestBytesMax + 2 * Limits.readBufferBytes)
        keyspace = server.keyspaces[0].id
    }

    // MARK: Input

    /// Takes what the client sent.
    package func receive(_ bytes: RawSpan) {
        guard state == .open else { return }
        server.counters.bytesRead += UInt64(bytes.byteCount)
        lastActive = backend.now.monotonic
        if !hasSpoken {
            hasSpoken = true
            if endTLS(bytes) { return }
        }
        isBlocked = false
        isParsing = true
        do {
            try input.parse(bytes) { consume($0) }
        } catch {
            // The parser keeps less than the buffer holds; should it not, one client goes rather than all.
            cut()
        }
        didParse()
    }

    /// Goes on with what was received, once there is room again.
    func resume() {
        guard isBlocked, !isParsing, state == .open, hasRoom else { return }
        isBlocked = false
        isParsing = true
        do {
            try input.parse { consume($0) }
        } catch {
            cut()
        }
        didParse()
    }

    private func didParse() {
        isParsing = false
        if hasInputEnded && !isBlocked { finishAfterReplies() }
        server.touch(self)
    }

    /// The client has sent its last byte: what it asked is still answered.
    package func endInput() {
        hasInputEnded = true
        if !isBlocked { finishAfterReplies() }
    }

    /// Whether enough was received that waits for room.
    var wantsPause: Bool { isBlocked && input.count >= Limits.readBufferBytes }

    private var hasRoom: Bool {
        admitting == nil && walk == nil && change == nil && !operations.isFull
            && commands.count < Limits.clientCommandsMax
            && unsentBytes < Limits.clientOutputPauseBytes
    }

    /// Replies that the client hasn't got.
    var unsentBytes: Int { writer.bytes.count + (connection?.pendingOutputBytes ?? 0) }

    /// Carries out the requests in `bytes`, as long as there is room. Returns how many bytes are done with.
    private func consume(_ bytes: RawSpan) -> Int {
        var used = 0
        while state == .open {
            guard hasRoom else {
                isBlocked = true
                return used
            }
            let rest = bytes.extracting(droppingFirst: used)
            switch parser.next(rest) {
            case .needMore(let consumed): return used + consumed
            case .request(let consumed):
                execute(parser.request(in: rest))
                used += consumed
            case .oversized(let request, let consumed):
                refuseOversized(request)
                used += consumed
            case .protocolError(let error): refuse(error)
            }
        }
        return bytes.byteCount
    }

    /// Takes no further request, and closes once the replies are written.
    func finishAfterReplies() {
        if state == .open { state = .closing }
        server.touch(self)
    }

    /// Whether all that the client will get is in `writer`.
    package var isFinished: Bool { state == .closing && commands.isEmpty }

    /// The connection is gone: replies of the core that are still due are ignored.
    func close() {
        state = .closed
        connection = nil
        commands.removeAll()
        operations = OperationTable()
        admitting = nil
        if walk != nil { server.walkCount -= 1 }
        walk = nil
        change = nil
        heldBytes = 0
        writer = ReplyWriter()
        // A session can end while it parses, and then drops its input when it has parsed.
        if !isParsing { input.removeAll() }
    }

    /// Ends the connection at once. May be called while a request is carried out.
    func cut() {
        if state == .closed { return }
        state = .closing
        if let connection { connection.cut() } else { server.close(self) }
    }

    // MARK: Output

    /// The replies written so far; for owners without a connection.
    package func takeOutput() -> [UInt8] {
        defer { writer.bytes = [] }
        return writer.bytes
    }

    /// Answers the command in hand: at once if nothing is before it, else when its turn comes.
    func answer(_ body: (inout ReplyWriter) -> Void) { conclude(.done, body) }

    /// Answers the command in hand with an error.
    func refuse(_ text: String) { refuse(Array(text.utf8)) }

    /// Answers the command in hand with an error made of any bytes: line ends become spaces.
    func refuse(_ text: [UInt8]) {
        conclude(CommandOutcome(error: text)) { $0.error(bytes: text) }
    }

    private func conclude(_ outcome: CommandOutcome, _ body: (inout ReplyWriter) -> Void) {
        server.counters.count(row, outcome)
        if isMuted { return }
        if commands.isEmpty { return body(&writer) }
        scratch.version = writer.version
        body(&scratch)
        let bytes = Blob(scratch.bytes)
        scratch.bytes = []
        heldBytes += bytes.count
        enqueue(.ready, outstanding: 0, bytes: bytes)
    }

    /// Puts the command in hand into the queue.
    @discardableResult
    func enqueue(
        _ shape: PendingCommand.Shape, outstanding: Int = 1, bytes: Blob? = nil, parts: CommandParts? = nil
    ) -> UInt64 {
        let sequence = commands.next
        commands.append(
            PendingCommand(
                shape: shape, protocolVersion: writer.version, isMuted: isMuted, row: Int32(row),
                began: backend.now.monotonic, outstanding: Int32(outstanding), bytes: bytes, parts: parts))
        return sequence
    }

    private func refuse(_ error: ProtocolError) {
        server.counters.count(error)
        row = CommandCounters.noRow
        isMuted = isReplyOff
        conclude(.error) { $0.error(error) }
        finishAfterReplies()
    }
}

/// What a session needs of the socket that it has.
protocol RedisConnection: AnyObject {
    /// Written, and not taken by the system.
    var pendingOutputBytes: Int { get }
    /// Takes the session's output and looks whether reading is to pause or the connection to end.
    func flush()
    /// Closes at once, with what is unsent.
    func cut()
}
