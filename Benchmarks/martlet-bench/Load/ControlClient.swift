import Glibc
import MartletBase
import MartletRESP

/// A blocking connection for questions beside the load.
final class ControlClient {
    private let socket: Int32
    private let address: Address
    private var parser = ReplyParser()
    private var unread: [UInt8] = []
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    /// Connects within the system's own time; each reply is waited for at most `timeout`.
    init(_ address: Address, timeout: Interval = .seconds(5)) throws(Failure) {
        self.address = address
        guard let v4 = address.ip.v4 else { throw .refused("\(address): only IPv4 is spoken here") }
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw .refused("no socket: \(errorText(errno))") }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = address.port.bigEndian
        name.sin_addr.s_addr = v4.bigEndian
        var time = timeval(
            tv_sec: Int(timeout.nanoseconds / 1_000_000_000),
            tv_usec: Int(timeout.nanoseconds % 1_000_000_000 / 1_000))
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        let status = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw .unreachable("no connection to \(address): \(errorText(errno))") }
    }

    deinit { close(socket) }

    func call(_ words: String...) throws(Failure) -> RESPValue { try call(words) }

    func call(_ words: [String]) throws(Failure) -> RESPValue {
        var writer = RequestWriter()
        writer.request(words)
        try send(writer.bytes)
        return try reply()
    }

    /// Requests whose replies are fetched one by one.
    func send(_ requests: [UInt8]) throws(Failure) {
        guard writeAll(requests, to: socket) else { throw lost(errorText(errno)) }
    }

    func reply() throws(Failure) -> RESPValue {
        while true {
            do throws(WireError) {
                switch try parser.next(unread.span.bytes) {
                case .value(let value, let consumed):
                    unread.removeFirst(consumed)
                    return value
                case .needMore(let consumed): unread.removeFirst(consumed)
                }
            } catch {
                throw .refused("\(address) sent what is no reply: \(error)")
            }
            let count = recv(socket, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw lost(count == 0 ? "closed by the server" : errorText(errno)) }
            unread += buffer[..<count]
        }
    }

    private func lost(_ why: String) -> Failure { .unreachable("the connection to \(address) broke: \(why)") }
}
