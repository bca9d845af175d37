import MartletBase
import MartletSimulator
import MartletStorage
import MartletVersions
import Testing

/// The pieces of the simulated world, each by itself.
@Suite struct WorldTests {
    @Test(arguments: 1...20)
    func eventsComeInOrder(seed: UInt64) {
        var random = Random(seed: seed)
        var heap = EventHeap<Int>()
        var expected: [(at: Int64, number: Int)] = []
        for number in 0..<500 {
            let at = random.within(0...50)
            heap.push(number, at: Instant(nanoseconds: at))
            expected.append((at, number))
            if random.chance(0.3), let (at, number) = heap.pop() {
                expected.sort { ($0.at, $0.number) < ($1.at, $1.number) }
                let first = expected.removeFirst()
                #expect(first.at == at.nanoseconds && first.number == number)
            }
        }
        for (at, number) in expected.sorted(by: { ($0.at, $0.number) < ($1.at, $1.number) }) {
            let next = heap.pop()
            #expect(next?.at.nanoseconds == at && next?.payload == number)
        }
        #expect(heap.pop() == nil)
    }

    @Test(arguments: 1...20)
    func theMonotonicClockNeverGoesBack(seed: UInt64) {
        var random = Random(seed: seed)
        var clock = SimulatedClock(monotonicBase: .seconds(100), wallOffset: .zero)
        var now = Instant.zero
        var last = clock.monotonic(at: now)
        for _ in 0..<1_000 {
            now = now + random.within(.zero...(.seconds(2)))
            let reading = clock.monotonic(at: now)
            #expect(reading >= last)
            last = reading
            let wanted = reading + random.within(.zero...(.seconds(3)))
            let instant = clock.instant(ofMonotonic: wanted)
            #expect(clock.monotonic(at: instant) >= wanted, "it is not woken too early")
            #expect(clock.monotonic(at: instant) - wanted < .microseconds(1), "nor late")
            switch random.below(4) {
            case 0:
                clock.setDrift(perSecond: random.within(.microseconds(-500)...(.microseconds(500))), at: now)
            case 1: clock.jumpWall(by: random.within(.hours(-1)...(.hours(1))))
            case 2:
                clock.setWall(error: .milliseconds(3), at: now)
                let error = clock.wall(at: now) - (SimulatedClock.epoch + (now - .zero))
                #expect((error - .milliseconds(3)).magnitude <= .microseconds(1))
            default: break
            }
        }
    }

    /// What was synced before a crash is there after it; what wasn't is there as a prefix of the batches.
    @Test(arguments: 1...50)
    func aDiskKeepsWhatItSynced(seed: UInt64) {
        var random = Random(seed: seed)
        let disk = SimulatedDisk(durability: .batch)
        let writer = Writer(node: 1, boot: 1, shard: 0)
        var time: UInt64 = 0
        for _ in 0..<30 {
            var written: [(key: Int, version: HeldVersion)] = []
            var ticket: UInt64 = 0
            var isSyncing = false
            for _ in 0..<random.below(40) {
                time += 1
                ticket += 1
                let key = random.below(5)
                let stamp = Stamp(time: HybridTime(bits: time), writer: writer)
                let record = Register(stamp: stamp, value: .tombstone).encoded()
                disk.merge(WriteTicket(ticket), WorkloadKeys.stored(key), record)
                guard case .accepted = disk.flush() else {
                    Issue.record("a healthy disk refused a write, seed \(seed)")
                    return
                }
                written.append((key, HeldVersion(stamp)))
                if isSyncing, random.chance(0.5) {
                    guard case .durable = disk.finishSync() else { return }
                    isSyncing = false
                }
                if !isSyncing, random.chance(0.5) { isSyncing = disk.beginSync() }
            }
            let before = (0..<5).map { disk.durableVersion($0) }
            disk.crash(&random)
            var found: [HeldVersion] = []
            for key in 0..<5 {
                let record = disk.read(WorkloadKeys.stored(key))
                found.append(record.flatMap { HeldVersion(of: $0) } ?? .none)
                #expect(found[key] >= before[key], "seed \(seed)")
                #expect(found[key] == disk.durableVersion(key), "seed \(seed)")
            }
            // A prefix: nothing that is there was written after something that is lost.
            if let lost = written.firstIndex(where: { found[$0.key] < $0.version }) {
                for later in written[lost...] { #expect(found[later.key] < later.version, "seed \(seed)") }
            }
        }
    }

    @Test func aDiskWhoseSyncFailedSaysSo() {
        let disk = SimulatedDisk(durability: .batch)
        let stamp = Stamp(time: HybridTime(bits: 1), writer: Writer(node: 1, boot: 1, shard: 0))
        disk.merge(
            WriteTicket(1), WorkloadKeys.stored(0), Register(stamp: stamp, value: .tombstone).encoded())
        _ = disk.flush()
        disk.failNextSync()
        #expect(disk.beginSync())
        guard case .failed = disk.finishSync() else {
            Issue.record("a failed sync was taken for a good one")
            return
        }
        #expect(disk.durableVersion(0) == .none)
    }

    @Test func keysTellTheirIndex() {
        for index in [0, 7, 99_999] {
            #expect(WorkloadKeys.index(of: WorkloadKeys.key(index)) == index)
            #expect(WorkloadKeys.index(of: WorkloadKeys.stored(index).bytes) == index)
        }
        #expect(WorkloadKeys.index(of: Blob("other")) == nil)
    }
}
