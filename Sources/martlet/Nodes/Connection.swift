import Glibc
import MartletBase
import MartletRESP

/// A connection with one node on its Redis port: one request at a time, each with a deadline.
final class Connection {
    enum Problem: Error {
        /// Nobody listens there, or nobody can be reached.
        case unreachable(String)
        /// The node was silent for too long.
        case silent(Interval)
        /// The connection ended before the answer.
        case closed(String)
        /// What came isn't the Redis protocol.
        case garbled(WireError)

        var text: String {
            switch self {
            case .unreachable(let reason): reason
            case .silent(let interval): "no answer in \(Quantities.duration(seconds: interval.seconds))"
            case .closed(let reason): "the connection broke: \(reason)"
            case .garbled(let error): "what answers there doesn't speak the Redis protocol: \(error)"
            }
        }
    }

    private let file: Int32
    private var parser = ReplyParser()
    private var input: [UInt8] = []
    private var chunk = [UInt8](repeating: 0, count: Limits.readBufferBytes)

    init(to endpoint: Endpoint, within interval: Interval) throws(Problem) {
        let deadline = Clock.now + interval
        var last = Problem.unreachable("no address")
        for address in try endpoint.addresses() {
            do throws(Problem) {
                file = try Self.connect(address, deadline, interval)
                return
            } catch {
                last = error
            }
        }
        throw last
    }

    /// A connection that is under way, so that several can be at once: `finish` before it is used.
    init(beginning endpoint: Endpoint) throws(Problem) {
        guard let address = try endpoint.addresses().first else { throw .unreachable("no address") }
        file = try Self.begin(address)
    }

    deinit { close(file) }

    func finish(by deadline: Instant, within interval: Interval) throws(Problem) {
        try Self.finish(file, deadline, interval)
    }

    private static func connect(
        _ address: SocketAddress, _ deadline: Instant, _ interval: Interval
    ) throws(Problem) -> Int32 {
        let file = try begin(address)
        do throws(Problem) {
            try finish(file, deadline, interval)
            return file
        } catch {
            close(file)
            throw error
        }
    }

    private static func begin(_ address: SocketAddress) throws(Problem) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let file = socket(address.family, type, 0)
        guard file >= 0 else { throw .unreachable(errorText(errno)) }
        if address.connect(file) != 0, errno != EINPROGRESS {
            let number = errno
            close(file)
            throw .unreachable(errorText(number))
        }
        var one: Int32 = 1
        setsockopt(file, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        return file
    }

    private static func finish(_ file: Int32, _ deadline: Instant, _ interval: Interval) throws(Problem) {
        try wait(file, POLLOUT, deadline, interval)
        var number: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(file, SOL_SOCKET, SO_ERROR, &number, &size)
        guard number == 0 else { throw .unreachable(errorText(number)) }
    }

    /// Sends a request and waits for its answer, which may be an error reply.
    func call(_ arguments: [Blob], within interval: Interval) throws(Problem) -> RESPValue {
        let deadline = Clock.now + interval
        try post([arguments], by: deadline, within: interval)
        return try answer(by: deadline, within: interval)
    }

    /// Sends requests, whose answers are fetched one by one.
    func post(_ requests: [[Blob]], by deadline: Instant, within interval: Interval) throws(Problem) {
        var writer = RequestWriter()
        for arguments in requests { writer.request(arguments) }
        try send(writer.bytes, deadline, interval)
    }

    /// The next answer to what was posted.
    func answer(by deadline: Instant, within interval: Interval) throws(Problem) -> RESPValue {
        while true {
            if let value = try parse() { return value }
            try receive(deadline, interval)
        }
    }

    /// The next reply in what has come; nil when it isn't whole yet.
    private func parse() throws(Problem) -> RESPValue? {
        while true {
            // A second reference for the span; it costs a copy only where something is dropped.
            let bytes = input
            let outcome: ReplyParser.Outcome
            do throws(WireError) {
                outcome = try parser.next(bytes.span.bytes)
            } catch {
                throw .garbled(error)
            }
            switch outcome {
            case .value(let value, let consumed):
                input.removeFirst(consumed)
                // What the server sends unasked answers nothing.
                if case .push = value { continue }
                return value
            case .needMore(let consumed):
                if consumed > 0 { input.removeFirst(consumed) }
                return nil
            }
        }
    }

    private func send(_ bytes: [UInt8], _ deadline: Instant, _ interval: Interval) throws(Problem) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(file, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN {
                try Self.wait(file, POLLOUT, deadline, interval)
            } else if errno != EINTR {
                throw .closed(errorText(errno))
            }
        }
    }

    private func receive(_ deadline: Instant, _ interval: Interval) throws(Problem) {
        while true {
            let count = recv(file, &chunk, chunk.count, 0)
            if count > 0 {
                input += chunk[..<count]
                return
            }
            if count == 0 { throw .closed("the node closed it") }
            if errno == EAGAIN {
                try Self.wait(file, POLLIN, deadline, interval)
            } else if errno != EINTR {
                throw .closed(errorText(errno))
            }
        }
    }

    private static func wait(
        _ file: Int32, _ events: Int32, _ deadline: Instant, _ interval: Interval
    ) throws(Problem) {
        while true {
            let left = deadline - Clock.now
            var item = pollfd(fd: file, events: Int16(events), revents: 0)
            // What is there already is taken after the deadline too: another node was waited for till then.
            let found = poll(&item, 1, left > .zero ? Int32(clamping: left.milliseconds + 1) : 0)
            if found > 0 { return }
            if found < 0, errno != EINTR { throw .closed(errorText(errno)) }
            guard left > .zero else { throw .silent(interval) }
        }
    }
}

/// The monotonic clock.
enum Clock {
    static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
}

func errorText(_ number: Int32) -> String {
    let text = String(cString: strerror(number))
    return text.prefix(1).lowercased() + text.dropFirst()
}
