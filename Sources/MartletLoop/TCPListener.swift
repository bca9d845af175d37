import CUV
import MartletBase

/// A listening TCP socket. SO_REUSEADDR is set, so that a restarted node gets its port back at once.
///
/// An IPv6 listener takes no IPv4 connections, `[::]` included: each address is listened on by itself.
package final class TCPListener: LoopHandle {
    /// Where it listens: the port that the system chose, when it was asked for port 0.
    package private(set) var address: Address
    private var onAccept: ((TCPConnection) -> Void)?

    /// `onAccept` gets each connection before anything was read from it, and sets its callbacks there.
    package init(
        _ loop: EventLoop, _ address: Address, backlog: Int = Limits.listenBacklog,
        onAccept: @escaping (TCPConnection) -> Void
    ) throws(LoopError) {
        self.address = address
        self.onAccept = onAccept
        super.init(loop, uv_tcp_t.self)
        uv_tcp_init(loop.uv, tcp)
        didOpen()
        do {
            try listen(backlog)
        } catch {
            close()
            throw error
        }
    }

    private var tcp: UnsafeMutablePointer<uv_tcp_t> { raw.assumingMemoryBound(to: uv_tcp_t.self) }

    private func listen(_ backlog: Int) throws(LoopError) {
        let flags = address.ip.v4 == nil ? UV_TCP_IPV6ONLY.rawValue : 0
        try check(address.withSocketAddress { uv_tcp_bind(tcp, $0, flags) }, .listen, address)
        // An address in use is reported here, not by the bind.
        let code = uv_listen(stream, Int32(backlog)) { stream, status in
            owner(stream?.pointee.data, TCPListener.self).accept(status)
        }
        try check(code, .listen, address)
        if let bound = Address.filled(by: { uv_tcp_getsockname(tcp, $0, $1) }) { address = bound }
    }

    private func accept(_ status: Int32) {
        if isClosing { return }
        guard status >= 0, let connection = TCPConnection(accepting: self) else {
            loop.totals.acceptErrors += 1
            return
        }
        loop.totals.accepted += 1
        onAccept?(connection)
        connection.startReading()
    }

    override func didClose() { onAccept = nil }
}
