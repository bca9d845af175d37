import MartletBase
import MartletClient
import MartletRESP
import MartletRing
import Testing

/// The small pure parts, each alone, with the time passed in.
@Suite struct ValueTests {
    private func at(_ milliseconds: Int64) -> Instant { .zero + .milliseconds(milliseconds) }

    // MARK: Backoff

    @Test func pausesDoubleUpToTheirLimitAndHalfOfThemIsDrawn() {
        let backoff = Backoff(pauseMin: .milliseconds(10), pauseMax: .milliseconds(100))
        var random = Random(seed: 1)
        for (failures, ceiling) in [(0, 10), (1, 10), (2, 20), (3, 40), (4, 80), (5, 100), (99, 100)] {
            var seen = Set<Interval>()
            for _ in 0..<100 {
                let pause = backoff.pause(afterFailures: failures, &random)
                #expect(pause <= .milliseconds(Int64(ceiling)) && pause >= .milliseconds(Int64(ceiling)) / 2)
                seen.insert(pause)
            }
            #expect(seen.count > 50)
        }
        let endless = Backoff(pauseMin: .hours(1_000_000), pauseMax: .hours(2_000_000))
        #expect(endless.pause(afterFailures: 60, &random) <= .hours(2_000_000))
    }

    // MARK: Retry budget

    @Test func aBudgetGivesAShareOfTheCallsAndSomeByTime() {
        var budget = RetryBudget(share: 0.1, tokensPerSecond: 0, now: .zero)
        var granted = 0
        while budget.withdraw(now: .zero) { granted += 1 }
        #expect(granted == 10)
        for _ in 0..<100 { budget.deposit() }
        while budget.withdraw(now: at(1_000_000)) { granted += 1 }
        #expect(granted == 20)
        var timed = RetryBudget(share: 0, tokensPerSecond: 10, seconds: 1, now: .zero)
        // When, and whether one is granted then. A time that goes back gives nothing.
        let steps: [(Int64, Bool)] =
            Array(repeating: (0, true), count: 10) + [
                (0, false), (99, false), (200, true), (150, true), (150, false),
            ]
        for (time, expected) in steps {
            let isGranted = timed.withdraw(now: at(time))
            #expect(isGranted == expected, "at \(time) ms")
        }
        var full = 0
        while timed.withdraw(now: at(3_600_000)) { full += 1 }
        #expect(full == 10)
        var none = RetryBudget(share: 0, tokensPerSecond: 0, now: .zero)
        let isGranted = none.withdraw(now: at(1_000))
        #expect(!isGranted)
    }

    // MARK: Circuit breaker

    @Test func aBreakerOpensUnderItsShareOfSuccesses() {
        var breaker = CircuitBreaker()
        for _ in 0..<19 { breaker.record(isSuccess: false, now: .zero) }
        #expect(breaker.state == .closed, "too few requests say nothing")
        breaker.record(isSuccess: false, now: .zero)
        #expect(breaker.state == .open(until: at(1_000)))
        // 95 of 100 is enough.
        var enough = CircuitBreaker()
        for _ in 0..<95 { enough.record(isSuccess: true, now: .zero) }
        for _ in 0..<5 { enough.record(isSuccess: false, now: .zero) }
        #expect(enough.state == .closed)
        enough.record(isSuccess: false, now: .zero)
        #expect(enough.state != .closed)
    }

    @Test func failuresThatAreOldAreForgotten() {
        var breaker = CircuitBreaker()
        for _ in 0..<19 { breaker.record(isSuccess: false, now: .zero) }
        for _ in 0..<10 { breaker.record(isSuccess: false, now: at(11_000)) }
        #expect(breaker.state == .closed)
        for _ in 0..<9 { breaker.record(isSuccess: false, now: at(20_000)) }
        #expect(breaker.state == .closed)
        breaker.record(isSuccess: false, now: at(20_000))
        #expect(breaker.state == .open(until: at(21_000)))
    }

    @Test func oneProbeClosesAnOpenBreakerOrKeepsItOpenForLonger() {
        var breaker = CircuitBreaker()
        for _ in 0..<20 { breaker.record(isSuccess: false, now: .zero) }
        #expect(!breaker.wouldAdmit(now: at(999)))
        let early = breaker.admit(now: at(999))
        #expect(!early)
        let first = breaker.admit(now: at(1_000))
        #expect(first)
        let second = breaker.admit(now: at(1_001))
        #expect(!second && !breaker.wouldAdmit(now: at(1_001)), "only one probe")
        // What went out before the breaker opened proves nothing.
        breaker.record(isSuccess: true, isProbe: false, now: at(1_002))
        #expect(breaker.state != .closed)
        breaker.record(isSuccess: false, isProbe: true, now: at(1_003))
        #expect(breaker.state == .open(until: at(3_003)))
        // A probe whose outcome never comes isn't waited for for ever.
        let third = breaker.admit(now: at(3_003))
        let fourth = breaker.admit(now: at(5_003))
        #expect(third && fourth)
        breaker.record(isSuccess: true, isProbe: true, now: at(5_010))
        #expect(breaker.state == .closed)
        for _ in 0..<20 { breaker.record(isSuccess: false, now: at(6_000)) }
        #expect(breaker.state == .open(until: at(7_000)), "the pause begins anew")
    }

    @Test func aBreakersPauseHasALimit() {
        var breaker = CircuitBreaker()
        for _ in 0..<20 { breaker.record(isSuccess: false, now: .zero) }
        var now = Instant.zero
        for _ in 0..<40 {
            guard case .open(let until) = breaker.state else { break }
            #expect(until - now <= .seconds(30))
            now = until
            _ = breaker.admit(now: now)
            breaker.record(isSuccess: false, isProbe: true, now: now)
        }
    }

    // MARK: Latency

    @Test func aQuantileIsAtMostAQuarterTooHigh() throws {
        var tracker = LatencyTracker()
        let nothing = tracker.quantile(0.99)
        #expect(nothing == nil)
        for milliseconds in 1...1_000 { tracker.record(.milliseconds(Int64(milliseconds))) }
        for (share, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let quantile = tracker.quantile(share)
            let value = try #require(quantile).seconds * 1_000
            #expect(value >= expected * 0.99 && value <= expected * 1.26, "\(share)")
        }
        for extreme in [Interval.zero, .nanoseconds(-5), .hours(100)] { tracker.record(extreme) }
        #expect(tracker.samples == 1_003)
    }

    @Test func aQuantileFollowsWhatIsNew() throws {
        var tracker = LatencyTracker()
        for _ in 0..<4_000 { tracker.record(.milliseconds(1)) }
        for _ in 0..<8_000 { tracker.record(.milliseconds(100)) }
        #expect(tracker.samples < LatencyTracker.samplesMax)
        let median = tracker.quantile(0.5)
        #expect(try #require(median) >= .milliseconds(100))
    }

    // MARK: Topology

    private func row(_ first: Int64, _ last: Int64, _ ip: RESPValue, _ port: Int64 = 7_380) -> RESPValue {
        .array([.integer(first), .integer(last), .array([ip, .integer(port), .bulkString(Blob("id"))])])
    }

    private func text(_ text: String) -> RESPValue { .bulkString(Blob(text)) }
    private let asked = Address(ip: IPAddress(v4: 10, 0, 0, 9), port: 7_380)

    @Test func aTopologySaysWhoIsAskedForASlot() throws {
        let reply = RESPValue.array([
            row(0, 5_460, text("10.0.0.2")), row(5_461, 10_922, text("10.0.0.1")),
            row(10_923, 16_000, .null), row(16_002, 16_383, text("::1"), 1),
        ])
        let topology = try Topology(clusterSlots: reply, asked: asked)
        #expect(
            topology.nodes.map(\.description) == [
                "[::1]:1", "10.0.0.1:7380", "10.0.0.2:7380", "10.0.0.9:7380",
            ])
        #expect(topology.node(of: Slot(0))?.description == "10.0.0.2:7380")
        #expect(topology.node(of: Slot(5_461))?.description == "10.0.0.1:7380")
        #expect(topology.node(of: Slot(16_000)) == asked)
        #expect(topology.node(of: Slot(16_001)) == nil)
        #expect(topology.slots(of: asked).count == 16_000 - 10_923 + 1)
        #expect(topology == (try Topology(clusterSlots: reply, asked: asked)))
    }

    @Test func aTopologyThatMakesNoSenseIsRefused() {
        let good = text("10.0.0.1")
        let bad: [RESPValue] = [
            .null, .integer(1), .array([]), .array([.integer(1)]), .array([.array([])]),
            .array([row(-1, 5, good)]), .array([row(5, 4, good)]), .array([row(0, 16_384, good)]),
            .array([row(0, 1, good, 0)]), .array([row(0, 1, good, 65_536)]),
            .array([row(0, 1, text("host"))]),
            .array([row(0, 1, .integer(4))]), .array([.array([.integer(0), .integer(1), .array([])])]),
        ]
        for reply in bad {
            #expect(throws: WireError.self, "\(reply)") { try Topology(clusterSlots: reply, asked: asked) }
        }
    }

    // MARK: Refreshes

    @Test func refreshesComeAtAnIntervalAndSoonAfterTrouble() throws {
        var random = Random(seed: 2)
        var schedule = RefreshSchedule(interval: .seconds(30), now: .zero)
        #expect(schedule.dueAt == .zero)
        schedule.begin()
        #expect(schedule.isUnderWay && schedule.dueAt == nil)
        schedule.notice(now: .zero)
        #expect(schedule.dueAt == nil, "one at a time")
        schedule.end(now: at(20_000), isSuccess: true, &random)
        let quiet = try #require(schedule.dueAt) - at(20_000)
        #expect(quiet <= .seconds(30) && quiet >= .milliseconds(22_500))
        // Trouble brings it forward, but not to more than ten a second.
        schedule.notice(now: at(20_010))
        #expect(schedule.dueAt == at(20_100))
        schedule.begin()
        schedule.end(now: at(20_150), isSuccess: true, &random)
        let troubled = try #require(schedule.dueAt) - at(20_150)
        #expect(troubled <= .seconds(1) && troubled >= .milliseconds(750))
        schedule.begin()
        schedule.end(now: at(40_000), isSuccess: false, &random)
        #expect(try #require(schedule.dueAt) <= at(41_000))
    }

    // MARK: Scans

    private func topology(_ parts: [(ClosedRange<Int64>, UInt8)]) throws -> Topology {
        let rows = parts.map { row($0.0.lowerBound, $0.0.upperBound, text("10.0.0.\($0.1)")) }
        return try Topology(clusterSlots: .array(rows), asked: asked)
    }

    private func check(_ plan: inout ScanPlan, _ topology: Topology, _ expected: ScanPlan.Step) {
        let step = plan.next(topology)
        #expect(step == expected)
    }

    @Test func aScanPlanEndsWhenEverySlotWasScannedAtOneNode() throws {
        let before = try topology([(0...9_999, 1), (10_000...16_383, 2)])
        let after = try topology([(0...4_999, 1), (5_000...16_383, 2)])
        var plan = ScanPlan()
        check(&plan, before, .scan(before.nodes[0]))
        // While the first node was scanned half of its slots moved: only the others are done.
        plan.finish(after)
        #expect(plan.left.count == 16_384 - 5_000)
        #expect(!plan.shows(Slot(4_999)) && plan.shows(Slot(5_000)))
        check(&plan, after, .scan(after.nodes[1]))
        plan.abandon()
        check(&plan, after, .scan(after.nodes[1]))
        plan.finish(after)
        check(&plan, after, .done)
    }

    @Test func aScanPlanThatCanNotEndSaysSo() throws {
        let gap = try topology([(0...16_382, 1)])
        var plan = ScanPlan(scansMax: 2)
        _ = plan.next(gap)
        plan.finish(gap)
        check(&plan, gap, .stuck)
        var hasty = ScanPlan(scansMax: 1)
        _ = hasty.next(gap)
        hasty.abandon()
        check(&hasty, gap, .stuck)
    }

    // MARK: The wake queue

    private final class Sleeper: Wakeable {
        var wakeAt = Instant.distantFuture
        var place: Int?
    }

    @Test func theWakeQueueGivesTheSoonestWhateverIsMovedAndRemoved() {
        var random = Random(seed: 3)
        var queue = WakeQueue<Sleeper>()
        var sleepers: [Sleeper] = []
        for _ in 0..<5_000 {
            switch random.below(4) {
            case 0, 1:
                sleepers.append(Sleeper())
                queue.set(sleepers[sleepers.count - 1], at: at(Int64(random.below(1_000))))
            case 2 where !sleepers.isEmpty:
                queue.set(sleepers[random.below(sleepers.count)], at: at(Int64(random.below(1_000))))
            case 3 where !sleepers.isEmpty:
                queue.remove(sleepers.remove(at: random.below(sleepers.count)))
            default: break
            }
            #expect(queue.count == sleepers.count)
            #expect(queue.first?.wakeAt == sleepers.map(\.wakeAt).min())
        }
    }
}
