import MartletBase

/// All that defines one load.
package struct LoadPlan: Hashable, Sendable {
    package enum Limit: Hashable, Sendable {
        case duration(Interval)
        case requests(Int)
    }

    package struct Rate: Hashable, Sendable {
        /// Requests a second, all threads together.
        package var perSecond: Double
        package var isPoisson = false

        package init(perSecond: Double, isPoisson: Bool = false) {
            self.perSecond = perSecond
            self.isPoisson = isPoisson
        }
    }

    /// Where to; connections are spread over them in turn.
    package var targets: [Address]
    /// Each lane has a connection to every master that CLUSTER SLOTS of the first target names, and sends a
    /// request to the master of its key's slot.
    package var isCluster = false
    /// Clients that are simulated: each has one connection (with `isCluster` one a node), and up to
    /// `pipeline` requests in flight.
    package var connections = 64
    package var pipeline = 1
    package var threads = 1
    package var workload = Workload.mix(read: 0.5, .uniform)
    package var keyCount = 100_000
    package var keyBytes = 16
    package var valueBytes: ClosedRange<Int> = 100...100
    /// Sent on each connection before its first request: CONSISTENCY, SELECT.
    package var setup: [[String]] = []
    /// Each write is followed by WAIT for so many replicas, and counts as one operation with it.
    package var waitReplicas = 0
    /// An open loop; nil: a closed one.
    package var rate: Rate?
    package var limit = Limit.duration(.seconds(10))
    package var warmUp = Interval.zero
    /// A request without a reply for so long is an error, and its connection is made anew.
    package var timeout = Interval.seconds(10)
    package var seed: UInt64 = 1
    /// Every key was written before: a read that finds nothing is an error.
    package var isPreloaded = false
    /// Each request's time is kept by when it began (`LoadTimeline`), not only counted.
    package var keepsTimeline = false

    package init(targets: [Address]) { self.targets = targets }

    /// Writes every key once, as fast as the servers take it.
    package var preload: LoadPlan {
        var out = self
        out.workload = .preload
        out.limit = .requests(keyCount)
        out.rate = nil
        out.warmUp = .zero
        // Whatever is measured later, the data needs only to get there.
        out.connections = max(connections, 16)
        out.pipeline = waitReplicas > 0 ? 1 : 16
        return out
    }
}
