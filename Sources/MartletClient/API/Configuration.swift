extension MartletClient {
    /// How a client finds the cluster, and how it behaves.
    ///
    /// The defaults suit a service in the same data centre. Each setting says what raising and lowering it
    /// does.
    public struct Configuration: Hashable, Sendable {
        /// Where to begin: addresses of some nodes, as `address:port` or an address alone, which stands for
        /// port
        /// 7380. On 7380 the client learns which node owns what, and asks owners; on 7379 every request goes
        ///       to
        /// one of the seeds in turn. Addresses are literals, not names.
        public var seeds: [String]

        /// The keyspace, by name or index; nil for the first.
        public var keyspace: String?

        /// What `CLIENT LIST` shows for this client's connections; nil for nothing.
        public var clientName: String?

        /// The level of reads that name none; nil for the keyspace's.
        public var readLevel: ReadLevel?

        /// The level of writes that name none; nil for the keyspace's.
        public var writeLevel: WriteLevel?

        /// How long a call may take in all, further attempts included, when it doesn't say itself. Lower
        /// fails sooner; higher rides out more.
        public var callTime: Duration = .seconds(5)

        /// How long a connection may take to be made and greeted, and how long ``MartletClient/connect(to:)``
        /// waits for the first one.
        public var connectTime: Duration = .seconds(2)

        /// A connection that owes an answer and is silent for so long is given up. Keep it above the
        /// cluster's `requests.timeout` (2 s), within which a healthy node says something.
        public var silenceMax: Duration = .seconds(3)

        /// Connections with each node. More let slow answers hold up fewer others; each costs memory on both
        /// sides. From 1 to 64.
        public var connectionsPerNode = 2

        /// Requests that one connection has under way. More fill longer pipelines; from 1 to 65,536.
        public var inFlightPerConnection = 256

        /// Requests that wait for room in a node's connections, before other nodes are asked. From 1 on.
        public var waitingPerNode = 4_096

        /// Calls under way in all, each key of a batch being one; further ones are refused with
        /// ``MartletError/tooManyCalls(max:)``. From 1 to 1,000,000.
        public var callsMax = 16_384

        /// When and how often a call is tried again.
        public var retries = Retries()

        /// When a read asks a second node.
        public var speculation = Speculation.percentile(99)

        /// When a node that fails is left alone.
        public var circuitBreaker = CircuitBreaking()

        /// How often the client asks who owns what, besides after trouble. Give or take a quarter.
        public var topologyInterval: Duration = .seconds(30)

        /// A configuration with the defaults.
        public init(seeds: [String]) { self.seeds = seeds }
    }

    /// When and how often a call is tried again; only what is safe is, see <doc:VersionsAndRetries>.
    public struct Retries: Hashable, Sendable {
        /// Attempts of one call in all; 1 turns retries off.
        public var attemptsMax = 4

        /// The pause before the second attempt. It doubles with each further one; half of it is drawn at
        /// random.
        public var pauseMin: Duration = .milliseconds(10)

        /// The longest pause.
        public var pauseMax: Duration = .seconds(1)

        /// Further attempts, in hundredths of all calls: bounds what a failing cluster gets on top.
        public var budgetPercent = 20

        /// Further attempts a second beside these, so that a client with few calls may retry too.
        public var budgetPerSecond = 10

        /// What becomes of a write whose connection was lost after it was sent and before its version was
        /// known.
        public var lostWrites = LostWrites.fail

        /// The defaults.
        public init() {}
    }

    /// What becomes of a write whose connection was lost after it was sent, when it has no version yet.
    ///
    /// It may have happened or not. Sent again it would get a new version, above what others wrote meanwhile.
    public enum LostWrites: Hashable, Sendable {
        /// The call throws ``MartletError/connectionLost(_:)``, and the caller decides.
        case fail
        /// It is sent again: it happens at least once, and perhaps over another's later write.
        case sendAgain
    }

    /// When a read asks a second node, and takes the answer that comes first.
    public enum Speculation: Hashable, Sendable {
        /// Never.
        case off
        /// When it takes longer than so many in a hundred reads have taken lately: 50 to 99.
        case percentile(Int)
        /// After a fixed time.
        case after(Duration)
    }

    /// When a node that fails is left alone, and how it is tried again.
    public struct CircuitBreaking: Hashable, Sendable {
        /// Under so many successes in a hundred requests the node gets no more. 0 turns it off.
        public var successPercentMin = 95

        /// Fewer requests within the window say nothing.
        public var requestsMin = 20

        /// The time over which is counted.
        public var window: Duration = .seconds(10)

        /// How long the node is left alone before one request tries it. Doubles while that fails.
        public var pauseMin: Duration = .seconds(1)

        /// The longest such time.
        public var pauseMax: Duration = .seconds(30)

        /// The defaults.
        public init() {}
    }
}
