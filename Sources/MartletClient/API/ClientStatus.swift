import MartletBase

/// What a client knows of the nodes, and what it has done: for logs, metrics and curious people.
public struct ClientStatus: Hashable, Sendable {
    /// What is thought of a node that fails, see ``MartletClient/MartletClient/CircuitBreaking``.
    public enum Breaker: String, Hashable, Sendable {
        /// The node gets requests.
        case closed
        /// It gets none for a while.
        case open
        /// One request tries it.
        case halfOpen
    }

    /// One node.
    public struct Node: Hashable, Sendable {
        /// `address:port`.
        public let address: String
        /// Slots that are asked of this node first, of 16,384; nil where the nodes tell no topology.
        public let slots: Int?
        /// Whether a request could go out now.
        public let isConnected: Bool
        /// Connections, those that are being made included.
        public let connections: Int
        /// Requests that wait for an answer.
        public let inFlight: Int
        /// Requests that wait for room.
        public let waiting: Int
        /// What is thought of it.
        public let breaker: Breaker
        /// The time that 99 in a hundred of the latest requests didn't exceed; nil before the first.
        public let latency99: Duration?
        /// Why the last connection ended; nil while all is well.
        public let lastFailure: String?
    }

    /// By address.
    public let nodes: [Node]
    /// Whether the nodes tell who owns what, so that owners are asked.
    public let isTokenAware: Bool
    /// Calls under way.
    public let callsUnderWay: Int
    /// Calls since the client was made, its own questions included.
    public let calls: Int
    /// Further attempts since then.
    public let retries: Int
    /// Reads that asked a second node since then.
    public let speculations: Int
    /// Of these the ones where the first node won all the same.
    public let speculationsLost: Int
    /// Connections that were begun since then.
    public let connectionsMade: Int
    /// How often it was asked who owns what.
    public let refreshes: Int
    /// How often the answer was another than before.
    public let topologyChanges: Int
}

extension ClientCore {
    var status: ClientStatus {
        ClientStatus(
            nodes: links.map(node), isTokenAware: topology != nil, callsUnderWay: gates.calls.underWay,
            calls: Int(counters.calls), retries: Int(counters.retries),
            speculations: Int(counters.speculations), speculationsLost: Int(counters.speculationsLost),
            connectionsMade: Int(counters.connections), refreshes: Int(counters.refreshes),
            topologyChanges: Int(counters.topologyChanges))
    }

    private func node(_ link: NodeLink) -> ClientStatus.Node {
        let breaker: ClientStatus.Breaker =
            switch link.breaker.state {
            case .closed: .closed
            case .open: .open
            case .halfOpen: .halfOpen
            }
        return ClientStatus.Node(
            address: link.address.description, slots: topology.map { $0.slots(of: link.address).count },
            isConnected: link.isReady, connections: link.connections.count, inFlight: link.requestCount,
            waiting: link.waitingCount, breaker: breaker,
            latency99: link.latency.quantile(0.99).map { Duration($0) },
            lastFailure: link.lastFailure?.reason)
    }
}
