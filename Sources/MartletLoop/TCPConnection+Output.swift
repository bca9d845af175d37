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

/// What a connection has to send. In one value, because each look at a field of a class's costs a check for
/// exclusive access, and this is on the way of every reply.
package struct ConnectionOutput {
    package enum State { case open, ending, ended }

    package var writer = ByteWriter()
    /// The bytes of `writer` that were let go of: sent, or put into the chunk.
    var offset = 0
    /// Those in the chunk.
    var chunkBytes = 0
    package var state = State.open
    /// Whether the loop's list of connections to flush has this one.
    package var isDirty = false

    var pendingBytes: Int { writer.count - offset + chunkBytes }

    /// Appends what the body writes. Returns whether the connection has become dirty by that.
    @inlinable package mutating func append(_ body: (inout ByteWriter) -> Void) -> Bool {
        guard state == .open else { return false }
        body(&writer)
        if isDirty { return false }
        isDirty = true
        return true
    }

    /// Lets go of some bytes, and gives back the memory of what was large.
    mutating func take(_ count: Int) {
        offset += count
        if offset == writer.count {
            offset = 0
            if writer.bytes.capacity > Limits.outputRetainedBytesMax {
                writer = ByteWriter()
            } else {
                writer.bytes.removeAll(keepingCapacity: true)
            }
        } else if offset > Limits.outputChunkBytes && offset > writer.count / 2 {
            writer.bytes.removeSubrange(..<offset)
            offset = 0
        }
    }

    mutating func removeAll() {
        writer = ByteWriter()
        offset = 0
        chunkBytes = 0
    }
}

extension TCPConnection {
    /// Bytes that were written and that the system hasn't taken yet.
    package var pendingOutputBytes: Int { output.pendingBytes }

    /// Appends what `body` writes; it goes out at the turn's end. `body` must only append, and may not write
    /// to this connection in another way.
    @inlinable
    package func write(_ body: (inout ByteWriter) -> Void) {
        guard !isClosing else { return }
        if output.append(body) { loop.markDirty(self) }
    }

    @inlinable package func write(_ bytes: RawSpan) { write { $0.raw(bytes) } }
    @inlinable package func write(_ bytes: [UInt8]) { write { $0.raw(bytes) } }

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
        let (count, sent) = trySend(output)
        if count == 0 { return }
        if sent < 0 && sent != Int(UV_EAGAIN.rawValue) {
            return fail(.write, Int32(truncatingIfNeeded: sent))
        }
        loop.countWrite(max(0, sent))
        output.take(max(0, sent))
        if sent < count { sendChunk() }
    }

    private func trySend(_ output: borrowing ConnectionOutput) -> (count: Int, sent: Int) {
        let count = output.writer.count - output.offset
        if count == 0 { return (0, 0) }
        let sent = output.writer.bytes.withUnsafeBytes { bytes in
            var buffer = Self.buffer(UnsafeRawBufferPointer(rebasing: bytes[output.offset...]))
            return Int(uv_try_write(stream, &buffer, 1))
        }
        return (count, sent)
    }

    private func sendChunk() {
        if chunk == nil { chunk = OutputChunk() }
        let offset = output.offset
        let count = min(output.writer.count - offset, Limits.outputChunkBytes)
        output.writer.bytes.withUnsafeBytes { bytes in
            let part = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
            chunk?.bytes.copyMemory(from: part)
        }
        output.chunkBytes = count
        guard let request = chunk?.request, let memory = chunk?.bytes else { return }
        var buffer = Self.buffer(UnsafeRawBufferPointer(rebasing: memory[..<count]))
        let code = uv_write(request, stream, &buffer, 1) { request, status in
            owner(request?.pointee.handle?.pointee.data, TCPConnection.self).wrote(status)
        }
        if code < 0 { return fail(.write, code) }
        loop.countWrite(count)
        output.take(count)
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
