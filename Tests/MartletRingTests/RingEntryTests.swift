import MartletBase
import MartletRing
import Testing

/// Draws views of one node from so small a world that incarnations and stamps often coincide.
private struct EntryWorld {
    var random: Random
    let base: RingEntry

    init(seed: UInt64) {
        var world = RingWorld(seed: seed)
        base = world.entry(tokens: world.slots(4))
        random = world.random
    }

    mutating func verdict() -> Verdict {
        Verdict(
            kind: Verdict.Kind.allCases[random.below(3)], stamp: UInt64(random.below(3)),
            by: NodeID(short: UInt64(random.below(2)), middle: 0, low: 0))
    }

    mutating func entry() -> RingEntry {
        var entry = base
        entry.incarnation = UInt64(random.below(3))
        entry.state = NodeState.allCases[random.below(NodeState.allCases.count)]
        entry.joined = UInt64(random.below(3))
        entry.name = ["n1", "n10"][random.below(2)]
        if random.chance(0.5) { entry.own.tokens = [] }
        if random.chance(0.3) {
            let tokens = [Slot(index: UInt16(random.below(9)))]
            entry.next = RingPosition(tokens: tokens, zone: ["a", "b"][random.below(2)])
        }
        entry.moved = UInt64(random.below(3))
        entry.done = UInt64(random.below(3))
        entry.turn = UInt64(random.below(3))
        if random.chance(0.3) { entry.replaces = NodeID(random: &random) }
        if random.chance(0.6) { entry.verdict = verdict() }
        return entry
    }
}

private func join(_ a: RingEntry, _ b: RingEntry) -> RingEntry {
    var joined = a
    let changed = joined.merge(b)
    #expect(changed == (joined != a), "merge says whether it changed the entry")
    return joined
}

@Suite struct RingEntryTests {
    @Test(arguments: 1...20)
    func theJoinIsIdempotentCommutativeAndAssociative(seed: UInt64) {
        var world = EntryWorld(seed: seed)
        for _ in 0..<500 {
            let (a, b, c) = (world.entry(), world.entry(), world.entry())
            #expect(join(a, a) == a, "seed \(seed)")
            #expect(join(a, b) == join(b, a), "seed \(seed)")
            #expect(join(a, join(b, c)) == join(join(a, b), c), "seed \(seed)")
        }
    }

    @Test(arguments: 1...20)
    func verdictsAreTotallyOrderedAndRemovedAbsorbsAll(seed: UInt64) {
        var world = EntryWorld(seed: seed)
        for _ in 0..<500 {
            let (a, b, c) = (world.verdict(), world.verdict(), world.verdict())
            #expect([a < b, b < a, a == b].count { $0 } == 1, "seed \(seed)")
            #expect(!(a < b && b < c) || a < c, "seed \(seed)")
            if a.kind == .removed { #expect(max(a, b).kind == .removed, "seed \(seed)") }
            if a.kind != .removed, b.kind != .removed, a.stamp < b.stamp { #expect(a < b, "seed \(seed)") }
        }
    }

    /// A folder that was set back behind a move doesn't take it back, however often its node starts.
    @Test func aMoveOutlivesWhatIsSaidByAnOlderFolder() {
        let old = EntryWorld(seed: 1).base
        var moved = old
        moved.incarnation += 1
        moved.moved = 5
        moved.next = RingPosition(tokens: old.tokens, zone: "west")
        moved.done = 5
        var setBack = old
        setBack.incarnation += 9
        #expect(join(moved, setBack).zone == "west" && join(setBack, moved) == join(moved, setBack))
        // Once it knows, it says so itself, and that is the same.
        var known = moved
        known.incarnation += 1
        known.own = moved.position
        known.next = nil
        #expect(known.position == moved.position && join(moved, known) == known)
    }

    @Test(arguments: 1...20)
    func entriesRoundTrip(seed: UInt64) throws {
        var world = EntryWorld(seed: seed)
        for _ in 0..<200 {
            let entry = world.entry()
            let bytes = entry.encoded()
            let decoded = try decode(bytes) { (reader) throws(WireError) in try RingEntry(from: &reader) }
            #expect(decoded == entry && decoded.encoded() == bytes, "seed \(seed)")
            #expect(bytes.count <= RingEntry.encodedBytesMax)
        }
    }

    @Test(arguments: 1...20)
    func damagedBytesAreRefusedOrAnotherCanonicalEntry(seed: UInt64) {
        var world = EntryWorld(seed: seed)
        for _ in 0..<1_000 {
            var bytes = world.entry().encoded().bytes
            switch world.random.below(3) {
            case 0: bytes.removeLast(1 + world.random.below(bytes.count))
            case 1: bytes[world.random.below(bytes.count)] = UInt8(world.random.below(256))
            default: bytes.insert(UInt8(world.random.below(256)), at: world.random.below(bytes.count))
            }
            let blob = Blob(bytes)
            let entry = try? decode(blob) { (reader) throws(WireError) in try RingEntry(from: &reader) }
            if let entry {
                entry.checkInvariants()
                #expect(entry.encoded() == blob, "seed \(seed): two encodings of one entry")
            }
        }
    }

    @Test(arguments: ["", "a b", "a,b", "a=b", "a\r\nb", "\"", "é", String(repeating: "x", count: 65)])
    func namesThatWouldBreakALineAreRefused(_ name: String) {
        #expect(!Names.isValid(name))
        var writer = ByteWriter()
        var entry = EntryWorld(seed: 1).base
        entry.own.zone = name
        entry.write(to: &writer)
        let blob = Blob(writer.bytes)
        #expect(throws: WireError.self) {
            try decode(blob) { (reader) throws(WireError) in try RingEntry(from: &reader) }
        }
    }

    @Test(arguments: ["n1", "us-east-1a", "rack_7", "dc/1:a", String(repeating: "x", count: 64)])
    func ordinaryNamesAreTaken(_ name: String) { #expect(Names.isValid(name)) }
}

@Suite struct RingTests {
    @Test func aSecondIdWithTheSameShortIsRefused() throws {
        var world = RingWorld(seed: 1)
        let known = world.entry()
        var ring = try Ring([world.entry(), known, world.entry()])
        let before = ring
        for low in [UInt32.min, .max] {
            var other = world.entry()
            other.id = NodeID(short: known.id.short, middle: known.id.middle, low: low)
            #expect(throws: RingError.shortIDTaken(entry: other.id, by: known.id)) { try ring.merge(other) }
        }
        #expect(ring == before)
    }

    @Test func theRingIsBounded() throws {
        var world = RingWorld(seed: 1)
        var ring = Ring()
        for _ in 0..<Limits.nodesMax { try ring.merge(world.entry()) }
        let other = world.entry()
        #expect(throws: RingError.full(entry: other.id)) { try ring.merge(other) }
        var known = ring.entries[5]
        known.incarnation += 1
        let changed = try ring.merge(known)
        #expect(changed)
        ring.checkInvariants()
    }

    @Test func entriesAreFoundByIdAndByName() throws {
        var world = RingWorld(seed: 1)
        let (a, b) = (world.entry(), world.entry())
        var double = world.entry()
        double.name = b.name
        let ring = try Ring([a, b, double])
        #expect(ring[a.id] == a)
        #expect(ring[world.entry().id] == nil)
        #expect(ring.entries(named: b.name) == [b, double].sorted { $0.id < $1.id })
        #expect(ring.entries(named: "nobody").isEmpty)
    }

    @Test(arguments: 1...20)
    func ringsMergedInAnyOrderAreEqual(seed: UInt64) throws {
        var world = EntryWorld(seed: seed)
        var makers = RingWorld(seed: seed)
        let ids = (0..<4).map { _ in NodeID(random: &makers.random) }
        var views = (0..<30).map { _ in
            var entry = world.entry()
            entry.id = ids[world.random.below(4)]
            return entry
        }
        let ring = try Ring(views)
        ring.checkInvariants()
        for _ in 0..<20 {
            world.random.shuffle(&views)
            let other = try Ring(views + views.prefix(5))
            #expect(other == ring && other.digest == ring.digest, "seed \(seed)")
        }
        #expect(Ring().digest != ring.digest)
    }
}
