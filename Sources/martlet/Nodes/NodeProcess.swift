import Glibc
import MartletBase
import MartletConfig

/// One node that `martlet up` looks after.
struct NodeProcess {
    enum State {
        case idle
        /// It ran before, and isn't ours to stop.
        case found(pid_t)
        case started(pid_t)
        case ended(ProcessEnd)
    }

    let endpoint: Endpoint
    let folder: NodeFolder
    var state = State.idle
    /// Whether the ring goes on without it for good, as others say: its folder holds an id that is never used
    /// again.
    var wasRemoved = false
    /// How long its log was when it was started.
    var logStart = 0

    var name: String { folder.name }

    var process: pid_t? {
        switch state {
        case .found(let pid), .started(let pid): pid
        case .idle, .ended: nil
        }
    }

    var startedProcess: pid_t? {
        if case .started(let pid) = state { pid } else { nil }
    }

    /// Whether it ended as it should, by itself: where it was just started, because its ring goes on without
    /// it.
    var hasLeft: Bool {
        if case .ended(let end) = state { end.isClean } else { false }
    }

    var hasEnded: Bool {
        if case .ended = state { true } else { false }
    }

    /// Whether it ended, and nobody misses it.
    var isNotMissed: Bool { hasLeft || hasEnded && wasRemoved }

    /// Looks whether its process has ended; true once, when it has.
    mutating func reap() -> Bool {
        switch state {
        case .started(let pid):
            var status: Int32 = 0
            guard waitpid(pid, &status, WNOHANG) == pid else { return false }
            state = .ended(ProcessEnd(waitStatus: status))
            folder.removePid()
            return true
        case .found(let pid):
            guard !ProcessTable.isRunning(pid) else { return false }
            // Whose child it was knows how it ended.
            state = .ended(.exit(0))
            return true
        case .idle, .ended: return false
        }
    }

    /// What the node itself says.
    func probe() -> NodeView {
        do throws(Connection.Problem) {
            let connection = try Connection(to: endpoint, within: Self.probeWithin)
            let reply = try connection.call([Blob("MARTLET"), Blob("STATUS")], within: Self.probeWithin)
            if let line = reply.errorText { return .silent(line) }
            guard let text = reply.blob, let status = try? JSONReader.read(text.bytes) else {
                return .silent("another program answers at \(endpoint)")
            }
            return NodeView(status, of: name)
        } catch {
            return .silent(error.text)
        }
    }

    private static let probeWithin = Interval.milliseconds(500)
}

/// A node as far as it has come.
package enum NodeView: Hashable, Sendable {
    /// It doesn't answer, and why.
    case silent(String)
    /// The ring isn't there yet: for want of these nodes.
    case forming(waits: [String])
    /// It serves, holds these for up, knows whether they all have its ring, and that those were removed.
    case serving(up: Set<String>, isAgreed: Bool, removed: Set<String> = [])

    /// From MARTLET STATUS.
    package init(_ status: JSONValue, of name: String) {
        if let asked = status["asked"]?.text, asked != name {
            self = .silent("node \(asked) of cluster \(status["cluster"]?.text ?? "-") answers there")
            return
        }
        guard status["ring"]?.text == "formed" else {
            self = .forming(waits: (status["waits"]?.elements ?? []).compactMap(\.text))
            return
        }
        let nodes = status["nodes"]?.elements ?? []
        let up = nodes.filter { $0["liveness"]?.text == "up" }.compactMap { $0["name"]?.text }
        // A name is free again once who had it is gone.
        let present = nodes.filter { $0["state"]?.text != "removed" }.compactMap { $0["name"]?.text }
        let removed = Set(nodes.compactMap { $0["name"]?.text }).subtracting(present)
        self = .serving(
            up: Set(up), isAgreed: status["agreed"]?.boolean ?? false, removed: removed)
    }

    package var removed: Set<String> {
        if case .serving(_, _, let removed) = self { removed } else { [] }
    }

    package var isServing: Bool {
        if case .serving = self { true } else { false }
    }

    /// Whether all of these are up and of one mind, as far as this node knows.
    package func hasSettled(with names: Set<String>) -> Bool {
        if case .serving(let up, let isAgreed, _) = self { isAgreed && names.isSubset(of: up) } else { false }
    }

    package var text: String {
        switch self {
        case .silent(let reason): reason
        case .forming(let waits):
            "the ring is forming" + (waits.isEmpty ? "" : ", waits for \(waits.joined(separator: ", "))")
        case .serving: "serves"
        }
    }
}
