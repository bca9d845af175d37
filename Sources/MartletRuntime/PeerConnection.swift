import MartletBase
import MartletLoop
import MartletNode
import MartletVersions
import MartletWire

/// One connection to a peer, whichever side opened it: frames in, frames out, a hello first.
///
/// Until the node has accepted the peer's hello, only a hello or a farewell may come, of at most
/// `helloBytesMax`, within `helloTimeout`: a stranger can make us hold no more than that.
package final class PeerConnection {
    /// What a connection tells its owner. Nothing comes after `closed`.
    enum News {
        case hello(Hello)
        case farewell(Farewell)
        case bad(WireError)
        /// How it ended; whatever was sent and not answered is lost.
        case closed(String)
    }

    package static let helloBytesMax = 8 << 10
    package static let helloTimeout = Interval.seconds(5)

    let link: LinkID
    let connection: TCPConnection
    /// When its last frame came.
    private(set) var lastHeard: Instant
    /// The peer's id, once the node has accepted its hello.
    private(set) var id: NodeID?
    private var input = InputBuffer(bytesMax: Limits.frameBytesMax + 4 + Limits.readBufferBytes)
    private var hasHello = false
    private var isOver = false
    private var isParsing = false
    private var isRefused = false
    /// Whether requests come on it, which may wait until their answers are read. Answers must not: the other
    /// side would wait for us while we wait for it.
    private let bringsRequests: Bool
    private let loop: EventLoop
    private let timer: LoopTimer
    private let onNews: (PeerConnection, News) -> Void
    /// What an accepted peer says: by far the most of all that comes.
    private let onFrame: (LinkID, NodeID, consuming Frame) -> Void

    init(
        _ link: LinkID, _ connection: TCPConnection, _ loop: EventLoop, bringsRequests: Bool,
        onFrame: @escaping (LinkID, NodeID, consuming Frame) -> Void,
        onNews: @escaping (PeerConnection, News) -> Void
    ) {
        self.link = link
        lastHeard = loop.now.monotonic
        self.connection = connection
        self.loop = loop
        self.bringsRequests = bringsRequests
        self.onFrame = onFrame
        self.onNews = onNews
        var expire: () -> Void = {}
        timer = LoopTimer(loop) { expire() }
        expire = { [weak self] in self?.end("no hello within \(Self.helloTimeout.milliseconds) ms") }
        timer.arm(at: loop.now.monotonic + Self.helloTimeout)
        connection.onRead = { [weak self] in self?.received($0) }
        connection.onClose = { [weak self] reason in self?.closed("\(reason)") }
        connection.onDrained = { [weak self] in self?.drained() }
    }

    var isAccepted: Bool { id != nil }

    /// The node has accepted the peer's hello: larger frames may come.
    func accept(_ id: NodeID) {
        guard !isOver else { return }
        self.id = id
        timer.disarm()
        connection.keepAlive(after: .seconds(30))
        connection.resumeReading()
        // What came behind the hello; the parser goes on by itself when it is what told us of the hello.
        if !isParsing {
            parse { connection throws(WireError) in
                try connection.input.parse { span throws(WireError) in try connection.takeFrames(span) }
            }
        }
    }

    func send(_ message: Message, at time: HybridTime) {
        guard !isOver else { return }
        // Before the frame is added: a single one may be larger than the limit.
        guard connection.pendingOutputBytes <= Limits.peerOutputBytesMax else {
            return end("it did not read \(connection.pendingOutputBytes) bytes")
        }
        connection.write { Frame(time: time, message: message).write(to: &$0) }
        if bringsRequests, connection.pendingOutputBytes > Limits.peerOutputBytesMax / 4, !isPausedForOutput {
            // Its requests wait until it reads our answers.
            isPausedForOutput = true
            connection.pauseReading()
            connection.notifyWhenDrained(below: Limits.peerOutputBytesMax / 16)
        }
    }

    private var isPausedForOutput = false

    func refuse(_ farewell: Farewell, at time: HybridTime) {
        guard !isOver else { return }
        isRefused = true
        connection.write { Frame(time: time, message: .farewell(farewell)).write(to: &$0) }
        connection.closeAfterFlush()
    }

    /// Closes at once.
    func end(_ reason: String) {
        guard !isOver else { return }
        connection.close()
        closed(reason)
    }

    private func closed(_ reason: String) {
        guard !isOver else { return }
        isOver = true
        timer.close()
        onNews(self, .closed(reason))
    }

    private func drained() {
        isPausedForOutput = false
        connection.resumeReading()
    }

    // MARK: Input

    private func received(_ bytes: RawSpan) {
        lastHeard = loop.now.monotonic
        parse { connection throws(WireError) in
            try connection.input.parse(bytes) { span throws(WireError) in try connection.takeFrames(span) }
        }
    }

    private func parse(_ body: (PeerConnection) throws(WireError) -> Void) {
        isParsing = true
        do throws(WireError) {
            try body(self)
            // What comes behind a hello waits in the system's buffers until the node has accepted it.
            if hasHello, !isAccepted, !isOver, !isRefused { connection.pauseReading() }
        } catch {
            onNews(self, .bad(error))
            end("bad bytes: \(error)")
        }
        isParsing = false
    }

    /// Takes the whole frames at the front; returns how many bytes they were.
    private func takeFrames(_ bytes: RawSpan) throws(WireError) -> Int {
        var used = 0
        while !isOver, !hasHello || isAccepted {
            let lengthMax = isAccepted ? Limits.frameBytesMax : Self.helloBytesMax
            let rest = bytes.extracting(droppingFirst: used)
            guard case .frame(let frame, let consumed) = try Frame.scan(rest, lengthMax: lengthMax) else {
                break
            }
            used += consumed
            take(frame)
        }
        return isOver ? bytes.byteCount : used
    }

    private func take(_ frame: Frame) {
        switch frame.message {
        case .farewell(let farewell):
            onNews(self, .farewell(farewell))
            end("it said: \(farewell.text)")
        case .hello(let hello):
            guard !hasHello else { return refuseOutOfTurn() }
            hasHello = true
            onNews(self, .hello(hello))
        default:
            guard let id else { return refuseOutOfTurn() }
            onFrame(link, id, frame)
        }
    }

    private func refuseOutOfTurn() {
        onNews(self, .bad(.invalid("message before or after its turn")))
        end("a message out of turn")
    }
}
