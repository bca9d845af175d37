import MartletBase
import MartletNode
import MartletRing

/// What the Redis protocol needs of a node: the only way in which a session reaches the store.
/// `RuntimeBackend` is the real one; tests have their own.
package protocol RedisBackend: AnyObject {
    /// Both clocks, as of this turn of the loop.
    var now: Now { get }

    /// Takes a request of a client. Answered exactly once, by `RedisServer.complete` with the same ticket,
    /// perhaps before this returns.
    func submit(_ ticket: ClientTicket, _ request: consuming ClientRequest)

    /// In the order of SELECT's indexes. At least one.
    var keyspaces: [KeyspaceDefinition] { get }
    func status() -> NodeStatus
    /// Whether the ring or anybody's liveness has changed since it was last asked.
    var topologyStamp: TopologyStamp { get }
    /// Nil while the ring forms.
    func placement(keyspace: UInt32) -> Placement?
    /// Of this node alone: what others hold they say themselves.
    func usage() -> NodeUsage
    func nodeMetrics() -> NodeMetrics
    /// What this node keeps for others.
    func hintStatus() -> HintStatus
    func repairStatus() -> RepairStatus
    /// Has the node exchange with the owners of some slots; how many, nil when there is no such keyspace.
    func repair(keyspace: UInt32, slots: ClosedRange<UInt16>, inTurns: Bool) -> Int?
    /// What the runtime has to show beside the node's own metrics: storage, connections of peers, the loop.
    func runtimeMetrics() -> [MetricFamily]
}

/// What a node takes, as it knows by itself.
package struct NodeUsage: Hashable, Sendable {
    /// On disk; nil when that is not known.
    package var storedBytes: Int?
    package var hintBytes: Int?
    package var uptime: Interval
    /// In memory, by the process; nil when that is not known.
    package var residentBytes: Int?

    package init(
        storedBytes: Int? = nil, hintBytes: Int? = nil, uptime: Interval, residentBytes: Int? = nil
    ) {
        self.storedBytes = storedBytes
        self.hintBytes = hintBytes
        self.uptime = uptime
        self.residentBytes = residentBytes
    }
}

/// How CONFIG reads and changes the level of the log.
package struct LogLevelSetting {
    package var get: () -> String
    package var set: (String) -> Void

    package init(get: @escaping () -> String, set: @escaping (String) -> Void) {
        self.get = get
        self.set = set
    }
}

/// What a node's Redis face is told when it is made.
package struct RedisSettings: Sendable {
    package var nodeID: NodeID
    package var nodeName: String
    /// Martlet's own version.
    package var version: String
    /// Where clients reach it, and the port where it looks like a Redis Cluster; 0 for none.
    package var address: Address
    package var clusterPort: UInt16 = 0

    /// Longer keys and values answer TOOLARGE. Units: bytes.
    package var keyBytesMax: Int
    package var valueBytesMax: Int
    /// Further connections are refused.
    package var clientsMax: Int
    /// A client that leaves more than this unread is cut off. Raising it lets slow readers live longer, for
    /// memory.
    package var clientOutputMax: Int
    package var clockSkewMax: Interval
    /// Whether an acknowledged write was synced (`durability: batch`): shown as Redis's `appendfsync`.
    package var syncsBeforeReply: Bool
    /// The node's settings as cluster.yaml names them, for CONFIG GET.
    package var configuration: [ConfigurationValue]
    /// Of RANDOMKEY's choices.
    package var randomSeed: UInt64

    func port(of face: RedisFace) -> UInt16 { face == .single ? address.port : clusterPort }

    package struct ConfigurationValue: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package init(
        nodeID: NodeID, nodeName: String, version: String, address: Address,
        keyBytesMax: Int = 64 << 10, valueBytesMax: Int = 16 << 20, clientsMax: Int = 10_000,
        clientOutputMax: Int = 64 << 20, clockSkewMax: Interval = .milliseconds(500),
        syncsBeforeReply: Bool = true, configuration: [ConfigurationValue] = [], randomSeed: UInt64 = 0
    ) {
        self.nodeID = nodeID
        self.nodeName = nodeName
        self.version = version
        self.address = address
        self.keyBytesMax = keyBytesMax
        self.valueBytesMax = valueBytesMax
        self.clientsMax = clientsMax
        self.clientOutputMax = clientOutputMax
        self.clockSkewMax = clockSkewMax
        self.syncsBeforeReply = syncsBeforeReply
        self.configuration = configuration
        self.randomSeed = randomSeed
    }
}
