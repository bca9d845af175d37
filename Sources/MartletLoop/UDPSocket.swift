import CUV
import MartletBase

/// A bound UDP socket. Datagrams are received several a system call (recvmmsg) into the loop's buffer.
///
/// UDP promises nothing, and so does this: what can't be sent now is dropped and counted.
package final class UDPSocket: LoopHandle {
    /// Where it is bound: the port that the system chose, when it was asked for port 0.
    package private(set) var address: Address
    /// The sender's address and the datagram, which is valid during the call.
    private var onDatagram: ((Address, RawSpan) -> Void)?

    package init(
        _ loop: EventLoop, _ address: Address, onDatagram: @escaping (Address, RawSpan) -> Void
    ) throws(LoopError) {
        self.address = address
        self.onDatagram = onDatagram
        super.init(loop, uv_udp_t.self)
        let code = uv_udp_init_ex(loop.uv, udp, UInt32(AF_UNSPEC) | UV_UDP_RECVMMSG.rawValue)
        try check(code, .bind, address)
        didOpen()
        do {
            try bind()
        } catch {
            close()
            throw error
        }
    }

    private var udp: UnsafeMutablePointer<uv_udp_t> { raw.assumingMemoryBound(to: uv_udp_t.self) }

    private func bind() throws(LoopError) {
        let flags = address.ip.v4 == nil ? UV_UDP_IPV6ONLY.rawValue : 0
        try check(address.withSocketAddress { uv_udp_bind(udp, $0, flags) }, .bind, address)
        if let bound = Address.filled(by: { uv_udp_getsockname(udp, $0, $1) }) { address = bound }
        let code = uv_udp_recv_start(
            udp, { UDPSocket.lend($0, $2) }, { UDPSocket.received($0, $1, $2, $3, $4) })
        try check(code, .receive, address)
    }

    /// Sends one datagram, or drops it.
    /// - Returns: whether the system took it.
    @discardableResult
    package func send(_ bytes: RawSpan, to peer: Address) -> Bool {
        if isClosing { return false }
        let code = bytes.withUnsafeBytes { bytes in
            // Safe: libuv only reads what it sends.
            let base = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
            var buffer = uv_buf_t(base: base?.assumingMemoryBound(to: CChar.self), len: bytes.count)
            return peer.withSocketAddress { uv_udp_try_send(udp, &buffer, 1, $0) }
        }
        if code < 0 {
            loop.totals.datagramsDropped += 1
            return false
        }
        loop.totals.datagramsSent += 1
        return true
    }

    @discardableResult
    package func send(_ bytes: [UInt8], to peer: Address) -> Bool { send(bytes.span.bytes, to: peer) }

    private static func lend(
        _ handle: UnsafeMutablePointer<uv_handle_t>?, _ buffer: UnsafeMutablePointer<uv_buf_t>?
    ) {
        let memory = owner(handle?.pointee.data, UDPSocket.self).loop.datagramBuffer
        buffer?.pointee.base = memory.baseAddress?.assumingMemoryBound(to: CChar.self)
        buffer?.pointee.len = memory.count
    }

    private static func received(
        _ handle: UnsafeMutablePointer<uv_udp_t>?, _ count: Int, _ buffer: UnsafePointer<uv_buf_t>?,
        _ sender: UnsafePointer<sockaddr>?, _ flags: UInt32
    ) {
        let socket = owner(handle?.pointee.data, UDPSocket.self)
        if socket.isClosing { return }
        // Errors are those of datagrams that were sent before; a callback without a sender says that none are
        // left.
        guard count >= 0, let sender else { return }
        guard flags & UV_UDP_PARTIAL.rawValue == 0, let from = Address(sender) else {
            socket.loop.totals.datagramsDropped += 1
            return
        }
        socket.loop.totals.datagramsReceived += 1
        let bytes = UnsafeRawBufferPointer(start: buffer?.pointee.base, count: count)
        socket.onDatagram?(from, bytes.bytes)
    }

    override func didClose() { onDatagram = nil }
}
