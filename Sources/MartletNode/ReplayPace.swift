import MartletBase

/// How fast hints are replayed: as fast as the requests of this node's clients allow, and no constant.
///
/// *Quiet* is what the requests' 99th percentile was just before something was replayed. While something is,
/// the requests of each period are counted that took more than twice that. When more than one in a hundred
/// did, the rate is halved; else it rises: by a quarter until it was halved for the first time, then slowly
/// (additive increase, multiplicative decrease: Chiu and Jain, 1989). Without requests it doubles. What was
/// learnt is forgotten after a pause, because it may hold no more (as TCP's window: RFC 5681, 4.1). It
/// doesn't rise far above what is really moved, which something else may bound (as TCP's window: RFC 7661):
/// else it would have to be halved many times before that helped anybody. Exchanges go by the same pace,
/// those that a peer has begun as well: a node that joins has no requests, and those of the nodes that it
/// asks are in danger.
///
/// The rate never falls below a floor, so that hints are delivered and slots change hands under any load:
/// one at which requests hardly suffer more than at a third of it (docs/PERFORMANCE.md).
package struct ReplayPace {
    package static let rateMin = 6 << 20
    /// By which it rises in a second, once it was halved.
    package static let rateStep = 4 << 20
    /// Or by this part of it, when that is more.
    private static let ratePart = 4.0
    package static let rateMax = 512 << 20
    /// A decision is made after this time, once there are requests enough to tell, or after so long.
    static let periodMin = Interval.milliseconds(100)
    static let periodMax = Interval.seconds(1)
    static let requestsEnough = 100
    /// How fast it rises in a period, before it was halved: few requests have been seen by then, and what
    /// they suffer shows when they are over.
    private static let riseFirst = 1.25
    /// After so long without replay it begins anew.
    static let restAfter = Interval.seconds(1)
    /// A rate of which less is used doesn't rise.
    private static let usedShare = 0.5
    /// What may be sent at once after a pause, as a time at the present rate.
    static let burst = Interval.milliseconds(50)
    /// Latencies below this are good, whatever is usual: the percentile of a quiet node is a few hundred
    /// microseconds, and twice that is noise.
    static let limitMin = Interval.milliseconds(2)
    static let limitUnknown = Interval.milliseconds(20)

    /// Whatever requests say: `transfer_bytes_per_second_max`.
    let bytesPerSecondMax: Double
    package private(set) var isActive = false
    package private(set) var bytesPerSecond = Double(Self.rateMin)
    /// Whether requests were slow when the rate was last decided.
    package private(set) var isYielding = false
    private var hasYielded = false
    private var quiet = RecentLatencies()
    private var limit = Self.limitUnknown
    private var endedAt = Instant.zero
    private var periodBegan = Instant.zero
    private var requests = 0
    private var slow = 0
    private var moved = 0
    /// Bytes that may be sent, as of an instant. Below zero when a large hint was sent whole.
    private var credit = 0.0
    private var creditAt = Instant.zero

    /// - Parameter bytesPerSecondMax: zero: the most there is.
    package init(bytesPerSecondMax: Int = 0) {
        self.bytesPerSecondMax = Double(bytesPerSecondMax > 0 ? bytesPerSecondMax : Self.rateMax)
        bytesPerSecond = min(bytesPerSecond, self.bytesPerSecondMax)
    }

    /// What may be sent in one go.
    var burstBytes: Int { Int(bytesPerSecond * Self.burst.seconds) }

    /// Something is replayed from now on, or nothing any more.
    package mutating func setActive(_ active: Bool, now: Instant) {
        guard active != isActive else { return }
        isActive = active
        guard active else {
            endedAt = now
            return
        }
        if now - endedAt >= Self.restAfter { bytesPerSecond = Double(Self.rateMin) }
        limit = quiet.percentile(0.99).map { max($0 * 2, Self.limitMin) } ?? Self.limitUnknown
        bytesPerSecond = min(bytesPerSecond, bytesPerSecondMax)
        hasYielded = false
        isYielding = false
        creditAt = now
        credit = bytesPerSecond * Self.burst.seconds
        beginPeriod(now)
    }

    private mutating func beginPeriod(_ now: Instant) {
        periodBegan = now
        requests = 0
        slow = 0
        moved = 0
    }

    /// A request of a client was answered after this time.
    package mutating func note(_ latency: Interval, now: Instant) {
        guard isActive else { return quiet.add(latency, now: now) }
        requests += 1
        if latency > limit { slow += 1 }
    }

    /// Whether so many bytes may be sent now; takes them off if they may.
    package mutating func take(_ bytes: Int, now: Instant) -> Bool {
        decide(now)
        let elapsed = now - creditAt
        creditAt = now
        credit = min(credit + bytesPerSecond * elapsed.seconds, bytesPerSecond * Self.burst.seconds)
        guard credit > 0 else { return false }
        credit -= Double(bytes)
        moved += bytes
        return true
    }

    private mutating func decide(_ now: Instant) {
        let elapsed = now - periodBegan
        guard elapsed >= Self.periodMin else { return }
        isYielding = slow > max(1, requests / 100)
        // Two slow ones are too many, however many more are to come; one may be the first of them.
        guard isYielding || slow == 0 || requests >= Self.requestsEnough || elapsed >= Self.periodMax else {
            return
        }
        if isYielding {
            hasYielded = true
            bytesPerSecond = max(bytesPerSecond / 2, Double(Self.rateMin))
        } else if Double(moved) < bytesPerSecond * elapsed.seconds * Self.usedShare {
            // It isn't the rate that holds back what is moved.
        } else if requests == 0 {
            bytesPerSecond *= 2
        } else if hasYielded {
            bytesPerSecond += elapsed.seconds * max(Double(Self.rateStep), bytesPerSecond / Self.ratePart)
        } else {
            bytesPerSecond *= Self.riseFirst
        }
        bytesPerSecond = min(bytesPerSecond, bytesPerSecondMax)
        beginPeriod(now)
    }
}
