import MartletBase
import MartletRESP
import MartletRing

/// A request, as the loop sends it: written into a connection's output when its attempt goes out, so that
/// each attempt tells the node how much time is left and under which version it writes.
struct Command: Sendable {
    enum Body: Sendable {
        case get(Bytes)
        case vget(Bytes, ReadLevel?)
        case vset(Bytes, Bytes, WriteLevel?, CausalContext?, Expiry?)
        case vdel(Bytes, WriteLevel?, CausalContext?)
        /// As the caller gave it.
        case words([Bytes])
    }

    enum Target: Sendable {
        /// An owner of the slot first, else any node.
        case slot(Slot)
        case anyNode
        /// This node and no other.
        case node(Address)
    }

    var body: Body
    var target: Target
    var isRead: Bool
    var mayHappenTwice = false
    var version: WriteVersion?
    /// The node is told how long it may take.
    var tellsTimeout = false

    init(_ body: Body, _ target: Target, isRead: Bool) {
        self.body = body
        self.target = target
        self.isRead = isRead
    }

    init(_ body: Body, key: Bytes, isRead: Bool) {
        self.init(body, .slot(Slot(key: key.array.span.bytes)), isRead: isRead)
    }

    /// Whether it can carry a version.
    var takesVersion: Bool {
        switch body {
        case .vset, .vdel: true
        default: false
        }
    }

    /// What the node is told to take at most; nil when nothing is said. A little less than what is left, so
    /// that its answer, which says more than our own timer can (the version of a write), comes first.
    func toldTimeout(_ left: Interval) -> Interval? {
        guard tellsTimeout else { return nil }
        let told = left - min(left / 8, Limits.clientAnswerMargin)
        return min(max(told, .milliseconds(1)), Limits.clientTimeoutMax)
    }

    /// - Parameters:
    ///   - left: what the call has left.
    ///   - version: the version to write under, when an earlier attempt has told one.
    func write(to out: inout ByteWriter, left: Interval, version: WriteVersion?) {
        // The array is moved out and back: nothing is copied.
        var bytes: [UInt8] = []
        swap(&bytes, &out.bytes)
        var writer = RequestWriter(appendingTo: bytes)
        write(to: &writer, timeout: toldTimeout(left), version: version ?? self.version)
        swap(&out.bytes, &writer.bytes)
    }

    private func write(to writer: inout RequestWriter, timeout: Interval?, version: WriteVersion?) {
        let timeoutWords = timeout == nil ? 0 : 2
        let versionWords = version == nil ? 0 : 2
        switch body {
        case .get(let key):
            writer.begin(argumentCount: 2)
            writer.argument("GET")
            writer.argument(key)
        case .vget(let key, let level):
            writer.begin(argumentCount: 2 + (level == nil ? 0 : 2) + timeoutWords)
            writer.argument("VGET")
            writer.argument(key)
            writer.level(level?.rawValue)
            writer.timeout(timeout)
        case .vset(let key, let value, let level, let context, let expiry):
            let words = (level == nil ? 0 : 2) + (context == nil ? 0 : 2) + (expiry?.wordCount ?? 0)
            writer.begin(argumentCount: 3 + words + timeoutWords + versionWords)
            writer.argument("VSET")
            writer.argument(key)
            writer.argument(value)
            writer.level(level?.rawValue)
            writer.context(context)
            writer.expiry(expiry)
            writer.timeout(timeout)
            writer.version(version)
        case .vdel(let key, let level, let context):
            let words = (level == nil ? 0 : 2) + (context == nil ? 0 : 2)
            writer.begin(argumentCount: 2 + words + timeoutWords + versionWords)
            writer.argument("VDEL")
            writer.argument(key)
            writer.level(level?.rawValue)
            writer.context(context)
            writer.timeout(timeout)
            writer.version(version)
        case .words(let words):
            writer.begin(argumentCount: words.count)
            for word in words { writer.argument(word) }
        }
    }
}

extension Expiry {
    fileprivate var wordCount: Int { self == .keep ? 1 : 2 }
}

extension RequestWriter {
    fileprivate mutating func argument(_ bytes: Bytes) { argument(bytes.array.span.bytes) }

    fileprivate mutating func level(_ name: String?) {
        guard let name else { return }
        argument("CONSISTENCY")
        argument(name)
    }

    fileprivate mutating func timeout(_ timeout: Interval?) {
        guard let timeout else { return }
        argument("TIMEOUT")
        argument(Int(timeout.milliseconds))
    }

    fileprivate mutating func version(_ version: WriteVersion?) {
        guard let version else { return }
        argument("VERSION")
        argument(version.text)
    }

    fileprivate mutating func context(_ context: CausalContext?) {
        guard let context else { return }
        argument("CONTEXT")
        argument(context.text)
    }

    fileprivate mutating func expiry(_ expiry: Expiry?) {
        switch expiry {
        case nil: return
        case .after(let duration):
            argument("PX")
            argument(Int(Interval(duration).milliseconds))
        case .at(let time):
            argument("PXAT")
            argument(Int(Interval(time).milliseconds))
        case .keep: argument("KEEPTTL")
        }
    }
}

extension Interval {
    /// Clamped to what nanoseconds in 64 bits hold: 292 years.
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
        self = overflow || carry ? .nanoseconds(seconds < 0 ? .min : .max) : .nanoseconds(sum)
    }
}

extension Duration {
    init(_ interval: Interval) { self = .nanoseconds(interval.nanoseconds) }
}
