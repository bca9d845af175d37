import MartletBase
import MartletVersions
import Testing

@Suite struct HybridClockTests {
    let writer = Writer(node: 1, boot: 1, shard: 0)

    @Test func stampsRiseThoughTheWallClockFalls() throws {
        var clock = HybridClock(writer: writer, recovered: .zero)
        clock.reserved(HybridTime(WallTime(milliseconds: 10_000)))
        var last = Stamp.zero
        for wall in [100, 101, 50, 50, 0, -5, 102] {
            let issued = clock.issue(WallTime(milliseconds: Int64(wall)))
            let stamp = try #require(issued)
            #expect(stamp > last)
            last = stamp
        }
    }

    @Test func nothingIsIssuedAboveTheDurableCeiling() throws {
        var clock = HybridClock(writer: writer, recovered: .zero)
        let wall = WallTime(milliseconds: 5_000)
        #expect(clock.issue(wall) == nil)
        let ceiling = try #require(clock.wantsReservation(wall))
        clock.reserved(ceiling)
        #expect(clock.issue(wall) != nil)
        #expect(clock.wantsReservation(wall) == nil)
        #expect(clock.issue(WallTime(milliseconds: 50_000)) == nil)
    }

    @Test(arguments: 1...50)
    func noStampRepeatsOverRestartsAndClockSteps(seed: UInt64) {
        var random = Random(seed: seed)
        var durable = HybridTime.zero
        var seen = Set<HybridTime>()
        var wall: Int64 = 1_000_000
        for boot in 0..<10 {
            // The boot number is left alone on purpose: times by themselves must not repeat.
            var clock = HybridClock(writer: writer, recovered: durable)
            for _ in 0..<200 {
                wall += random.within(-3_000...3_000)
                if random.chance(0.1) {
                    clock.observe(HybridTime(WallTime(milliseconds: wall + random.within(0...5_000))))
                }
                if let ceiling = clock.wantsReservation(WallTime(milliseconds: wall)), random.chance(0.7) {
                    durable = max(durable, ceiling)
                    clock.reserved(ceiling)
                }
                if let stamp = clock.issue(WallTime(milliseconds: wall)) {
                    #expect(seen.insert(stamp.time).inserted, "seed \(seed), boot \(boot)")
                }
            }
        }
    }

    @Test func quickRestartsDoNotCarryStampsAway() throws {
        let wall = WallTime(milliseconds: 1_000_000)
        var durable = HybridTime.zero
        for _ in 0..<20 {
            var clock = HybridClock(writer: writer, recovered: durable)
            durable = max(durable, clock.wantsReservation(wall) ?? .zero)
            clock.reserved(durable)
            #expect(clock.issue(wall) != nil)
        }
        #expect(durable.milliseconds <= 1_000_000 + 2_000 + 20 * 100)
    }

    @Test func aReservationReachesAboveWhatAStampWaitsFor() throws {
        let wall = WallTime(milliseconds: 1_000_000)
        var clock = HybridClock(writer: writer, recovered: .zero)
        clock.reserved(try #require(clock.wantsReservation(wall)))
        let floor = HybridTime(WallTime(milliseconds: 1_009_000))
        #expect(clock.issue(above: floor, wall) == nil)
        clock.reserved(try #require(clock.wantsReservation(wall, above: floor)))
        #expect(clock.issue(above: floor, wall) != nil)
    }
}
