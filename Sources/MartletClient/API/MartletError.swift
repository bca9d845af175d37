/// Why a call failed. Every error says whether a write may have happened: ``mayHaveHappened``.
///
/// Cases may be added: let a `switch` over them have a `default`.
public enum MartletError: Error, Hashable, Sendable {
    /// Too few replicas are alive for the level. Nothing was sent to any.
    case unavailable(Unavailable)
    /// Too few replicas answered in time. A write may have happened, and repair will finish it.
    case timeout(Timeout)
    /// The node refused the request before any work: it is full in one of its limits.
    case overloaded(node: String, limit: String)
    /// The node's clock is too far from its peers': it coordinates no write. Nothing was sent.
    case skew(node: String, aheadMilliseconds: Int, maxMilliseconds: Int)
    /// A key or a value is over the cluster's limit (`key_bytes_max`, `value_bytes_max`). Unit: bytes.
    case tooLarge(what: String, bytes: Int, max: Int)
    /// The key has concurrent versions, and the command gives one value: read it with
    /// ``MartletClient/MartletClient/getVersioned(_:level:within:)``.
    case siblings(count: Int)
    /// A context or version isn't one that the store gave for this key: `checksum`, `key`, `future` or
    /// `truncated`.
    case badContext(reason: String)
    /// The node waits for the nodes that are named before the cluster serves. Nothing was sent.
    case loading(waitsFor: [String])
    /// The node shuts down. Nothing was sent.
    case stopping(node: String)
    /// Any other error of a node: the first word of its line, and the whole line.
    case server(code: String, text: String)
    /// No node could be asked: none is connected. Nothing was sent. The text says why the last attempt
    /// failed.
    case noNode(String)
    /// The connection broke, or the node fell silent, while the request was under way.
    case connectionLost(Interrupted)
    /// The call's time was over before an answer came.
    case deadlineExceeded(Interrupted)
    /// The task that waits was cancelled.
    case cancelled(Interrupted)
    /// The client itself is full: as many calls are under way as its configuration allows. Nothing was sent.
    case tooManyCalls(max: Int)
    /// The client was closed.
    case closed(Interrupted)
    /// A node answered what this client doesn't understand.
    case unexpectedAnswer(String)
    /// An argument or a setting makes no sense. Nothing was sent.
    case invalidArgument(String)

    /// The facts of ``unavailable(_:)``.
    public struct Unavailable: Hashable, Sendable {
        /// `read` or `write`.
        public let operation: String
        /// The level that was asked for.
        public let level: String
        /// Replicas that the level needs.
        public let required: Int
        /// Replicas that are alive, as far as the node knows.
        public let alive: Int
        /// Their names.
        public let up: [String]
        /// The names of those that aren't.
        public let down: [String]

        package init(
            operation: String, level: String, required: Int, alive: Int, up: [String], down: [String]
        ) {
            self.operation = operation
            self.level = level
            self.required = required
            self.alive = alive
            self.up = up
            self.down = down
        }
    }

    /// The facts of ``timeout(_:)``.
    public struct Timeout: Hashable, Sendable {
        /// `read` or `write`.
        public let operation: String
        /// The level that was asked for.
        public let level: String
        /// Replicas that the level needs.
        public let required: Int
        /// Replicas that answered.
        public let acknowledged: Int
        /// Their names.
        public let answered: [String]
        /// The names of those that didn't: the write may be there or not.
        public let unknown: [String]
        /// A write's version: sent again under it, the write can't overtake a later one.
        public let version: WriteVersion?
        /// How long the node waited.
        public let after: Duration

        package init(
            operation: String, level: String, required: Int, acknowledged: Int, answered: [String],
            unknown: [String], version: WriteVersion?, after: Duration
        ) {
            self.operation = operation
            self.level = level
            self.required = required
            self.acknowledged = acknowledged
            self.answered = answered
            self.unknown = unknown
            self.version = version
            self.after = after
        }
    }

    /// How far a call had come that ended without its answer.
    public struct Interrupted: Hashable, Sendable {
        /// Whether a write may have happened. False for reads, and for writes that weren't sent.
        public let mayHaveHappened: Bool
        /// The version of the write, when an earlier attempt's ``MartletError/Timeout`` told it.
        public let version: WriteVersion?
        /// The last node that was asked, as `address:port`.
        public let node: String?

        package init(mayHaveHappened: Bool, version: WriteVersion?, node: String?) {
            self.mayHaveHappened = mayHaveHappened
            self.version = version
            self.node = node
        }
    }
}

extension MartletError {
    /// Whether the call was a write that may have changed the store all the same. When this is false, nothing
    /// was changed, and the call may be made again.
    public var mayHaveHappened: Bool {
        switch self {
        case .timeout(let timeout): timeout.operation == "write"
        case .connectionLost(let interrupted), .deadlineExceeded(let interrupted),
            .cancelled(let interrupted), .closed(let interrupted):
            interrupted.mayHaveHappened
        case .unexpectedAnswer: true
        default: false
        }
    }

    /// The version to send the write again under, when one is known: the retry then can't overtake a later
    /// write.
    public var version: WriteVersion? {
        switch self {
        case .timeout(let timeout): timeout.version
        case .connectionLost(let interrupted), .deadlineExceeded(let interrupted),
            .cancelled(let interrupted), .closed(let interrupted):
            interrupted.version
        default: nil
        }
    }
}

extension MartletError: CustomStringConvertible {
    /// What happened, to which nodes, and what to do.
    public var description: String {
        func list(_ names: [String]) -> String { names.isEmpty ? "none" : names.joined(separator: ", ") }
        switch self {
        case .unavailable(let facts):
            return "\(facts.operation) at \(facts.level) needs \(facts.required) replicas and \(facts.alive) "
                + "are alive (up: \(list(facts.up)); down: \(list(facts.down))): nothing was sent; wait for "
                + "the nodes that are down, or ask at a lower level"
        case .timeout(let facts):
            let version = facts.version.map { "; send it again under version \($0)" } ?? ""
            let outcome = facts.operation == "write" ? "the write may have happened\(version)" : "ask again"
            return
                "\(facts.operation) at \(facts.level): \(facts.acknowledged) of \(facts.required) replicas "
                + "answered within \(facts.after) (unknown: \(list(facts.unknown))): \(outcome)"
        case .overloaded(let node, let limit): return "\(node) is full (\(limit)): ask again after a pause"
        case .skew(let node, let ahead, let max):
            return "the clock of \(node) is \(ahead) ms off, more than \(max) ms: set it right"
        case .tooLarge(let what, let bytes, let max):
            return "the \(what) has \(bytes) bytes, and the cluster takes \(max)"
        case .siblings(let count):
            return "the key has \(count) concurrent versions: read it with getVersioned"
        case .badContext(let reason): return "the context or version isn't of this key's (\(reason))"
        case .loading(let names): return "the cluster isn't formed yet: it waits for \(list(names))"
        case .stopping(let node): return "\(node) shuts down: ask another node"
        case .server(_, let text): return text
        case .noNode(let why): return "no node could be asked: \(why)"
        case .connectionLost(let facts): return "the connection was lost" + facts.ending
        case .deadlineExceeded(let facts): return "no answer came in time" + facts.ending
        case .cancelled(let facts): return "the call was cancelled" + facts.ending
        case .tooManyCalls(let max): return "\(max) calls are under way, which is this client's limit"
        case .closed(let facts): return "the client was closed" + facts.ending
        case .unexpectedAnswer(let what): return "a node gave an answer that makes no sense: \(what)"
        case .invalidArgument(let what): return what
        }
    }
}

extension MartletError {
    /// Why no node can be asked, when this is why a connection ended.
    var reason: String {
        if case .noNode(let why) = self { why } else { description }
    }
}

extension MartletError.Interrupted {
    fileprivate var ending: String {
        let place = node.map { " (\($0))" } ?? ""
        guard mayHaveHappened else { return "\(place): nothing was changed" }
        return place + ": the write may have happened" + (version.map { ", under version \($0)" } ?? "")
    }
}
