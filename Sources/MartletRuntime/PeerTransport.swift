import MartletBase
import MartletLoop
import MartletNode
import MartletVersions
import MartletWire

/// All the connections of a node to its peers.
///
/// A node opens one connection to each peer that it knows, for its own requests and their answers, and keeps
/// it open: it dials again with jittered back-off when it breaks. Connections that peers opened carry their
/// requests and our answers. What is sent while a connection is being made waits in it, up to a bound.
package final class PeerTransport {
    /// A peer that this node dials, or an address whose node isn't known yet.
    private final class Dialer {
        let address: Address
        var peer: PeerIndex?
        var expected: NodeID?
        var current: PeerConnection?
        /// Whether the node was told that it is up.
        var isUp = false
        var failures = 0
        var redialAt = Instant.distantFuture
        /// Messages that wait for the hello's acceptance, and what they hold.
        var waiting: [Message] = []
        var waitingBytes = 0
        var lastUsed: Instant

        init(_ address: Address, now: Instant) {
            self.address = address
            lastUsed = now
        }

        func forgetWaiting() {
            waiting.removeAll()
            waitingBytes = 0
        }
    }

    private let loop: EventLoop
    private let source: IPAddress
    private let hello: Hello
    private var random: Random
    private let deliver: (consuming Event) -> Void
    private let time: () -> HybridTime
    private let log: (String, Address) -> Void
    private var listener: TCPListener?
    private var timer: LoopTimer!
    private var dialers: [Address: Dialer] = [:]
    /// In the order in which they were added.
    private var dialerOrder: [Dialer] = []
    private var byPeer: [Dialer?] = []
    private var links: [UInt64: PeerConnection] = [:]
    private var dialerOfLink: [UInt64: Dialer] = [:]
    private var nextLink: UInt64 = 1
    private var isShutDown = false

    package private(set) var badFrames: UInt64 = 0
    package private(set) var refusedHellos: UInt64 = 0
    package private(set) var dropped: UInt64 = 0
    package private(set) var dials: UInt64 = 0

    package static let redialMin = Interval.milliseconds(20)
    package static let redialMax = Interval.seconds(1)
    /// A connection to an address whose node never became a peer is closed after this.
    static let strangerIdleMax = Interval.seconds(30)
    package static let waitingMax = 4_096

    package init(
        _ loop: EventLoop, listen address: Address, hello: Hello, seed: UInt64,
        time: @escaping () -> HybridTime,
        deliver: @escaping (consuming Event) -> Void, log: @escaping (String, Address) -> Void
    ) throws(LoopError) {
        self.loop = loop
        source = address.ip
        self.hello = hello
        self.time = time
        self.deliver = deliver
        self.log = log
        random = Random(seed: seed)
        timer = LoopTimer(loop) { [unowned self] in tick() }
        listener = try TCPListener(loop, address) { [unowned self] in accepted($0) }
    }

    package var connectionCount: Int { links.count }
    /// Of all connections: written, and not taken by the system.
    package var pendingOutputBytes: Int { links.values.reduce(0) { $0 + $1.connection.pendingOutputBytes } }
    /// Where it listens.
    package var address: Address? { listener?.address }

    // MARK: What the node wants

    package func introduce(_ peer: PeerIndex, _ id: NodeID, _ address: Address) {
        while byPeer.count <= Int(peer.number) { byPeer.append(nil) }
        if let known = byPeer[Int(peer.number)], known.address != address { release(known) }
        if let other = dialers[address], other.peer != peer { release(other) }
        let dialer = dialer(address)
        dialer.peer = peer
        dialer.expected = id
        byPeer[Int(peer.number)] = dialer
        if let current = dialer.current, let accepted = current.id {
            if accepted == id {
                dialer.isUp = true
                deliver(.linkUp(peer))
            } else {
                current.end("another node than expected")
            }
        } else if dialer.current == nil {
            dial(dialer)
        }
    }

    /// Not dialled any more; what is sent to it nevertheless is lost.
    package func dismiss(_ peer: PeerIndex) {
        guard Int(peer.number) < byPeer.count, let known = byPeer[Int(peer.number)] else { return }
        release(known)
    }

    /// The dialer no longer serves the peer that it served: what was sent to that is lost.
    private func release(_ dialer: Dialer) {
        guard let peer = dialer.peer else { return }
        dialer.peer = nil
        byPeer[Int(peer.number)] = nil
        dialer.isUp = false
        dialer.expected = nil
        deliver(.linkDown(peer))
        if let current = dialer.current {
            current.end("its address has changed")
        } else {
            forget(dialer)
        }
    }

    package func send(_ peer: PeerIndex, _ message: Message) {
        guard Int(peer.number) < byPeer.count, let dialer = byPeer[Int(peer.number)] else {
            // Another node has its address now.
            dropped += 1
            deliver(.linkDown(peer))
            return
        }
        send(message, over: dialer)
    }

    package func stream(_ address: Address, _ payload: Blob) {
        let dialer = dialer(address)
        send(.gossip(payload), over: dialer)
        if dialer.current == nil { dial(dialer) }
    }

    package func respond(_ link: LinkID, _ message: Message) { links[link.number]?.send(message, at: time()) }

    package func accept(_ link: LinkID, _ id: NodeID) {
        guard let connection = links[link.number] else { return }
        guard let dialer = dialerOfLink[link.number] else {
            connection.send(.hello(hello), at: time())
            connection.accept(id)
            return
        }
        if let expected = dialer.expected, expected != id {
            log("the node there is \(id), not \(expected)", dialer.address)
            connection.end("another node than expected")
            return
        }
        dialer.failures = 0
        let waiting = dialer.waiting
        dialer.forgetWaiting()
        for message in waiting { connection.send(message, at: time()) }
        // What waited may have been more than the connection takes.
        guard dialer.current === connection else { return }
        if let peer = dialer.peer {
            dialer.isUp = true
            deliver(.linkUp(peer))
        }
        connection.accept(id)
    }

    package func refuse(_ link: LinkID, _ farewell: Farewell) {
        refusedHellos += 1
        links[link.number]?.refuse(farewell, at: time())
    }

    // MARK: Dialling

    private func dialer(_ address: Address) -> Dialer {
        if let known = dialers[address] { return known }
        let dialer = Dialer(address, now: loop.now.monotonic)
        dialers[address] = dialer
        dialerOrder.append(dialer)
        armTimer()
        return dialer
    }

    private func send(_ message: Message, over dialer: Dialer) {
        dialer.lastUsed = loop.now.monotonic
        if let current = dialer.current, current.isAccepted {
            current.send(message, at: time())
        } else if dialer.waiting.count < Self.waitingMax, dialer.waitingBytes < Limits.peerOutputBytesMax {
            dialer.waiting.append(message)
            dialer.waitingBytes += message.payloadBytes
        } else {
            dropped += 1
            if let peer = dialer.peer { deliver(.linkDown(peer)) }
        }
    }

    private func dial(_ dialer: Dialer) {
        dialer.redialAt = .distantFuture
        guard !isShutDown, dialer.current == nil else { return }
        dials += 1
        let socket = TCPConnection(loop, to: dialer.address, from: source)
        let connection = open(socket, bringsRequests: false)
        dialer.current = connection
        dialerOfLink[connection.link.number] = dialer
        connection.send(.hello(hello), at: time())
    }

    private func open(_ socket: TCPConnection, bringsRequests: Bool) -> PeerConnection {
        let link = LinkID(nextLink)
        nextLink += 1
        let connection = PeerConnection(
            link, socket, loop, bringsRequests: bringsRequests,
            onFrame: { [unowned self] link, id, frame in
                deliver(.peer(link, id, frame.time, frame.message))
            },
            onNews: { [unowned self] in heard($0, $1) })
        links[link.number] = connection
        return connection
    }

    private func accepted(_ socket: TCPConnection) {
        // Each peer opens one; more than a few are a mistake or an attack.
        guard links.count < Limits.peerLinksMax else {
            socket.close()
            return
        }
        _ = open(socket, bringsRequests: true)
    }

    // MARK: What connections tell

    private func heard(_ connection: PeerConnection, _ news: PeerConnection.News) {
        switch news {
        case .hello(let hello): helloCame(connection, hello)
        case .farewell(let farewell):
            if let dialer = dialerOfLink[connection.link.number] {
                deliver(.refusedByPeer(dialer.address, farewell))
            }
        case .bad(let error):
            badFrames += 1
            if !connection.isAccepted { refusedHellos += 1 }
            log("\(error)", connection.connection.peer)
        case .closed(let reason): closed(connection, reason)
        }
    }

    private func helloCame(_ connection: PeerConnection, _ other: Hello) {
        if other.cluster != hello.cluster {
            refuse(
                connection.link,
                Farewell(.wrongCluster, "this node is of cluster \(hello.cluster), not of \(other.cluster)"))
        } else if hello.commonProtocol(with: other) == nil {
            refuse(
                connection.link,
                Farewell(
                    .noCommonProtocol,
                    "this node speaks protocols \(hello.protocolMin) to \(hello.protocolMax), the other "
                        + "\(other.protocolMin) to \(other.protocolMax)"))
        } else {
            deliver(.hello(connection.link, other))
        }
    }

    private func closed(_ connection: PeerConnection, _ reason: String) {
        links[connection.link.number] = nil
        guard let dialer = dialerOfLink.removeValue(forKey: connection.link.number),
            dialer.current === connection
        else { return }
        dialer.current = nil
        dialer.isUp = false
        dialer.forgetWaiting()
        guard !isShutDown else { return }
        if dialer.failures == 0 { log("the connection ended: \(reason)", dialer.address) }
        dialer.failures += 1
        if let peer = dialer.peer {
            let longest = min(Self.redialMax, Self.redialMin * Int64(1 << min(dialer.failures, 10)))
            dialer.redialAt = loop.now.monotonic + random.within(longest / 2...longest)
            armTimer()
            // Last: the node may want the peer dialled again at once.
            deliver(.linkDown(peer))
        } else {
            forget(dialer)
            deliver(.streamFailed(dialer.address))
        }
    }

    private func forget(_ dialer: Dialer) {
        dialers[dialer.address] = nil
        dialerOrder.removeAll { $0 === dialer }
    }

    // MARK: Time

    private func armTimer() {
        var next = loop.now.monotonic + Self.strangerIdleMax
        for dialer in dialerOrder where dialer.redialAt < next { next = dialer.redialAt }
        timer.arm(at: next)
    }

    private func tick() {
        let now = loop.now.monotonic
        for dialer in dialerOrder {
            if dialer.redialAt <= now { dial(dialer) }
            let lastUsed = max(dialer.lastUsed, dialer.current?.lastHeard ?? .zero)
            if dialer.peer == nil, now - lastUsed > Self.strangerIdleMax {
                dialer.current?.end("idle")
            }
        }
        armTimer()
    }

    /// Closes everything; nothing is delivered any more.
    package func shutDown() {
        isShutDown = true
        timer.close()
        listener?.close()
        for connection in links.values.sorted(by: { $0.link.number < $1.link.number }) {
            connection.connection.closeAfterFlush(within: .milliseconds(200))
        }
    }
}
