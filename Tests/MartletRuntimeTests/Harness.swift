import MartletBase
import MartletLoop
import MartletNode
import MartletRuntime
import MartletVersions
import MartletWire
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

/// A transport with a node's part played by the test: greetings are accepted, events are queued as the
/// runtime does, and the test looks at them one by one.
final class Station {
    private(set) var transport: PeerTransport!
    let id: NodeID
    private(set) var events: [Event] = []
    private var handled = 0
    private var isHandling = false
    private var isFinished = false
    var onEvent: (Event) -> Void = { _ in }
    var acceptsGreetings = true
    private(set) var log: [String] = []

    init(_ loop: EventLoop, _ seed: UInt64, cluster: String = "test", port: UInt16 = 0) throws {
        var random = Random(seed: seed)
        id = NodeID(random: &random)
        let hello = Hello(cluster: cluster, id: id, name: "n\(seed)", folder: FolderAge(epoch: 1))
        transport = try PeerTransport(
            loop, listen: Address(ip: .loopback, port: port), hello: hello, seed: seed,
            time: { HybridTime(bits: seed) }, deliver: { [unowned self] in deliver($0) },
            log: { [unowned self] text, _ in log.append(text) })
    }

    var address: Address { transport.address ?? Address(ip: .loopback, port: 0) }

    /// Ends the loop; what its end does to the connections isn't looked at.
    func finish(_ loop: EventLoop) {
        isFinished = true
        loop.stop()
    }

    private func deliver(_ event: Event) {
        if isFinished { return }
        events.append(event)
        guard !isHandling else { return }
        isHandling = true
        while handled < events.count {
            handled += 1
            let event = events[handled - 1]
            if case .hello(let link, let hello) = event, acceptsGreetings { transport.accept(link, hello.id) }
            onEvent(event)
        }
        isHandling = false
    }

    func messages() -> [Message] {
        events.compactMap { if case .peer(_, _, _, let message) = $0 { message } else { nil } }
    }

    var linkChanges: [String] {
        events.compactMap {
            switch $0 {
            case .linkUp(let peer): "up \(peer.number)"
            case .linkDown(let peer): "down \(peer.number)"
            default: nil
            }
        }
    }
}

extension IPAddress {
    static let loopback = IPAddress(v4: 127, 0, 0, 1)
}

extension Message {
    func frame(_ time: UInt64 = 1) -> [UInt8] {
        var writer = ByteWriter()
        Frame(time: HybridTime(bits: time), message: self).write(to: &writer)
        return writer.bytes
    }

    static func gossip(_ text: String) -> Message { .gossip(Blob(text)) }

    /// Of so many bytes, which don't compress.
    static func large(_ count: Int) -> Message {
        var random = Random(seed: 4)
        return .gossip(Blob((0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }))
    }
}

/// A peer made of bytes: a bare connection that sends what the test says, and keeps what comes.
final class Stranger {
    let connection: TCPConnection
    private(set) var received: [UInt8] = []
    private(set) var isClosed = false
    var onClose: () -> Void = {}

    init(_ loop: EventLoop, to address: Address, _ bytes: [UInt8]) {
        connection = TCPConnection(loop, to: address)
        connection.onConnect = { [unowned self] in connection.write(bytes) }
        connection.onRead = { [unowned self] in received += $0.withUnsafeBytes { Array($0) } }
        connection.onClose = { [unowned self] _ in
            isClosed = true
            onClose()
        }
    }

    /// The first frame that came.
    var frame: Frame? {
        let bytes = received
        guard let scan = try? Frame.scan(bytes.span.bytes), case .frame(let frame, _) = scan else {
            return nil
        }
        return frame
    }
}
