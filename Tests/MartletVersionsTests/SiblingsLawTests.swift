import MartletBase
import MartletVersions
import Testing

/// Draws siblings from a small world: records that puts and joins make, and any others that are canonical.
struct SiblingsWorld {
    var random: Random
    /// Records that came about, to go on from.
    private var made: [Blob] = []
    private var time: UInt64 = 0

    init(seed: UInt64) { random = Random(seed: seed) }

    /// One that the store can make: no two puts share a dot. But a writer may know less than it wrote before.
    mutating func record() -> Blob {
        let held = made.isEmpty || random.chance(0.2) ? nil : made[random.below(made.count)]
        let seen = made.isEmpty || random.chance(0.3) ? nil : made[random.below(made.count)]
        time += 1
        let new = Siblings.NewVersion(
            dot: Stamp(
                time: HybridTime(bits: time), writer: Writer(node: UInt64(random.below(3)), boot: 1, shard: 0)
            ),
            value: random.chance(0.2)
                ? nil : Blob((0..<random.below(14)).map { _ in UInt8(random.below(3)) }),
            expiry: random.chance(0.5) ? nil : Int64(1 + random.below(3)))
        var context = seen.map { Record.context(of: $0.span) } ?? .empty
        if random.chance(0.3) {
            let dot = Stamp(
                time: HybridTime(bits: 1 + UInt64(random.below(Int(time)))),
                writer: Writer(node: UInt64(random.below(3)), boot: 1, shard: 0))
            if dot.time.bits < time { context.insert(dot) }
        }
        let put = Siblings.putting(new, over: held, context: context)
        made.append(put)
        if random.chance(0.5) { made.append(Record.join(put, made[random.below(made.count)])) }
        var writer = ByteWriter()
        if random.chance(0.1), Record.dropExpired(put.span, before: 3, into: &writer) {
            made.append(Blob(writer.bytes))
        }
        if made.count > 40 { made.removeFirst(10) }
        return made[made.count - 1 - random.below(min(3, made.count))]
    }
}

@Suite struct SiblingsLawTests {
    @Test(arguments: 1...20)
    func theJoinIsIdempotentCommutativeAndAssociative(seed: UInt64) {
        var world = SiblingsWorld(seed: seed)
        for _ in 0..<1_000 {
            let (a, b, c) = (world.record(), world.record(), world.record())
            #expect((try? RecordSummary(a.span)) != nil, "seed \(seed): \(a)")
            #expect(Record.join(a, a) == a, "seed \(seed)")
            #expect(Record.join(a, b) == Record.join(b, a), "seed \(seed)")
            let joined = Record.join(a, Record.join(b, c))
            #expect(joined == Record.join(Record.join(a, b), c), "seed \(seed)")
            #expect((try? RecordSummary(joined.span)) != nil, "seed \(seed): \(joined)")
        }
    }

    @Test(arguments: 1...10)
    func siblingsAndRegistersOfOneKeyAreOrderedByTheirKinds(seed: UInt64) {
        var siblings = SiblingsWorld(seed: seed)
        var registers = RegisterWorld(seed: seed)
        for _ in 0..<500 {
            let some = (0..<3).map { _ in
                siblings.random.chance(0.5) ? siblings.record() : registers.register()
            }
            let (a, b, c) = (some[0], some[1], some[2])
            #expect(Record.join(a, b) == Record.join(b, a), "seed \(seed)")
            #expect(
                Record.join(a, Record.join(b, c)) == Record.join(Record.join(a, b), c), "seed \(seed)")
        }
    }

    @Test(arguments: 1...10)
    func droppingExpiredValuesKeepsTheDigestAndTheLaws(seed: UInt64) {
        var world = SiblingsWorld(seed: seed)
        for _ in 0..<1_000 {
            let a = world.record()
            var writer = ByteWriter()
            guard Record.dropExpired(a.span, before: 100, into: &writer) else { continue }
            let dropped = Blob(writer.bytes)
            #expect(Record.digest(dropped) == Record.digest(a), "seed \(seed)")
            #expect(Record.join(a, dropped) == a, "a present value beats its dropped self, seed \(seed)")
            #expect(dropped.count < a.count)
        }
    }

    @Test(arguments: 1...10)
    func ownersThatShowEachOtherWhatCountsAgreeOnIt(seed: UInt64) {
        var world = SiblingsWorld(seed: seed)
        for _ in 0..<1_000 {
            let (a, b) = (world.record(), world.record())
            let horizon = Horizon(truncation: UInt64(world.random.below(2_000)))
            func seen(_ record: Blob) -> Blob? { Record.seen(record, behind: horizon) }
            let (shownA, shownB) = (seen(a), seen(b))
            let left = shownB.map { Record.join(a, $0) } ?? a
            let right = shownA.map { Record.join(b, $0) } ?? b
            #expect(seen(left) == seen(right), "seed \(seed)")
            #expect(
                Record.digest(left.span, behind: horizon) == Record.digest(right.span, behind: horizon),
                "seed \(seed)")
            if let shownA { #expect(seen(shownA) == shownA, "seed \(seed)") }
        }
    }

    @Test(arguments: 1...10)
    func digestsTellStatesApart(seed: UInt64) {
        var world = SiblingsWorld(seed: seed)
        for _ in 0..<1_000 {
            let (a, b) = (world.record(), world.record())
            if a != b { #expect(Record.digest(a) != Record.digest(b) || hasDropped(a) || hasDropped(b)) }
        }
    }

    private func hasDropped(_ record: Blob) -> Bool {
        var has = false
        Record.forEachVersion(record.span) { if $0.state == .dropped { has = true } }
        return has
    }

    @Test func everySpellingButTheCanonicalOneIsRefused() {
        var world = SiblingsWorld(seed: 7)
        for _ in 0..<300 {
            let record = world.record()
            for length in 0..<record.count {
                #expect((try? RecordSummary(Blob(Array(record.bytes[..<length])).span)) == nil)
            }
            #expect((try? RecordSummary(Blob(record.bytes + [0]).span)) == nil)
        }
    }
}
