import MartletBase
import MartletRESP
import MartletRing

extension MartletClient {
    /// All keys of the keyspace, node by node, without holding them in memory.
    ///
    ///     for try await key in client.scan(matching: "session:*") { … }
    ///
    /// As with Redis's SCAN, a key that exists all the time is shown at least once and perhaps more often;
    /// one that comes or goes meanwhile may be shown or not. Nodes that fail meanwhile are waited for, or
    /// another node is asked for what was theirs.
    ///
    /// - Parameters:
    ///   - matching: a pattern with `*`, `?`, `[…]` and `\`; nil for all keys.
    ///   - pageSize: how many keys a node looks at for one answer. More means fewer and longer answers.
    public func scan(matching: Bytes? = nil, pageSize: Int = 500) -> KeyScan {
        KeyScan(client: self, matching: matching, pageSize: max(1, pageSize))
    }

    func topology(isFresh: Bool) async throws(MartletError) -> Topology? {
        try loop.gates.questions.enter()
        let topology = await withUnsafeContinuation { loop.send(.topology($0, isFresh: isFresh)) }
        loop.gates.takeOver()
        return topology
    }
}

/// The keys of a keyspace, see ``MartletClient/MartletClient/scan(matching:pageSize:)``.
public struct KeyScan: AsyncSequence, Sendable {
    let client: MartletClient
    let matching: Bytes?
    let pageSize: Int

    /// Begins a scan.
    public func makeAsyncIterator() -> Iterator { Iterator(self) }

    /// A scan under way.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        private enum State {
            case beginning
            /// One node answers for all.
            case ofOne(cursor: Bytes)
            case ofMany(Address, cursor: Bytes)
            case ended
        }

        private let scan: KeyScan
        private var state = State.beginning
        private var plan = ScanPlan()
        private var page: [Bytes] = []
        private var place = 0
        private var failures = 0

        /// Pages that fail in a row before the scan does.
        private static let failuresMax = 20
        private static let start: Bytes = "0"

        init(_ scan: KeyScan) { self.scan = scan }

        /// The next key; nil at the end.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(MartletError) -> Bytes? {
            while place == page.count {
                if case .ended = state { return nil }
                page = []
                place = 0
                do {
                    try await advance()
                    failures = 0
                } catch {
                    try await recover(error)
                }
            }
            place += 1
            return page[place - 1]
        }

        private mutating func advance() async throws(MartletError) {
            switch state {
            case .beginning:
                guard let topology = try await scan.client.topology(isFresh: false) else {
                    state = .ofOne(cursor: Self.start)
                    return
                }
                try beginNode(topology)
            case .ofOne(let cursor):
                let following = try await readPage(cursor, .anyNode) { _ in true }
                state = following == Self.start ? .ended : .ofOne(cursor: following)
            case .ofMany(let node, let cursor):
                let plan = plan
                let following = try await readPage(cursor, .node(node)) {
                    plan.shows(Slot(key: $0.array.span.bytes))
                }
                state = .ofMany(node, cursor: following)
                guard following == Self.start else { return }
                try await endNode()
            case .ended: return
            }
        }

        private mutating func endNode() async throws(MartletError) {
            guard let topology = try await scan.client.topology(isFresh: true) else {
                throw .unexpectedAnswer("the nodes tell no topology any more")
            }
            plan.finish(topology)
            try beginNode(topology)
        }

        private mutating func beginNode(_ topology: Topology) throws(MartletError) {
            switch plan.next(topology) {
            case .scan(let node): state = .ofMany(node, cursor: Self.start)
            case .done: state = .ended
            case .stuck: throw .noNode("some slots have no node that shows their keys")
            }
        }

        /// Waits a moment, and begins anew what has failed: with the nodes as they are then.
        private mutating func recover(_ error: MartletError) async throws(MartletError) {
            failures += 1
            switch error {
            case .noNode, .connectionLost, .deadlineExceeded, .loading, .stopping, .overloaded, .timeout,
                .unavailable:
                if failures <= Self.failuresMax { break }
                throw error
            default: throw error
            }
            do {
                try await Task.sleep(for: .milliseconds(50 * Swift.min(failures, 10)))
            } catch {
                throw .cancelled(.init(mayHaveHappened: false, version: nil, node: nil))
            }
            guard case .ofMany = state else { return }
            guard let topology = try await scan.client.topology(isFresh: true) else { throw error }
            plan.abandon()
            try beginNode(topology)
        }

        /// - Returns: the cursor of the page that follows.
        private mutating func readPage(
            _ cursor: Bytes, _ target: Command.Target, _ isShown: (Bytes) -> Bool
        ) async throws(MartletError) -> Bytes {
            var words: [Bytes] = ["SCAN", cursor]
            if let matching = scan.matching { words += ["MATCH", matching] }
            words += ["COUNT", Bytes(String(scan.pageSize))]
            let command = Command(.words(words), target, isRead: true)
            let reply = try await scan.client.call(command, within: nil)
            guard let parts = reply.elements, parts.count == 2, let following = parts[0].blob,
                let keys = parts[1].elements
            else { throw .unexpectedAnswer("no page of keys to SCAN") }
            for key in keys {
                guard let blob = key.blob else { throw .unexpectedAnswer("no page of keys to SCAN") }
                let key = Bytes(blob.bytes)
                if isShown(key) { page.append(key) }
            }
            return Bytes(following.bytes)
        }
    }
}
