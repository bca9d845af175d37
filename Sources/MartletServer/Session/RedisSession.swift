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

    /// What was received and not carried out yet; nil while it is being parsed.
    private var intake: Intake?
    private var isParsing: Bool { intake == nil }
    private struct Intake: ~Copyable {
        var input: InputBuffer
        var parser: RequestParser
    }
    /// Whether a request may be waiting in the input because there was no room for it.
    package var isBlocked: Bool { waitsForRoom }
    private var waitsForRoom = false
    private var hasSpoken = false
    /// The client will send nothing more.
    private var hasInputEnded = false
    private(set) var state = State.open
    /// Whether the server's list of sessions to flush has this one.
    var isTouched = false
    var nextTouched: RedisSession?

    var pipeline = Pipeline()
    var commands: CommandQueue {
        _read { yield pipeline.commands }
        _modify { yield &pipeline.commands }
    }
    var operations: OperationTable {
        _read { yield pipeline.operations }
        _modify { yield &pipeline.operations }
    }
    var writer: ReplyWriter {
        _read { yield pipeline.writer }
        _modify { yield &pipeline.writer }
    }
    var heldBytes: Int {
        get { pipeline.heldBytes }
        set { pipeline.heldBytes = newValue }
    }
    private var scratch = ReplyWriter()

    /// The command with keys that haven't become operations: always the last one in the queue.
    var admitting: UInt64?
    var isAdmitting = false
    /// The command that goes over the keys: always the last one in the queue.
    var walk: KeyWalk?
    var isWalking = false
    /// The command that changes keyspaces: always the last one in the queue.
    var change: PendingChange?
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
        intake = Intake(
            input: InputBuffer(bytesMax: limits.requestBytesMax + 2 * Limits.readBufferBytes),
            parser: RequestParser(limits: limits))
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
        parse(bytes)
    }

    /// Goes on with what was received, once there is room again.
    func resume() {
        guard waitsForRoom, !isParsing, state == .open, hasRoom else { return }
        parse(nil)
    }

    /// Carries out what was kept, and then what has come now.
    private func parse(_ bytes: RawSpan?) {
        waitsForRoom = false
        guard var taken = intake.take() else { invariantBroken("a session parses while it parses") }
        do throws(WireError) {
            if let bytes {
                try taken.input.parse(bytes) { consume($0, &taken.parser) }
            } else {
                try taken.input.parse { consume($0, &taken.parser) }
            }
        } catch {
            // The parser keeps less than the buffer holds; should it not, one client goes rather than all.
            cut()
        }
        if state == .closed { taken.input.removeAll() }
        intake = consume taken
        if hasInputEnded && !waitsForRoom { finishAfterReplies() }
        server.touch(self)
    }

    /// The client has sent its last byte: what it asked is still answered.
    package func endInput() {
        hasInputEnded = true
        if !waitsForRoom { finishAfterReplies() }
    }

    /// Whether enough was received that waits for room.
    var wantsPause: Bool { waitsForRoom && (intake?.input.count ?? 0) >= Limits.readBufferBytes }

    private var hasRoom: Bool {
        admitting == nil && walk == nil && change == nil
            && pipeline.hasRoom(pendingOutput: connection?.pendingOutputBytes ?? 0)
    }

    /// Replies that the client hasn't got.
    var unsentBytes: Int { pipeline.writer.bytes.count + (connection?.pendingOutputBytes ?? 0) }

    /// Carries out the requests in `bytes`, as long as there is room. Returns how many bytes are done with.
    private func consume(_ bytes: RawSpan, _ parser: inout RequestParser) -> Int {
        var used = 0
        while state == .open {
            guard hasRoom else {
                waitsForRoom = true
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
    package var isFinished: Bool { state == .closing && pipeline.commands.isEmpty }

    /// The connection is gone: replies of the core that are still due are ignored.
    func close() {
        state = .closed
        connection = nil
        pipeline.commands.removeAll()
        pipeline.operations = OperationTable()
        admitting = nil
        if walk != nil { server.walkCount -= 1 }
        walk = nil
        change = nil
        pipeline.heldBytes = 0
        pipeline.writer = ReplyWriter()
        // A session can end while it parses, and then drops its input when it has parsed.
        intake?.input.removeAll()
    }

    /// Ends the connection at once. May be called while a request is carried out.
    func cut() {
        if state == .closed { return }
        state = .closing
        if let connection { connection.cut() } else { server.close(self) }
    }

    // MARK: Output

    /// The replies written so far; for owners without a connection.
    package func takeOutput() -> [UInt8] { pipeline.takeReplies() }

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
        if pipeline.commands.isEmpty { return body(&pipeline.writer) }
        scratch.version = pipeline.writer.version
        body(&scratch)
        let bytes = Blob(scratch.bytes)
        scratch.bytes = []
        pipeline.heldBytes += bytes.count
        enqueue(.ready, outstanding: 0, bytes: bytes)
    }

    /// Puts the command in hand into the queue.
    @discardableResult
    func enqueue(
        _ shape: PendingCommand.Shape, outstanding: Int = 1, bytes: Blob? = nil, parts: CommandParts? = nil
    ) -> UInt64 {
        pipeline.enqueue(
            shape, row: row, isMuted: isMuted, began: backend.now.monotonic, outstanding: outstanding,
            bytes: bytes, parts: parts)
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
