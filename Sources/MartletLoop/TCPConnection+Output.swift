import CUV
import Glibc
import MartletBase

/// The bytes of one connection that libuv is sending, which must stay where they are until it is done.
///
/// Only for a peer that reads slower than we write: the output buffer itself may grow (and move) meanwhile.
struct OutputChunk: ~Copyable {
    let request = UnsafeMutablePointer<uv_write_t>.allocate(capacity: 1)
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.outputChunkBytes, alignment: 16)
    /// Bytes in flight; 0 when none are.
    var count = 0

    deinit {
        request.deallocate()
        bytes.deallocate()
    }
}

extension TCPConnection {
    /// Bytes that were written and that the system hasn't taken yet.
    package var pendingOutputBytes: Int { output.count - outputOffset + (chunk?.count ?? 0) }

    /// Appends what `body` writes; it goes out at the turn's end. `body` must only append, and may not write
    /// to this connection in another way.
    @inlinable
    package func write(_ body: (inout ByteWriter) -> Void) {
        guard outputState == .open, !isClosing else { return }
        body(&output)
        markDirty()
    }

    @inlinable package func write(_ bytes: RawSpan) { write { $0.raw(bytes) } }
    @inlinable package func write(_ bytes: [UInt8]) { write { $0.raw(bytes) } }

    @usableFromInline func markDirty() {
        if isDirty { return }
        isDirty = true
        loop.markDirty(self)
    }

    /// Calls `onDrained` once, soon, when at most `bytes` are pending.
    package func notifyWhenDrained(below bytes: Int) {
        drainedBytes = bytes
        markDirty()
    }

    /// Sends what is pending, then tells the peer that no more follows; reading goes on.
    package func endOutput() {
        guard outputState == .open, !isClosing else { return }
        outputState = .ending
        markDirty()
    }

    /// Sends what is pending and closes, at the latest after `limit`. Input is ignored from now on.
    package func closeAfterFlush(within limit: Interval = Limits.closingFlushMax) {
        guard !isFinishing, !isClosing else { return }
        isFinishing = true
        finishDeadline = loop.now.monotonic + limit
        outputState = .ended
        resumeReading()
        if isConnected && pendingOutputBytes == 0 { close() } else { markDirty() }
    }

    // MARK: At the turn's end

    func flush() {
        isDirty = false
        if isClosing { return }
        if isConnected, (chunk?.count ?? 0) == 0 { send() }
        settle()
    }

    /// Tries to send all; what the system doesn't take goes on by a chunk.
    private func send() {
        let count = output.count - outputOffset
        if count == 0 { return }
        loop.counters.writeCalls += 1
        let sent = output.bytes.withUnsafeBytes { bytes in
            var buffer = Self.buffer(UnsafeRawBufferPointer(rebasing: bytes[outputOffset...]))
            return Int(uv_try_write(stream, &buffer, 1))
        }
        if sent < 0 && sent != Int(UV_EAGAIN.rawValue) {
            return fail(.write, Int32(truncatingIfNeeded: sent))
        }
        take(max(0, sent))
        if sent < count { sendChunk() }
    }

    /// Counts `count` bytes of the output as sent, and gives back the memory of what was large.
    private func take(_ count: Int) {
        loop.counters.bytesWritten += UInt64(count)
        outputOffset += count
        if outputOffset == output.count {
            outputOffset = 0
            if output.bytes.capacity > Limits.outputRetainedBytesMax {
                output = ByteWriter()
            } else {
                output.bytes.removeAll(keepingCapacity: true)
            }
        } else if outputOffset > Limits.outputChunkBytes && outputOffset > output.count / 2 {
            output.bytes.removeSubrange(..<outputOffset)
            outputOffset = 0
        }
    }

    private func sendChunk() {
        if chunk == nil { chunk = OutputChunk() }
        let count = min(output.count - outputOffset, Limits.outputChunkBytes)
        output.bytes.withUnsafeBytes { bytes in
            let part = UnsafeRawBufferPointer(rebasing: bytes[outputOffset..<(outputOffset + count)])
            chunk?.bytes.copyMemory(from: part)
        }
        chunk?.count = count
        guard let request = chunk?.request, let memory = chunk?.bytes else { return }
        var buffer = Self.buffer(UnsafeRawBufferPointer(rebasing: memory[..<count]))
        loop.counters.writeCalls += 1
        let code = uv_write(request, stream, &buffer, 1) { request, status in
            owner(request?.pointee.handle?.pointee.data, TCPConnection.self).wrote(status)
        }
        if code < 0 { return fail(.write, code) }
        take(count)
    }

    private func wrote(_ status: Int32) {
        if isClosing { return }
        if status < 0 { return fail(.write, status) }
        chunk?.count = 0
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
        if pending == 0, isConnected, outputState == .ending { shutDownOutput() }
    }

    private func shutDownOutput() {
        outputState = .ended
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
