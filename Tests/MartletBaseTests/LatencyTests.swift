import MartletBase
import Testing

@Suite struct LatencyTests {
    @Test func everyBucketEndsAtItsBoundAndTheNextBeginsBehindIt() {
        for bucket in 0..<(LatencyBuckets.count - 1) {
            let bound = LatencyBuckets.bound(of: bucket)
            #expect(LatencyBuckets.bucket(of: bound) == bucket)
            #expect(LatencyBuckets.bucket(of: .nanoseconds(bound.nanoseconds + 1)) == bucket + 1)
            #expect(bound < LatencyBuckets.bound(of: bucket + 1))
        }
        #expect(LatencyBuckets.bucket(of: .zero) == 0)
        #expect(LatencyBuckets.bucket(of: .hours(1)) == LatencyBuckets.count - 1)
        #expect(LatencyBuckets.bound(of: LatencyBuckets.count - 1) == .microseconds(1 << 26))
    }

    @Test func percentilesAreWithinAQuarterOfADoubling() {
        var histogram = LatencyHistogram()
        var window = LatencyWindow()
        #expect(histogram.percentile(0.5) == nil)
        for microseconds in 1...1_000 {
            histogram.add(.microseconds(Int64(microseconds)))
            window.add(.microseconds(Int64(microseconds)))
        }
        for (share, exact) in [(0.5, 501.0), (0.9, 901.0), (0.99, 991.0)] {
            for found in [histogram.percentile(share), window.percentile(share)] {
                let microseconds = Double(found?.microseconds ?? 0)
                #expect(microseconds >= exact && microseconds <= exact * 1.25, "\(share)")
            }
        }
        #expect(histogram.count == 1_000)
        #expect(histogram.sum == .microseconds(500_500))
    }

    @Test func samplesAreCumulative() {
        var histogram = LatencyHistogram()
        for microseconds in [5, 16, 17, 32, 1_000, 60_000_000] {
            histogram.add(.microseconds(Int64(microseconds)))
        }
        let samples = histogram.samples(labels: [.init("op", "read")])
        let buckets = samples.filter { $0.suffix == "_bucket" }
        #expect(buckets.map(\.value) == [2, 4, 4, 4, 4, 4] + [Double](repeating: 5, count: 15) + [6])
        #expect(buckets.allSatisfy { $0.labels.first?.value == "read" })
        #expect(buckets.last?.labels.last?.value == "+Inf")
        #expect(samples.last?.value == 6)
    }

    @Test func oldObservationsFade() {
        var window = LatencyWindow()
        for _ in 0..<5_000 { window.add(.milliseconds(100)) }
        for _ in 0..<20_000 { window.add(.milliseconds(1)) }
        #expect((window.percentile(0.9) ?? .zero) < .milliseconds(2))
    }

    @Test func whatIsNoLongerRecentIsForgottenWholly() {
        var recent = RecentLatencies()
        var now = Instant(nanoseconds: 1)
        for _ in 0..<99 { recent.add(.milliseconds(100), now: now) }
        #expect(recent.percentile(0.5) == nil)
        for _ in 0..<50_000 { recent.add(.milliseconds(100), now: now) }
        // Where there is little to count nothing is forgotten before there is something to put in its place.
        for second in 1...3 {
            now = Instant(nanoseconds: Int64(second) * 10_000_000_000)
            recent.add(.milliseconds(1), now: now)
        }
        #expect((recent.percentile(0.99) ?? .zero) >= .milliseconds(100))
        for _ in 0..<100 { recent.add(.milliseconds(1), now: now) }
        now = now + .seconds(10)
        recent.add(.milliseconds(1), now: now)
        #expect((recent.percentile(0.99) ?? .zero) < .milliseconds(2))
    }
}
