import CUV
import Glibc
import MartletBase

/// The bytes of one connection that libuv is sending, which must stay where they are until it is done.
///
/// Only for a peer that reads slower than we write: the output buffer itself may grow (and move) meanwhile.
struct OutputChunk: ~Copyable {
    let request = UnsafeMutablePointer<uv_write_t>.allocate(capacity: 1)
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.outputChunkBytes, alignment: 16)

    deinit {
        request.deallocate()
        bytes.deallocate()
    }
}

/// What a connection has to send.
struct ConnectionOutput {
    enum State { case open, ending, ended }

    /// Empty while it is lent out.
    var writer = ByteWriter()
    var isLent = false
    /// The bytes of `writer` that were let go of: sent, or put into the chunk.
    var offset = 0
    /// Those in the chunk.
    var chunkBytes = 0
    var state = State.open
    /// Whether the loop's list of connections to flush has this one.
    var isDirty = false

    var pendingBytes: Int { writer.count - offset + chunkBytes }

    /// Drops bytes that were let go of, when there are many of them, and gives back the memory of what was
    /// large. Returns the offset afterwards.
    static func compact(_ writer: inout ByteWriter, _ offset: Int) -> Int {
        if offset == writer.count {
            if writer.bytes.capacity > Limits.outputRetainedBytesMax {
                writer = ByteWriter()
            } else {
                writer.bytes.removeAll(keepingCapacity: true)
            }
            return 0
        }
        guard offset > Limits.outputChunkBytes && offset > writer.count / 2 else { return offset }
        writer.bytes.removeSubrange(..<offset)
        return 0
    }

}

extension TCPConnection {
    /// Bytes that were written and that the system hasn't taken yet.
    package var pendingOutputBytes: Int { output.pendingBytes }

    /// Appends what `body` writes; it goes out at the turn's end. `body` must only append, and may not write
    /// to this connection in another way.
    package func write(_ body: (inout ByteWriter) -> Void) {
        guard !isClosing, output.state == .open else { return }
        lendWriter(body)
        markDirty()
    }

    package func write(_ bytes: RawSpan) { write { $0.raw(bytes) } }
    package func write(_ bytes: [UInt8]) { write { $0.raw(bytes) } }

    /// Nothing of what is pending will be sent.
    func dropOutput() {
        lendWriter { $0 = ByteWriter() }
        output.offset = 0
        output.chunkBytes = 0
    }

    /// Takes the bytes to send out of the connection while the body has them, as `LoopHandle` has it for its
    /// fields.
    private func lendWriter<Result>(_ body: (inout ByteWriter) -> Result) -> Result {
        invariant(!output.isLent, "a connection was written to from within a write to it")
        output.isLent = true
        var writer = ByteWriter()
        swap(&writer, &output.writer)
        let result = body(&writer)
        swap(&writer, &output.writer)
        output.isLent = false
        return result
    }

    func markDirty() {
        if output.isDirty { return }
        output.isDirty = true
        loop.markDirty(self)
    }

    /// Calls `onDrained` once, soon, when at most `bytes` are pending.
    package func notifyWhenDrained(below bytes: Int) {
        drainedBytes = bytes
        markDirty()
    }

    /// Sends what is pending, then tells the peer that no more follows; reading goes on.
    package func endOutput() {
        guard output.state == .open, !isClosing else { return }
        output.state = .ending
        markDirty()
    }

    /// Sends what is pending and closes, at the latest after `limit`. Input is ignored from now on.
    package func closeAfterFlush(within limit: Interval = Limits.closingFlushMax) {
        guard !isFinishing, !isClosing else { return }
        isFinishing = true
        finishDeadline = loop.now.monotonic + limit
        output.state = .ended
        resumeReading()
        if isConnected && pendingOutputBytes == 0 { close() } else { markDirty() }
    }

    // MARK: At the turn's end

    func flush() {
        output.isDirty = false
        if isClosing { return }
        if isConnected, output.chunkBytes == 0 { send() }
        settle()
    }

    /// Tries to send all; what the system doesn't take goes on by a chunk.
    private func send() {
        let offset = output.offset
        let count = output.writer.count - offset
        if count == 0 { return }
        let (sent, rest) = lendWriter { writer in
            let sent = writer.bytes.withUnsafeBytes { bytes in
                var buffer = Self.buffer(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
                return Int(uv_try_write(stream, &buffer, 1))
            }
            return (sent, ConnectionOutput.compact(&writer, offset + max(0, sent)))
        }
        output.offset = rest
        if sent < 0 && sent != Int(UV_EAGAIN.rawValue) {
            return fail(.write, Int32(truncatingIfNeeded: sent))
        }
        loop.countWrite(max(0, sent))
        if sent < count { sendChunk() }
    }

    private func sendChunk() {
        if chunk == nil { chunk = OutputChunk() }
        let offset = output.offset
        let count = min(output.writer.count - offset, Limits.outputChunkBytes)
        lendWriter { writer in
            writer.bytes.withUnsafeBytes { bytes in
                let part = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
                chunk?.bytes.copyMemory(from: part)
            }
        }
        output.chunkBytes = count
        guard let request = chunk?.request, let memory = chunk?.bytes else { return }
        var buffer = Self.buffer(UnsafeRawBufferPointer(rebasing: memory[..<count]))
        let code = uv_write(request, stream, &buffer, 1) { request, status in
            owner(request?.pointee.handle?.pointee.data, TCPConnection.self).wrote(status)
        }
        if code < 0 { return fail(.write, code) }
        loop.countWrite(count)
        output.offset = lendWriter { ConnectionOutput.compact(&$0, offset + count) }
    }

    private func wrote(_ status: Int32) {
        if isClosing { return }
        if status < 0 { return fail(.write, status) }
        output.chunkBytes = 0
        send()
        if isClosing { return }
        if pendingOutputBytes == 0 { chunk = nil }
        settle()
    }

    /// After bytes went out: what waited for that.
    private func settle() {
        if isClosing { return }
        let pending = pendingOutputBytes
        if let bytes = drainedBytes, pending <= bytes {
            drainedBytes = nil
            loop.markDrained(self)
        }
        if isFinishing { return pending == 0 && isConnected ? close() : limitFlush() }
        if pending == 0, isConnected, output.state == .ending { shutDownOutput() }
    }

    private func shutDownOutput() {
        output.state = .ended
        // All output has been handed to the system, so there is nothing that libuv's own request would wait
        // for.
        if shutdown(Self.descriptor(tcp), Int32(SHUT_WR)) < 0 { fail(.write, -errno) }
    }

    /// A peer that doesn't read can't keep a connection that we want closed.
    private func limitFlush() {
        if finishTimer != nil { return }
        let timer = LoopTimer(loop) { [unowned self] in fail(.write, UV_ETIMEDOUT.rawValue) }
        timer.arm(at: finishDeadline)
        finishTimer = timer
    }

    func tellDrained() {
        if !isClosing { onDrained?() }
    }

    // MARK: System calls

    private static func buffer(_ bytes: UnsafeRawBufferPointer) -> uv_buf_t {
        // Safe: libuv only reads what it writes out.
        let base = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
        return uv_buf_t(base: base?.assumingMemoryBound(to: CChar.self), len: bytes.count)
    }

    private static func descriptor(_ tcp: UnsafeMutablePointer<uv_tcp_t>) -> Int32 {
        var descriptor: Int32 = -1
        let handle = UnsafeMutableRawPointer(tcp).assumingMemoryBound(to: uv_handle_t.self)
        uv_fileno(handle, &descriptor)
        return descriptor
    }

    static func setNoLinger(_ tcp: UnsafeMutablePointer<uv_tcp_t>) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor(tcp), SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }
}
