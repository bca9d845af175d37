import MartletBase
import MartletLoop
import MartletRESP

/// A request on its way.
struct Pending {
    /// When it was due, or, in a closed loop, made.
    var start: Instant
    /// When it was written to its connection: in an open loop that may be later.
    var sent: Instant
    var operation: Operation
    /// The value has been read that is to be written now (`modify`).
    var isSecondHalf = false
    /// Replies that are still to come: a write with WAIT has two.
    var repliesLeft: UInt8 = 1
    /// An earlier reply of it was an error already counted.
    var hasFailed = false
}

/// A client of its own, whose connections (one, or one a node of a cluster) share a window of requests.
final class Lane {
    var links: [Link] = []
    var inFlight = 0
    var readyLinks = 0
    var isReady: Bool { readyLinks == links.count }
}

/// One connection of a lane, made anew when it is lost.
final class Link {
    private let generator: LoadGenerator
    private let encoder: RequestEncoder
    let lane: Lane
    let address: Address
    private var connection: TCPConnection?
    private var input = InputBuffer(bytesMax: Limits.bulkBytesMax)
    /// In the order of their requests, which is that of their replies.
    private var pending = Ring()
    private var setupLeft = 0
    private var isReady = false
    private var attempts = 0
    /// When to connect again.
    private var reconnectAt = Instant.distantFuture

    private static let reconnectAfter = Interval.milliseconds(100)
    private static let attemptsMax = 100

    init(_ generator: LoadGenerator, _ lane: Lane, _ address: Address) {
        self.generator = generator
        encoder = generator.encoder
        self.lane = lane
        self.address = address
    }

    func connect() {
        reconnectAt = .distantFuture
        attempts += 1
        let made = TCPConnection(generator.loop, to: address)
        made.onConnect = { [unowned self] in connected() }
        made.onRead = { [unowned self] in received($0) }
        made.onClose = { [unowned self] in closed($0) }
        connection = made
    }

    private func connected() {
        setupLeft = generator.plan.setup.count
        if setupLeft == 0 { return becameReady() }
        for request in generator.plan.setup {
            var writer = RequestWriter()
            writer.request(request)
            connection?.write(writer.bytes)
        }
    }

    private func becameReady() {
        isReady = true
        attempts = 0
        lane.readyLinks += 1
        if lane.isReady { generator.laneIsReady(lane) }
    }

    // MARK: Requests

    func send(_ operation: Operation, start: Instant, now: Instant) {
        let waits = operation.kind == .update || operation.kind == .insert
        pending.append(
            Pending(
                start: start, sent: now, operation: operation,
                repliesLeft: waits ? generator.repliesOfWrite : 1))
        connection?.write { output in
            switch operation.kind {
            case .read, .modify: encoder.appendRead(operation.key, to: &output.bytes)
            case .update, .insert: encoder.appendWrite(operation.key, to: &output.bytes)
            case .scan:
                encoder.appendScan(
                    operation.key, count: operation.keyCount, to: &output.bytes)
            }
        }
    }

    private func sendSecondHalf(_ first: Pending, _ now: Instant) {
        var second = first
        second.sent = now
        second.isSecondHalf = true
        second.repliesLeft = generator.repliesOfWrite
        pending.append(second)
        connection?.write { encoder.appendWrite(first.operation.key, to: &$0.bytes) }
    }

    // MARK: Replies

    private func received(_ bytes: RawSpan) {
        let now = monotonicNow()
        do throws(WireError) {
            try input.parse(bytes) { (span: RawSpan) throws(WireError) -> Int in
                try span.withUnsafeBytes { (buffer) throws(WireError) -> Int in
                    var position = 0
                    while let reply = try ReplyScanner.next(buffer, at: position) {
                        position = reply.end
                        answered(reply, buffer, now)
                    }
                    return position
                }
            }
        } catch {
            generator.fail("unreadable reply", "\(address): \(error)")
            connection?.close()
            return
        }
        generator.laneHasRoom(lane, now)
    }

    @inline(__always)
    private func answered(_ reply: ScannedReply, _ bytes: UnsafeRawBufferPointer, _ now: Instant) {
        if setupLeft > 0 { return setUp(reply, bytes) }
        guard var request = pending.popFirst() else {
            return generator.fail("unasked reply", "\(address) sent a reply to no request")
        }
        if let problem = problem(of: reply, to: request, bytes) {
            if !request.hasFailed { generator.fail(problem.kind, problem.text) }
            request.hasFailed = true
        }
        request.repliesLeft -= 1
        if request.repliesLeft > 0 { return pending.prepend(request) }
        if request.operation.kind == .modify, !request.isSecondHalf, !request.hasFailed {
            return sendSecondHalf(request, now)
        }
        generator.finished(request, lane, now)
    }

    private func setUp(_ reply: ScannedReply, _ bytes: UnsafeRawBufferPointer) {
        if reply.kind == .error {
            let request = generator.plan.setup[generator.plan.setup.count - setupLeft]
            let line = String(decoding: bytes[reply.payload], as: UTF8.self)
            return generator.abort(
                .refused("\(address) refuses \(request.joined(separator: " ")): \(line)"))
        }
        setupLeft -= 1
        if setupLeft == 0 { becameReady() }
    }

    /// What is wrong with a reply; nil when it is as it should be.
    @inline(__always)
    private func problem(
        of reply: ScannedReply, to request: Pending, _ bytes: UnsafeRawBufferPointer
    ) -> (kind: String, text: String)? {
        let operation = request.operation
        switch (reply.kind, operation.kind) {
        case (.bulk, .read), (.bulk, .modify):
            if request.isSecondHalf { break }
            let value = UnsafeRawBufferPointer(rebasing: bytes[reply.payload])
            if encoder.isValue(value, of: operation.key) { return nil }
            return ("wrong value", "key \(keyText(operation)) holds \(value.count) bytes of something else")
        case (.null, .read), (.null, .modify):
            if request.isSecondHalf { break }
            return missing(operation)
        case (.simple, .update), (.simple, .insert), (.simple, .modify):
            if reply.payload.count == 2, bytes[reply.payload.lowerBound] == UInt8(ascii: "O") { return nil }
        case (.integer, _):
            let wanted = generator.plan.waitReplicas
            if wanted == 0 || request.repliesLeft != 1 { break }
            if reply.number >= wanted { return nil }
            return ("too few replicas", "\(reply.number) of \(wanted) have key \(keyText(operation))")
        case (.array, .scan):
            if reply.number == operation.keyCount {
                return reply.nulls > 0 ? missing(operation) : nil
            }
        default: break
        }
        return refusal(reply, bytes, operation)
    }

    private func missing(_ operation: Operation) -> (kind: String, text: String)? {
        let last = operation.key + operation.keyCount - 1
        if generator.plan.isPreloaded, last < generator.plan.keyCount {
            return ("missing", "key \(keyText(operation)) was written and isn't found")
        }
        generator.missed()
        return nil
    }

    private func refusal(
        _ reply: ScannedReply, _ bytes: UnsafeRawBufferPointer, _ operation: Operation
    ) -> (kind: String, text: String) {
        let line = String(decoding: bytes[reply.payload].prefix(400), as: UTF8.self)
        if reply.kind == .error { return (String(line.prefix { $0 != " " }), line) }
        return ("wrong reply", "\(operation.kind.name) was answered with a reply of kind \(reply.kind)")
    }

    private func keyText(_ operation: Operation) -> String {
        String(decoding: encoder.keys.key(operation.key), as: UTF8.self)
    }

    // MARK: Trouble

    private func closed(_ reason: TCPConnection.CloseReason) {
        connection = nil
        if generator.isDone { return }
        let now = monotonicNow()
        let text = "\(address): \(Self.text(of: reason))"
        if isReady {
            isReady = false
            lane.readyLinks -= 1
        }
        if generator.isConnecting || attempts >= Self.attemptsMax {
            return generator.abort(.unreachable("no connection to \(text)"))
        }
        input.removeAll()
        while let request = pending.popFirst() {
            var request = request
            generator.fail("connection lost", text)
            request.hasFailed = true
            generator.finished(request, lane, now)
        }
        reconnectAt = now + Self.reconnectAfter
    }

    private static func text(of reason: TCPConnection.CloseReason) -> String {
        switch reason {
        case .local: "closed here"
        case .endOfInput: "closed by the server"
        case .failed(let error): error.description
        }
    }

    /// Called every few milliseconds.
    func look(_ now: Instant) {
        if now >= reconnectAt { return connect() }
        guard let oldest = pending.first, now - oldest.sent > generator.plan.timeout else { return }
        generator.fail("no reply", "\(address): none within \(generator.plan.timeout.seconds) s")
        connection?.close()
    }
}

/// Requests in flight, first in, first out; grows to the most there ever were.
private struct Ring {
    private var items: ContiguousArray<Pending?> = [nil, nil]
    private var head = 0
    private var count = 0

    var first: Pending? { count == 0 ? nil : items[head] }

    @inline(__always)
    mutating func append(_ item: Pending) {
        if count == items.count { grow() }
        items[(head + count) & (items.count - 1)] = item
        count += 1
    }

    @inline(__always)
    mutating func popFirst() -> Pending? {
        if count == 0 { return nil }
        let item = items[head]
        head = (head + 1) & (items.count - 1)
        count -= 1
        return item
    }

    /// Back to the front.
    mutating func prepend(_ item: Pending) {
        if count == items.count { grow() }
        head = (head - 1) & (items.count - 1)
        items[head] = item
        count += 1
    }

    private mutating func grow() {
        var larger = ContiguousArray<Pending?>(repeating: nil, count: 2 * items.count)
        for index in 0..<count { larger[index] = items[(head + index) & (items.count - 1)] }
        items = larger
        head = 0
    }
}
