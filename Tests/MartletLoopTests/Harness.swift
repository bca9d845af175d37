import MartletBase
import MartletLoop
import Testing

/// Runs a loop that `body` sets up until something calls `stop`; fails the test, and stops, when nothing
/// does.
func withLoop(_ body: (EventLoop) throws -> Void) throws {
    let loop = try EventLoop()
    defer { loop.shutDown() }
    let deadline = LoopTimer(loop) {
        Issue.record("the loop waited too long for what was to happen")
        loop.stop()
    }
    deadline.arm(at: loop.now.monotonic + .seconds(60))
    try body(loop)
    loop.run()
}

/// Two ends of a connection over `ip`: the server's, which `onAccept` gets, and the client's, which is
/// returned.
func connectedPair(
    _ loop: EventLoop, _ ip: IPAddress = .loopback, onAccept: @escaping (TCPConnection) -> Void
) throws -> TCPConnection {
    let listener = try TCPListener(loop, Address(ip: ip, port: 0), onAccept: onAccept)
    return TCPConnection(loop, to: listener.address)
}

extension IPAddress {
    static let loopback = IPAddress(v4: 127, 0, 0, 1)
    static let loopbackV6 = IPAddress(high: 0, low: 1)

    /// The loopback addresses that this machine has.
    static let loopbacks: [IPAddress] = [loopback, loopbackV6].filter { ip in
        guard let loop = try? EventLoop() else { return false }
        defer { loop.shutDown() }
        return (try? TCPListener(loop, Address(ip: ip, port: 0)) { _ in }) != nil
    }
}

extension RawSpan {
    var array: [UInt8] { withUnsafeBytes { Array($0) } }
}
