import MartletBase
import Testing
import martlet_bench

@Suite struct WorkloadTests {
    @Test func uniformKeysAreEquallyLikely() {
        var random = Random(seed: 1)
        var chooser = KeyChooser(.uniform, count: 100)
        var counts = [Int](repeating: 0, count: 100)
        for _ in 0..<100_000 { counts[chooser.draw(&random)] += 1 }
        // A thousand each; five standard deviations are 160.
        #expect(counts.allSatisfy { 840...1_160 ~= $0 })
    }

    @Test(arguments: [0.5, 0.99]) func zipfRanksFollowTheLaw(theta: Double) {
        var random = Random(seed: 2)
        let zipf = Zipf(count: 1_000, theta: theta)
        var counts = [Int](repeating: 0, count: 1_000)
        let draws = 1_000_000
        for _ in 0..<draws { counts[zipf.draw(&random)] += 1 }
        // Gray's method is exact for the first two ranks, and within a few percent over ranges of others.
        for rank in 0..<2 {
            let expected = zipf.probability(of: rank) * Double(draws)
            #expect(abs(Double(counts[rank]) - expected) < 5 * expected.squareRoot(), "rank \(rank)")
        }
        for range in [2..<10, 10..<100, 100..<1_000] {
            let expected = range.reduce(0) { $0 + zipf.probability(of: $1) } * Double(draws)
            let found = Double(counts[range].reduce(0, +))
            #expect(abs(found / expected - 1) < 0.12, "ranks \(range): \(found), \(expected)")
        }
        let all = (0..<1_000).reduce(0) { $0 + zipf.probability(of: $1) }
        #expect(abs(all - 1) < 1e-9)
    }

    @Test func zipfGrowsToWhatItWouldHaveBeen() {
        var grown = Zipf(count: 10, theta: 0.99)
        grown.grow(to: 500)
        let made = Zipf(count: 500, theta: 0.99)
        for rank in [0, 9, 10, 499] {
            #expect(abs(grown.probability(of: rank) - made.probability(of: rank)) < 1e-12)
        }
    }

    @Test func scrambledZipfHasYCSBsHottestKeyAndSpreadsTheRest() {
        var random = Random(seed: 3)
        var chooser = KeyChooser(.zipf(theta: 0.99), count: 10_000)
        var counts = [Int](repeating: 0, count: 10_000)
        for _ in 0..<500_000 { counts[chooser.draw(&random)] += 1 }
        let hottest = Int(KeyChooser.hash(0) % 10_000)
        #expect(counts[hottest] == counts.max())
        // 1 / 26.469, and what else falls on the same key.
        #expect(0.0370...0.0395 ~= Double(counts[hottest]) / 500_000)
        let halves = (counts[..<5_000].reduce(0, +), counts[5_000...].reduce(0, +))
        #expect(0.8...1.25 ~= Double(halves.0) / Double(halves.1))
    }

    @Test func theHashIsFNV() {
        // FNV-1a of eight zero bytes.
        #expect(KeyChooser.hash(0) == 0xA8C7_F832_281A_39C5)
        #expect(KeyChooser.hash(1) != KeyChooser.hash(256))
    }

    @Test func latestPrefersTheNewest() {
        var random = Random(seed: 4)
        var chooser = KeyChooser(.latest(theta: 0.99), count: 1_000)
        var newest = 0
        for _ in 0..<10_000 where chooser.draw(&random) == 999 { newest += 1 }
        #expect(1_000...1_700 ~= newest)
        chooser.grow(to: 2_000)
        var counts = [Int](repeating: 0, count: 2_000)
        for _ in 0..<10_000 { counts[chooser.draw(&random)] += 1 }
        #expect(counts.max() == counts[1_999])
        #expect(counts[1_000...].reduce(0, +) > 8_000)
    }

    @Test func aSequenceGivesEveryKeyOnce() {
        var seen: [Int] = []
        for part in 0..<3 {
            var source = OperationSource(.preload, keyCount: 100, seed: 1, part: part, of: 3)
            let share = 100 / 3 + (part < 100 % 3 ? 1 : 0)
            for _ in 0..<share { seen.append(source.next().key) }
        }
        #expect(seen.sorted() == Array(0..<100))
    }

    @Test(arguments: ["A", "B", "C", "D", "E", "F"]) func mixesAreYCSBs(letter: String) throws {
        let workload = try #require(Workload.ycsb(letter))
        #expect(abs(workload.shares.reduce(0, +) - 1) < 1e-12)
        var source = OperationSource(workload, keyCount: 1_000, seed: 5)
        var counts = [Int](repeating: 0, count: OperationKind.allCases.count)
        var inserted: [Int] = []
        for _ in 0..<20_000 {
            let operation = source.next()
            counts[operation.kind.rawValue] += 1
            #expect(operation.kind == .scan ? 1...100 ~= operation.keyCount : operation.keyCount == 1)
            if operation.kind == .insert {
                inserted.append(operation.key)
                source.wasInserted(operation.key)
            } else {
                #expect(operation.key < 1_000 + inserted.count)
            }
        }
        for kind in OperationKind.allCases {
            let share = Double(counts[kind.rawValue]) / 20_000
            #expect(abs(share - workload.shares[kind.rawValue]) < 0.02, "\(kind)")
        }
        #expect(inserted == Array(1_000..<1_000 + inserted.count))
    }

    @Test func theSameSeedDrawsTheSame() throws {
        let workload = try #require(Workload.ycsb("A"))
        var one = OperationSource(workload, keyCount: 1_000, seed: 9)
        var two = OperationSource(workload, keyCount: 1_000, seed: 9)
        for _ in 0..<1_000 { #expect(one.next() == two.next()) }
    }
}

@Suite struct ScheduleTests {
    @Test func slowRatesHaveATickEach() {
        let start = Instant(nanoseconds: 1_000)
        var schedule = Schedule(rate: 1_000, start: start)
        for index in 0..<10 {
            #expect(schedule.due == start + .milliseconds(Int64(index)))
            schedule.advance()
        }
    }

    @Test func fastRatesKeepTheirRateAndAreNeverEarly() {
        let start = Instant.zero
        var schedule = Schedule(rate: 70_000, start: start)
        for index in 0..<70_000 {
            let exact = Double(index) / 70_000
            let due = schedule.due.nanoseconds
            #expect(Double(due) / 1e9 >= exact - 1e-9 && Double(due) / 1e9 < exact + 1.01e-4)
            #expect(due % Schedule.tickMin.nanoseconds == 0)
            schedule.advance()
        }
        #expect(schedule.due == start + .seconds(1))
    }

    @Test func poissonGapsHaveTheirMean() {
        var schedule = Schedule(rate: 1_000, start: .zero, isPoisson: true, seed: 6)
        var last = schedule.due
        var empty = 0
        for _ in 0..<50_000 {
            schedule.advance()
            #expect(schedule.due >= last)
            if schedule.due - last >= .milliseconds(1) { empty += 1 }
            last = schedule.due
        }
        #expect(abs(last.nanoseconds - 50_000_000_000) < 1_200_000_000)
        // A gap longer than the mean has the probability 1/e.
        #expect(0.34...0.40 ~= Double(empty) / 50_000)
    }

    @Test func whatWaitsIsCounted() {
        var schedule = Schedule(rate: 100, start: .zero)
        #expect(schedule.backlog(at: Instant(nanoseconds: -1)) == 0)
        #expect(schedule.backlog(at: .zero) == 1)
        #expect(schedule.backlog(at: .zero + .milliseconds(95)) == 10)
        for _ in 0..<10 { schedule.advance() }
        #expect(schedule.backlog(at: .zero + .milliseconds(95)) == 0)
    }
}
