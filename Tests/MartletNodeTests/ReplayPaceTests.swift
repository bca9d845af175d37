import MartletBase
import MartletNode
import Testing

/// How fast hints go, over a model of a node: its requests are as fast as ever up to some rate of replay, and
/// slow above it.
@Suite struct ReplayPaceTests {
    private struct Model {
        var pace = ReplayPace()
        var now = Instant(nanoseconds: 1_000_000_000)
        let requestsPerSecond: Int
        /// Above so many bytes a second of replay one request in ten is slow.
        let capacity: Double
        var sent = 0
        var requests = 0
        var slow = 0

        init(requestsPerSecond: Int, capacity: Double) {
            self.requestsPerSecond = requestsPerSecond
            self.capacity = capacity
            for i in 0..<5_000 {
                pace.note(i % 200 == 0 ? .milliseconds(4) : .microseconds(800), now: now)
            }
            pace.setActive(true, now: now)
        }

        mutating func run(seconds: Int) {
            for _ in 0..<(200 * seconds) {
                now = now + .milliseconds(5)
                for _ in 0..<(requestsPerSecond / 200) {
                    requests += 1
                    let isSlow = pace.bytesPerSecond > capacity && requests % 10 == 0
                    if isSlow { slow += 1 }
                    pace.note(isSlow ? .milliseconds(30) : .microseconds(900), now: now)
                }
                while pace.take(1_000, now: now) { sent += 1_000 }
            }
        }
    }

    @Test func withoutRequestsItGoesAsFastAsItCan() {
        var model = Model(requestsPerSecond: 0, capacity: 0)
        model.run(seconds: 2)
        #expect(model.pace.bytesPerSecond == Double(ReplayPace.rateMax))
        #expect(!model.pace.isYielding)
    }

    /// What it has learnt of requests counts for nothing when there are none.
    @Test func whoHasYieldedRisesFastWhenRequestsEnd() {
        var pace = ReplayPace()
        var now = Instant(nanoseconds: 0)
        pace.setActive(true, now: now)
        for _ in 0..<200 { pace.note(.milliseconds(50), now: now) }
        now = now + .milliseconds(100)
        _ = pace.take(1, now: now)
        #expect(pace.isYielding)
        for _ in 0..<100 {
            now = now + .milliseconds(10)
            while pace.take(1 << 16, now: now) {}
        }
        #expect(pace.bytesPerSecond == Double(ReplayPace.rateMax))
    }

    @Test(arguments: [10e6, 20e6, 60e6])
    func itFindsWhatRequestsAllow(capacity: Double) {
        var model = Model(requestsPerSecond: 4_000, capacity: capacity)
        model.run(seconds: 5)
        model.sent = 0
        model.requests = 0
        model.slow = 0
        model.run(seconds: 60)
        let rate = Double(model.sent) / 60
        #expect(rate > 0.45 * capacity && rate < 1.1 * capacity, "\(rate) of \(capacity)")
        #expect(Double(model.slow) < 0.05 * Double(model.requests), "\(model.slow) of \(model.requests) slow")
    }

    @Test func itNeverStopsWhateverRequestsSuffer() {
        var model = Model(requestsPerSecond: 1_000, capacity: 0)
        model.run(seconds: 20)
        #expect(model.pace.bytesPerSecond == Double(ReplayPace.rateMin))
        #expect(model.pace.isYielding)
        model.sent = 0
        model.run(seconds: 10)
        #expect(model.sent >= 9 * ReplayPace.rateMin)
    }

    @Test func theOperatorsLimitHoldsWhateverRequestsAllow() {
        var pace = ReplayPace(bytesPerSecondMax: 1_000_000)
        var now = Instant(nanoseconds: 0)
        pace.setActive(true, now: now)
        var sent = 0
        for _ in 0..<1_000 {
            now = now + .milliseconds(10)
            while pace.take(1_000, now: now) { sent += 1_000 }
        }
        #expect(sent > 9_000_000 && sent < 10_500_000)
    }

    @Test func twoSlowRequestsAreNoticedBeforeAHundredHaveCome() {
        var pace = ReplayPace()
        let start = Instant(nanoseconds: 0)
        pace.setActive(true, now: start)
        for i in 0..<20 { pace.note(i < 2 ? .milliseconds(50) : .microseconds(500), now: start) }
        _ = pace.take(1, now: start + .milliseconds(100))
        #expect(pace.isYielding)
    }

    @Test func aLargeHintGoesWholeAndIsWaitedFor() {
        var pace = ReplayPace()
        let start = Instant(nanoseconds: 0)
        pace.setActive(true, now: start)
        let first = pace.take(16 << 20, now: start)
        #expect(first)
        let second = pace.take(1, now: start + .milliseconds(50))
        #expect(!second)
    }

    @Test func whatIsUsualIsNotLearntWhileHintsGo() {
        var pace = ReplayPace()
        var now = Instant(nanoseconds: 0)
        for _ in 0..<1_000 { pace.note(.milliseconds(1), now: now) }
        pace.setActive(true, now: now)
        for _ in 0..<50 {
            now = now + .milliseconds(100)
            for _ in 0..<200 { pace.note(.milliseconds(50), now: now) }
            _ = pace.take(1, now: now)
        }
        #expect(pace.bytesPerSecond == Double(ReplayPace.rateMin))
        pace.setActive(false, now: now)
        pace.setActive(true, now: now)
        for _ in 0..<200 { pace.note(.milliseconds(50), now: now) }
        _ = pace.take(1, now: now + .milliseconds(100))
        #expect(pace.isYielding)
    }
    /// A quiet time after a busy one: what was usual in the busy one isn't any more.
    @Test func aBusyTimeIsForgotten() {
        var pace = ReplayPace()
        var now = Instant(nanoseconds: 1_000_000_000)
        for _ in 0..<100_000 { pace.note(.milliseconds(20), now: now) }
        for _ in 0..<2_500 {
            now = now + .milliseconds(10)
            pace.note(.microseconds(500), now: now)
        }
        pace.setActive(true, now: now)
        for _ in 0..<200 { pace.note(.milliseconds(10), now: now) }
        _ = pace.take(1, now: now + .milliseconds(100))
        #expect(pace.isYielding)
    }

    @Test func afterAPauseItBeginsAnew() {
        var model = Model(requestsPerSecond: 0, capacity: 0)
        model.run(seconds: 2)
        // A short one, as between two hints, changes nothing.
        model.pace.setActive(false, now: model.now)
        model.pace.setActive(true, now: model.now + .milliseconds(500))
        #expect(model.pace.bytesPerSecond == Double(ReplayPace.rateMax))
        model.pace.setActive(false, now: model.now)
        model.pace.setActive(true, now: model.now + .seconds(1))
        #expect(model.pace.bytesPerSecond == Double(ReplayPace.rateMin))
    }
}
