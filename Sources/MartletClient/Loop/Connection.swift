import MartletBase
import MartletLoop
import MartletRESP

/// One connection with a node: requests go out as they come, answers come back in their order.
///
/// It is **ready** once the greeting (HELLO 3 and who we are) was answered. It is **silent** while it owes an
/// answer and no byte comes; silent for too long it is closed, and whatever it owed is lost.
final class Connection {
    /// A request that waits for its answer.
    struct Request {
        /// Nil for a part of the greeting.
        let operation: Operation?
        let sentAt: Instant
        /// How long the node may be silent before this one's answer.
        let silenceMax: Interval
        let isProbe: Bool
    }

    let link: NodeLink
    private let tcp: TCPConnection
    private var parser = ReplyParser()
    private var input = InputBuffer(bytesMax: Limits.replyBytesMax)
    private var timer: LoopTimer?
    private(set) var requests = FIFO<Request>()
    private(set) var isReady = false
    /// The last time that a byte came, or that the first request was sent after a pause.
    private var heardAt: Instant
    /// What waited to be sent when the timer last looked: that it grows less is a sign of life, too.
    private var pendingBefore = 0
    private var failure: MartletError?

    init(_ link: NodeLink, _ loop: EventLoop) {
        self.link = link
        tcp = TCPConnection(loop, to: link.address)
        heardAt = loop.now.monotonic
        tcp.onConnect = { [unowned self] in greet() }
        tcp.onRead = { [unowned self] in read($0) }
        tcp.onDrained = { [unowned self] in self.link.drainWaiting() }
        // Keeps this connection alive until it has closed.
        tcp.onClose = { [self] reason in closed(reason) }
        let timer = LoopTimer(loop) { [unowned self] in look() }
        timer.arm(at: heardAt + settings.connectTimeout)
        self.timer = timer
    }

    private var settings: ClientSettings { link.core.settings }
    private var now: Instant { tcp.loop.now.monotonic }

    // MARK: The greeting

    private func greet() {
        tcp.keepAlive(after: Limits.clientKeepAlive)
        greet(["HELLO", "3"])
        if let name = settings.clientName { greet(["CLIENT", "SETNAME", name]) }
        greet(["CLIENT", "SETINFO", "LIB-NAME", "martlet-swift"])
        greet(["CLIENT", "SETINFO", "LIB-VER", MartletBase.Version.text])
        if let keyspace = settings.keyspace { greet(["SELECT", keyspace]) }
    }

    private func greet(_ words: [String]) {
        let command = Command(.words(words.map { Bytes($0) }), .anyNode, isRead: true)
        tcp.write { command.write(to: &$0, left: .zero, version: nil) }
        requests.append(
            Request(operation: nil, sentAt: now, silenceMax: settings.connectTimeout, isProbe: false))
    }

    /// An answer to a part of the greeting; the last makes the connection ready.
    private func greeted(_ value: RESPValue, isFirst: Bool, isLast: Bool) {
        // A server that doesn't know SETINFO is told nothing; one without HELLO 3 or the keyspace is no use.
        if let text = value.errorText, isFirst || (isLast && settings.keyspace != nil) {
            return fail(ErrorLine(text).error)
        }
        guard isLast else { return }
        isReady = true
        timer?.disarm()
        link.becameReady()
    }

    // MARK: Requests

    var isSilent: Bool { !requests.isEmpty && now - heardAt > Limits.clientSuspicionAfter }

    var hasRoom: Bool {
        isReady && requests.count < settings.inFlightPerConnectionMax
            && tcp.pendingOutputBytes < Limits.clientPendingOutputBytes && !tcp.isClosing
    }

    func send(_ operation: Operation, isProbe: Bool) {
        let now = now
        let left = operation.deadline - now
        tcp.write { operation.command.write(to: &$0, left: left, version: operation.version) }
        pendingBefore = max(pendingBefore, tcp.pendingOutputBytes)
        if tcp.pendingOutputBytes >= Limits.clientPendingOutputBytes {
            tcp.notifyWhenDrained(below: Limits.clientPendingOutputBytes / 2)
        }
        let told = operation.command.toldTimeout(left).map { $0 + Limits.clientSilenceSlack }
        let silenceMax = max(settings.silenceMax, told ?? .zero)
        if requests.isEmpty { heardAt = now }
        requests.append(
            Request(operation: operation, sentAt: now, silenceMax: silenceMax, isProbe: isProbe))
        operation.inFlight += 1
        operation.node = link
        operation.sentAt = now
        if timer?.isArmed == false { timer?.arm(at: heardAt + silenceMax) }
    }

    // MARK: Answers

    private func read(_ bytes: RawSpan) {
        heardAt = now
        do {
            try input.parse(bytes) { unread throws(WireError) in
                var used = 0
                while true {
                    switch try parser.next(unread.extracting(droppingFirst: used)) {
                    case .needMore(let consumed): return used + consumed
                    case .value(let value, let consumed):
                        used += consumed
                        answered(value)
                    }
                }
            }
        } catch {
            fail(.unexpectedAnswer("\(error)"))
        }
    }

    private func answered(_ value: RESPValue) {
        // What comes unasked isn't for us: nothing that would bring it was subscribed to.
        if case .push = value { return }
        if failure != nil { return }
        let isFirst = !isReady && requests.count == greetingCount
        guard let request = requests.popFirst() else {
            return fail(.unexpectedAnswer("an answer without a request"))
        }
        guard let operation = request.operation else {
            return greeted(value, isFirst: isFirst, isLast: requests.isEmpty)
        }
        link.answered(operation, request, value)
        if !link.isIdle { link.drainWaiting() }
    }

    private var greetingCount: Int {
        3 + (settings.clientName == nil ? 0 : 1) + (settings.keyspace == nil ? 0 : 1)
    }

    // MARK: The end

    /// The timer: the greeting takes too long, or an answer does.
    private func look() {
        guard let oldest = requests.first, isReady else {
            if !isReady { fail(.noNode("\(link.address) didn't answer in time")) }
            return
        }
        let pending = tcp.pendingOutputBytes
        if pending < pendingBefore { heardAt = now }
        pendingBefore = pending
        let due = heardAt + oldest.silenceMax
        if due > now { timer?.arm(at: due) } else { fail(.noNode("\(link.address) has fallen silent")) }
    }

    private func fail(_ error: MartletError) {
        if failure == nil { failure = error }
        isReady = false
        tcp.close()
    }

    func close() { tcp.close() }

    private func closed(_ reason: TCPConnection.CloseReason) {
        timer?.close()
        timer = nil
        let why =
            switch (failure, reason) {
            case (let failure?, _): failure
            case (nil, .failed(let error)): MartletError.noNode("\(error)")
            case (nil, _): MartletError.noNode("\(link.address) has closed the connection")
            }
        isReady = false
        var lost: [Request] = []
        while let request = requests.popFirst() { lost.append(request) }
        link.closed(self, why, lost: lost)
    }
}
