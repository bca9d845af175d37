import CUV
import MartletBase

/// A TCP connection, accepted or made.
///
/// Callbacks come from the loop, never from inside a call of one's own, so they may be set after `init` and
/// may call anything. They are dropped after `onClose`, which comes exactly once, last, whatever ended the
/// connection (a connection that couldn't be made as well).
///
/// **Input.** `onRead` borrows the loop's read buffer: what isn't used during the call is copied by the owner
/// (an `InputBuffer`). `pauseReading()` lets the peer wait; TCP passes it on.
///
/// **Output.** `write` appends to a buffer that is reused, and the loop flushes it at the turn's end: one try
/// of the whole; what the system doesn't take is sent on from chunks as the peer reads. Nothing is dropped
/// and nothing bounds the buffer here: the owner looks at `pendingOutputBytes`, stops making output, and asks
/// by `notifyWhenDrained` when to go on. Writes to a connection that is closing are ignored.
///
/// **Ends.** `close()` drops what wasn't sent. `closeAfterFlush()` sends it first, within
/// `Limits.closingFlushMax`. `endOutput()` sends it, tells the peer that nothing follows and goes on reading.
/// The peer's own end of output comes as `onEndOfInput`; without one, it is answered by `closeAfterFlush()`.
package final class TCPConnection: LoopHandle {
    /// Why a connection closed.
    package enum CloseReason: Hashable, Sendable {
        /// By us: `close`, `closeAfterFlush`, `reset` or the loop's shutdown.
        case local
        /// By us, after the peer had ended its output.
        case endOfInput
        case failed(LoopError)
    }

    /// An outgoing connection is made.
    package var onConnect: (() -> Void)?
    /// The bytes are valid during the call.
    package var onRead: ((RawSpan) -> Void)? {
        get { reader }
        set { reader = newValue }
    }
    private var reader: ((RawSpan) -> Void)?
    package var onEndOfInput: (() -> Void)?
    /// Once for each `notifyWhenDrained`.
    package var onDrained: (() -> Void)?
    package var onClose: ((CloseReason) -> Void)?

    /// The other side.
    package internal(set) var peer: Address
    /// Our side; nil until an outgoing connection is made.
    package internal(set) var local: Address?
    package var isConnected: Bool { isMade }
    private var isMade = false
    /// True once the peer has ended its output.
    private var hasInputEnded = false
    private var isReadingPaused = false
    private var isReading = false
    private var connectRequest: UnsafeMutablePointer<uv_connect_t>?

    // The fields of TCPConnection+Output.swift.
    var output = ConnectionOutput()
    /// The next of the connections that were written to in this turn.
    var nextDirty: TCPConnection?
    var chunk: OutputChunk?
    var drainedBytes: Int?
    var isFinishing = false
    var finishDeadline = Instant.distantFuture
    var finishTimer: LoopTimer?
    var failure: LoopError?

    /// Takes the connection that the listener was told of; nil when it has gone already.
    init?(accepting listener: TCPListener) {
        peer = listener.address
        super.init(listener.loop, uv_tcp_t.self)
        uv_tcp_init(loop.uv, tcp)
        didOpen()
        guard uv_accept(listener.stream, stream) == 0,
            let peer = Address.filled(by: { uv_tcp_getpeername(tcp, $0, $1) })
        else {
            close()
            return nil
        }
        self.peer = peer
        didConnect()
    }

    /// Begins to connect to `peer`, from the address `source` when it is given (a node's own, so that peers
    /// and firewalls see it). How it ends comes by `onConnect` or `onClose`; there is no time limit but the
    /// system's.
    package init(_ loop: EventLoop, to peer: Address, from source: IPAddress? = nil) {
        self.peer = peer
        super.init(loop, uv_tcp_t.self)
        uv_tcp_init(loop.uv, tcp)
        didOpen()
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        connectRequest = request
        var code: Int32 = 0
        if let source {
            code = Address(ip: source, port: 0).withSocketAddress { uv_tcp_bind(tcp, $0, 0) }
        }
        if code >= 0 {
            code = peer.withSocketAddress { address in
                uv_tcp_connect(request, tcp, address) { request, status in
                    owner(request?.pointee.handle?.pointee.data, TCPConnection.self).connected(status)
                }
            }
        }
        if code < 0 { fail(.connect, code) }
    }

    deinit { connectRequest?.deallocate() }

    var tcp: UnsafeMutablePointer<uv_tcp_t> { raw.assumingMemoryBound(to: uv_tcp_t.self) }

    private func connected(_ status: Int32) {
        if isClosing { return }
        if status < 0 { return fail(.connect, status) }
        didConnect()
        onConnect?()
        startReading()
        // What was written, ended or finished meanwhile.
        markDirty()
    }

    private func didConnect() {
        isMade = true
        // The loop gathers a turn's output itself; Nagle's delay would only add to it.
        uv_tcp_nodelay(tcp, 1)
        local = Address.filled { uv_tcp_getsockname(tcp, $0, $1) }
    }

    /// Lets the system probe an idle peer after `idle`, so that one that vanished is noticed.
    package func keepAlive(after idle: Interval) {
        let seconds = max(1, idle.milliseconds / 1_000)
        uv_tcp_keepalive(tcp, 1, UInt32(clamping: seconds))
    }

    // MARK: Input

    /// Begins to read, unless that is paused, not yet possible or over.
    func startReading() {
        guard isConnected, !isReadingPaused, !isReading, !hasInputEnded, !isClosing else { return }
        isReading = true
        let code = uv_read_start(
            stream, { TCPConnection.lend($0, $2) }, { TCPConnection.read($0, $1, $2) })
        if code < 0 { fail(.read, code) }
    }

    /// No `onRead` comes until `resumeReading()`; bytes wait in the system's buffers, and then at the peer.
    package func pauseReading() {
        isReadingPaused = true
        guard isReading, !isClosing else { return }
        isReading = false
        uv_read_stop(stream)
    }

    package func resumeReading() {
        isReadingPaused = false
        startReading()
    }

    private static func lend(
        _ handle: UnsafeMutablePointer<uv_handle_t>?, _ buffer: UnsafeMutablePointer<uv_buf_t>?
    ) {
        let memory = owner(handle?.pointee.data, TCPConnection.self).loop.readBuffer
        buffer?.pointee.base = memory.baseAddress?.assumingMemoryBound(to: CChar.self)
        buffer?.pointee.len = memory.count
    }

    private static func read(
        _ stream: UnsafeMutablePointer<uv_stream_t>?, _ count: Int, _ buffer: UnsafePointer<uv_buf_t>?
    ) {
        let connection = owner(stream?.pointee.data, TCPConnection.self)
        if connection.isClosing || count == 0 { return }
        if count == Int(UV_EOF.rawValue) { return connection.inputEnded() }
        if count < 0 { return connection.fail(.read, Int32(truncatingIfNeeded: count)) }
        connection.loop.totals.bytesRead += UInt64(count)
        // What a peer still sends to a connection that only waits for its last bytes to go out has no reader.
        // It is taken all the same: unread bytes would make the close a reset, and a reset loses the last
        // bytes.
        if connection.isFinishing { return }
        connection.loop.expireClock()
        let bytes = UnsafeRawBufferPointer(start: buffer?.pointee.base, count: count)
        connection.reader?(bytes.bytes)
    }

    private func inputEnded() {
        hasInputEnded = true
        isReading = false
        if isFinishing { return }
        if let onEndOfInput { onEndOfInput() } else { closeAfterFlush() }
    }

    // MARK: Ends

    /// Closes with a reset: the peer's next read fails. For a peer that broke the protocol badly, and for
    /// tests.
    package func reset() {
        if isClosing { return }
        // A linger of zero seconds makes the close that follows a reset; libuv's own call insists on doing
        // both.
        TCPConnection.setNoLinger(tcp)
        close()
    }

    func fail(_ operation: LoopError.Operation, _ code: Int32) {
        if isClosing { return }
        failure = LoopError(operation, peer, code: code)
        close()
    }

    override func willClose() {
        finishTimer?.close()
        finishTimer = nil
    }

    override func didClose() {
        let onClose = onClose
        onConnect = nil
        onRead = nil
        onEndOfInput = nil
        onDrained = nil
        self.onClose = nil
        dropOutput()
        chunk = nil
        isMade = false
        onClose?(failure.map { .failed($0) } ?? (hasInputEnded ? .endOfInput : .local))
    }
}
