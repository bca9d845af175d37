import MartletBase

/// Decides whether this node's wall clock is good enough to stamp fresh puts.
///
/// It is, while it lies within half of `clock_skew_max` of the median of the clocks that it has fresh samples
/// of, its own among them; so two nodes that both stamp are within `clock_skew_max` of each other. A node
/// that is cut off has no samples: it goes on while its wall clock has kept pace with its monotonic one since
/// it was last judged good against others (or since it started), so a minority still takes the writes that
/// its level allows.
///
/// Clocks are compared as differences to our own monotonic clock. So a jump of our wall clock shows at the
/// very next put, before any new sample comes in, and it heals as soon as the clock does.
struct SkewJudge {
    private struct Sample {
        var peer: PeerIndex
        /// The peer's wall clock minus our monotonic one, in microseconds.
        var difference: Int64
        var at: Instant
    }

    /// A sample older than this says nothing any more: clocks drift, and a peer's may have been set.
    static let freshFor = Interval.seconds(15)

    private let max: Interval
    /// In the order of their differences.
    private var samples: [Sample] = []
    /// Our own difference when it was last good against others.
    private var goodDifference: Int64
    /// Whether the ring has no other node. Then there is nobody to differ from: the hybrid clock alone keeps
    /// our stamps in order, and a wall clock that was set right must not look like one that went wrong, for
    /// ever.
    var isAlone = false
    private var wasSampled = false
    private let started: Instant

    /// How long a node that has just started waits for the first sample. Without one by then it is cut off.
    static let firstSampleWithin = Interval.seconds(3)

    init(max: Interval, now: Now) {
        self.max = max
        goodDifference = Self.difference(now)
        started = now.monotonic
    }

    /// Whether the clock was compared with others', or will hardly be.
    func isJudged(_ now: Now) -> Bool { wasSampled || now.monotonic - started > Self.firstSampleWithin }

    private static func difference(_ now: Now) -> Int64 {
        now.wall.microseconds - now.monotonic.nanoseconds / 1_000
    }

    /// - Parameter offset: the peer's wall clock minus ours, now.
    mutating func sample(_ peer: PeerIndex, offset: Interval, now: Now) {
        wasSampled = true
        samples.removeAll { $0.peer == peer || now.monotonic - $0.at > Self.freshFor }
        let own = Self.difference(now)
        samples.append(Sample(peer: peer, difference: own + offset.microseconds, at: now.monotonic))
        samples.sort { ($0.difference, $0.peer) < ($1.difference, $1.peer) }
        if isGood(now) { goodDifference = own }
    }

    /// How far our wall clock is ahead of the median; negative when it is behind.
    func ahead(_ now: Now) -> Interval {
        let own = Self.difference(now)
        var fresh = 0
        for sample in samples where isFresh(sample, now) { fresh += 1 }
        guard fresh > 0 else { return .microseconds(own - goodDifference) }
        let middle = (fresh + 1) / 2
        let upper = clock(middle, own, now)
        // Of an even number of clocks, the mean of the two in the middle.
        let median = fresh.isMultiple(of: 2) ? upper : (clock(middle - 1, own, now) + upper) / 2
        return .microseconds(own - median)
    }

    private func isFresh(_ sample: Sample, _ now: Now) -> Bool { now.monotonic - sample.at <= Self.freshFor }

    /// The clock that has this place among the fresh ones and ours, in their order. No allocation: each put
    /// asks.
    private func clock(_ place: Int, _ own: Int64, _ now: Now) -> Int64 {
        var position = 0
        var isOwnPassed = false
        for sample in samples where isFresh(sample, now) {
            if !isOwnPassed, own <= sample.difference {
                if position == place { return own }
                position += 1
                isOwnPassed = true
            }
            if position == place { return sample.difference }
            position += 1
        }
        return own
    }

    func isGood(_ now: Now) -> Bool { isAlone || ahead(now).magnitude <= max / 2 }

    /// The peer's wall clock minus ours, as last sampled.
    func offset(of peer: PeerIndex, now: Now) -> Interval? {
        guard let sample = samples.first(where: { $0.peer == peer }) else { return nil }
        return .microseconds(sample.difference - Self.difference(now))
    }
}
