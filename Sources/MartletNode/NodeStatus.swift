import MartletBase
import MartletGossip
import MartletRing

/// What a node knows of its cluster, for `status`, the dashboard and tests. Nodes are sorted by name.
package struct NodeStatus: Sendable {
    package struct Member: Sendable {
        package var entry: RingEntry
        package var liveness: Liveness
        /// The share of slots of keyspace 0 that the node holds a copy of, in percent.
        package var ownsPercent: Double
        /// Their wall clock minus ours; nil until sampled.
        package var clockOffset: Interval?
        /// Whether this node's connection to it is usable; nil for itself.
        package var isLinked: Bool?
        /// Whether a request sent to it now may be answered: it isn't held dead, and its connection has not
        /// just broken.
        package var isReachable: Bool
        /// Smoothed time of a probe's ping and its ack; nil for itself, and until a probe was acknowledged.
        package var roundTrip: Interval?
        /// How long ago it last acknowledged a probe.
        package var acknowledgedBefore: Interval?
        /// Of the node itself, while it rebuilds.
        package var rebuild: RebuildProgress?
        /// Of the node itself: where its file says that it is, if the ring says otherwise.
        package var configured: (zone: String, dataCenter: String)?

        package init(
            entry: RingEntry, liveness: Liveness, ownsPercent: Double, clockOffset: Interval?,
            isLinked: Bool?, isReachable: Bool, roundTrip: Interval? = nil,
            acknowledgedBefore: Interval? = nil, rebuild: RebuildProgress? = nil,
            configured: (zone: String, dataCenter: String)? = nil
        ) {
            self.entry = entry
            self.liveness = liveness
            self.ownsPercent = ownsPercent
            self.clockOffset = clockOffset
            self.isLinked = isLinked
            self.isReachable = isReachable
            self.roundTrip = roundTrip
            self.acknowledgedBefore = acknowledgedBefore
            self.rebuild = rebuild
            self.configured = configured
        }
    }

    package var cluster: String
    package var asked: String
    package var isFormed: Bool
    /// The founding nodes not heard yet, while forming.
    package var waits: [String]
    package var ringDigest: UInt64
    /// Whether every member that is up showed the same ring digest when it was last heard.
    package var isAgreed: Bool
    package var members: [Member]
    /// Of each keyspace.
    package var purges: [PurgeStatus]
    /// Nil when no slot changes hands.
    package var handover: HandoverStatus?

    package init(
        cluster: String, asked: String, isFormed: Bool, waits: [String], ringDigest: UInt64, isAgreed: Bool,
        members: [Member], purges: [PurgeStatus] = [], handover: HandoverStatus? = nil
    ) {
        self.cluster = cluster
        self.asked = asked
        self.isFormed = isFormed
        self.waits = waits
        self.ringDigest = ringDigest
        self.isAgreed = isAgreed
        self.members = members
        self.purges = purges
        self.handover = handover
    }
}

/// How many versions puts have left under their keys.
package struct SiblingsHistogram: Sendable {
    package static let bounds = [1, 2, 4, 8, 16, 32, 64]
    /// Those at or below each bound that are above the one before, and last those above all.
    package private(set) var counts = [UInt64](repeating: 0, count: bounds.count + 1)
    package private(set) var sum: UInt64 = 0

    package init() {}

    mutating func add(_ versions: Int) {
        counts[Self.bounds.firstIndex { versions <= $0 } ?? Self.bounds.count] += 1
        sum += UInt64(versions)
    }
}

/// Counters and gauges of the core: monotonic unless said otherwise.
package struct NodeMetrics: Sendable {
    package var reads: UInt64 = 0
    package var writes: UInt64 = 0
    package var scans: UInt64 = 0
    package var readsUnavailable: UInt64 = 0
    package var writesUnavailable: UInt64 = 0
    package var scansUnavailable: UInt64 = 0
    package var readsTimedOut: UInt64 = 0
    package var writesTimedOut: UInt64 = 0
    package var scansTimedOut: UInt64 = 0
    package var overloaded: UInt64 = 0
    package var skewRefused: UInt64 = 0
    package var loadingRefused: UInt64 = 0
    /// `martlet_lww_contended_total`: puts that a replica answered with `dominated`.
    package var contended: UInt64 = 0
    /// Puts in keyspaces with siblings: those that left as many versions as `siblings_warn`, and those
    /// refused for their number or bytes; and how many versions they left.
    package var siblingsWarned: UInt64 = 0
    package var siblingsRefused: UInt64 = 0
    package var siblings = SiblingsHistogram()
    package var digestMismatches: UInt64 = 0
    package var readRepairs: UInt64 = 0
    package var speculativeReads: UInt64 = 0
    /// Parts of scans for which another replica was asked because one was silent.
    package var speculativeScans: UInt64 = 0
    package var placementRetries: UInt64 = 0
    package var replicaMerges: UInt64 = 0
    package var replicaReads: UInt64 = 0
    package var replicaScans: UInt64 = 0
    /// Keys in doubt that scans had read, because replicas differed.
    package var scanReads: UInt64 = 0
    package var replicaRefusals: UInt64 = 0
    /// Hints made durable here, and of these those for which this node stood in.
    package var hintsKept: UInt64 = 0
    package var hintsKeptForOthers: UInt64 = 0
    package var hintsDelivered: UInt64 = 0
    /// Hints that became hints for the present owners.
    package var hintsMoved: UInt64 = 0
    /// Not kept, or not any longer: over a cap, too old, or refused by the storage.
    package var hintsDropped: UInt64 = 0
    /// Unreadable, or refused as invalid by their target; deleted.
    package var hintsCorrupt: UInt64 = 0
    /// Met in a keyspace that nobody owns.
    package var hintsUnowned: UInt64 = 0
    /// Writes that count because another node stood in for an owner.
    package var standIns: UInt64 = 0
    /// Truncations of keyspaces that came here, and merges that they hid and that were discarded.
    package var truncations: UInt64 = 0
    package var mergesTruncated: UInt64 = 0
    /// Puts that were stamped at or below what is closed, and had to be stamped anew.
    package var putsBelowFloor: UInt64 = 0
    /// Versions at or below the purge floor that came late and changed nothing.
    package var versionsBelowFloor: UInt64 = 0
    /// Times that this node has raised the purge floor of some slots.
    package var floorsRaised: UInt64 = 0
    /// Slots that this node held and doesn't own any more.
    package var slotsErased: UInt64 = 0
    /// Records that sweeps have deleted: truncated, or purged.
    package var recordsSwept: UInt64 = 0
    /// Exchanges with other owners that this node has begun; those that are complete, and of these those that
    /// found nothing.
    package var exchangesBegun: UInt64 = 0
    package var exchangesComplete: UInt64 = 0
    package var exchangesEqual: UInt64 = 0
    package var exchangesFailed: UInt64 = 0
    package var exchangeLeavesDiffering: UInt64 = 0
    /// Records that exchanges have moved, whoever began them, and their bytes.
    package var exchangeRecordsSent: UInt64 = 0
    package var exchangeRecordsReceived: UInt64 = 0
    package var exchangeBytesSent: UInt64 = 0
    package var exchangeBytesReceived: UInt64 = 0
    /// Leaves summed up anew, and records passed for it.
    package var rescanLeaves: UInt64 = 0
    package var rescanRecords: UInt64 = 0
    /// Gauges: leaves that were written since, and exchanges under way.
    package var leavesDirty: Int = 0
    /// At the start, known from the last run.
    package var leavesRecovered: UInt64 = 0
    package var exchangesRunning: Int = 0
    package var badPeerBytes: UInt64 = 0
    package var gossipRefused: UInt64 = 0
    package var clockPoisonIgnored: UInt64 = 0
    /// Gauges: what is kept for others, and the leaves of hints that were dropped.
    package var hints: Int = 0
    package var hintBytes: Int = 0
    package var hintTargets: Int = 0
    package var hintLeavesDirty: Int = 0
    /// Gauge: what replay may send a second; zero while nothing is replayed.
    package var hintBytesPerSecond: Double = 0
    /// Gauge: puts that are answered and wait for their last replicas.
    package var answeredPuts: Int = 0
    /// Gauge: requests of clients that are under way.
    package var inFlight: Int = 0
    /// Gauge: merges not durable yet.
    package var unsyncedMerges: Int = 0
    /// Since the start: how often it became an owner again after its disk had lost something.
    package var rebuilds: UInt64 = 0
    /// Gauges: exchanges that are needed for that, and of these those that are over.
    package var rebuildParts: Int = 0
    package var rebuildPartsDone: Int = 0
    /// Changes of the ring that are wanted; what the one in hand needs of this node, and has got (gauges).
    package var ringChanges: Int = 0
    package var handoverParts: Int = 0
    package var handoverPartsDone: Int = 0
    package var handoverBytes: Int = 0
    /// Gauge: stamps remembered for `dominated` answers.
    package var rememberedStamps: Int = 0

    package init() {}
}
