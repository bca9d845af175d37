import MartletBase
import MartletVersions
import Testing

/// Draws registers from so small a world that stamps, expiries and values often coincide: that is where a
/// join that is nearly right breaks.
struct RegisterWorld {
    var random: Random

    init(seed: UInt64) { random = Random(seed: seed) }

    mutating func stamp() -> Stamp {
        Stamp(
            time: HybridTime(bits: UInt64(random.below(3))),
            writer: Writer(node: UInt64(random.below(2)), boot: UInt32(random.below(2)), shard: 0))
    }

    mutating func register() -> Blob {
        if random.chance(0.02) { return Blob([UInt8(random.below(3)), UInt8(random.below(3))]) }
        let bytes = (0..<random.below(14)).map { _ in UInt8(random.below(3)) }
        let value: Register.Value =
            switch random.below(3) {
            case 0: .tombstone
            case 1: .dropped(hash: UInt64(random.below(3)), length: bytes.count)
            default: .present(Blob(bytes))
            }
        let own = stamp()
        return Register(
            stamp: own, value: value, expiryStamp: random.chance(0.5) ? own : stamp(),
            expiry: random.chance(0.5) ? nil : Int64(1 + random.below(3))
        ).encoded()
    }
}

@Suite struct RegisterLawTests {
    @Test(arguments: 1...20)
    func theJoinIsIdempotentCommutativeAndAssociative(seed: UInt64) {
        var world = RegisterWorld(seed: seed)
        for _ in 0..<2_000 {
            let (a, b, c) = (world.register(), world.register(), world.register())
            #expect(Record.join(a, a) == a, "seed \(seed)")
            #expect(Record.join(a, b) == Record.join(b, a), "seed \(seed)")
            #expect(
                Record.join(a, Record.join(b, c)) == Record.join(Record.join(a, b), c),
                "seed \(seed)")
        }
    }

    @Test(arguments: 1...20)
    func everyOrderOfMergesWithRepeatsGivesTheSameBytes(seed: UInt64) {
        var world = RegisterWorld(seed: seed)
        let records = (0..<8).map { _ in world.register() }
        let expected = records.dropFirst().reduce(records[0]) { Record.join($0, $1) }
        for _ in 0..<50 {
            var order = records + [records[world.random.below(8)]]
            world.random.shuffle(&order)
            #expect(order.dropFirst().reduce(order[0]) { Record.join($0, $1) } == expected, "seed \(seed)")
        }
    }

    @Test(arguments: 1...20)
    func droppingAnExpiredValueKeepsTheDigestAndTheLaws(seed: UInt64) {
        var world = RegisterWorld(seed: seed)
        for _ in 0..<1_000 {
            let a = world.register()
            var writer = ByteWriter()
            guard Record.dropExpired(a.span, before: 100, into: &writer) else { continue }
            let dropped = Blob(writer.bytes)
            #expect(Record.digest(dropped) == Record.digest(a), "seed \(seed)")
            #expect(Record.join(a, dropped) == a, "a present value beats its dropped self, seed \(seed)")
            #expect(dropped.count < a.count)
        }
    }

    @Test(arguments: 1...5)
    func digestsDifferWhereStatesDiffer(seed: UInt64) {
        var world = RegisterWorld(seed: seed)
        for _ in 0..<2_000 {
            let (a, b) = (world.register(), world.register())
            guard let x = try? RegisterView(a.span), let y = try? RegisterView(b.span) else { continue }
            guard x.state == y.state else { continue }
            if a != b, x.state != .dropped { #expect(Record.digest(a) != Record.digest(b), "seed \(seed)") }
        }
    }
}
