import MartletBase
import MartletVersions
import MartletWire
import Testing

@Suite struct FrameTests {
    static let id = NodeID(short: 1, middle: 2, low: 3)
    static let stamp = Stamp(time: HybridTime(bits: 77), writer: Writer(node: 1, boot: 2, shard: 3))

    static func record(_ size: Int) -> Blob {
        Register(stamp: stamp, value: .present(Blob(Array(repeating: 7, count: size)))).encoded()
    }

    /// One of each kind and outcome.
    static let messages: [Message] = [
        .hello(Hello(cluster: "martlet", id: id, name: "n1", folder: FolderAge(epoch: 4))),
        .farewell(Farewell(.rolledBack, "the data folder is an old copy")),
        .merge(
            MergeRequest(
                request: 9, placement: 8, keyspace: 0, isFresh: true, key: Blob("k"), record: record(10))),
        .merge(
            MergeRequest(
                request: 9, placement: 8, keyspace: 0, isFresh: false, key: Blob(""), record: record(100_000))
        ),
        .mergeAnswer(MergeAnswer(request: 1, outcome: .merged)),
        .mergeAnswer(MergeAnswer(request: 1, outcome: .dominated(stamp))),
        .mergeAnswer(MergeAnswer(request: 1, outcome: .refused(.overloaded))),
        .read(ReadRequest(request: 3, placement: 4, keyspace: 5, wantsDigest: true, key: Blob([0, 13, 10]))),
        .readAnswer(ReadAnswer(request: 3, outcome: .record(nil))),
        .readAnswer(ReadAnswer(request: 3, outcome: .record(record(3)))),
        .readAnswer(ReadAnswer(request: 3, outcome: .digest(.max))),
        .readAnswer(ReadAnswer(request: 3, outcome: .refused(.stalePlacement))),
        .view(View(entries: [Blob("a"), Blob("b")], keyspaces: [Blob("c")])),
        .mergeAnswer(MergeAnswer(request: 1, outcome: .closed(HybridTime(bits: 9)))),
        .purge(
            PurgeRequest(
                round: 1, step: .promise, keyspace: 2, ring: 3, floor: HybridTime(bits: 4),
                spans: [SlotSpan(first: 0, last: 9), .all], closed: [])),
        .purge(
            PurgeRequest(
                round: 1, step: .prove, keyspace: 2, ring: 3, floor: .latest, spans: [.all],
                closed: [.init(id: id, epoch: 5)])),
        .purgeAnswer(PurgeAnswer(round: 1, step: .close, outcome: .done(epoch: 7))),
        .purgeAnswer(PurgeAnswer(round: 1, step: .prove, outcome: .hindered(.exchange))),
        .floor(FloorNews(keyspace: 1, floor: HybridTime(bits: 2), spans: [.all])),
        .gossip(Blob([1, 2, 3])),
        .scan(
            ScanRequest(
                request: 1, placement: 2, keyspace: 3, first: 4, last: .max, asOf: 1_700_000_000_000,
                wanted: .keys(atLeast: 10))),
        .scan(
            ScanRequest(request: 1, placement: 2, keyspace: 3, first: 4, last: 4, asOf: 0, wanted: .counts)),
        .scanAnswer(ScanAnswer(request: 1, outcome: .keys([Blob("a"), .empty, Blob("b")], next: 7))),
        .scanAnswer(ScanAnswer(request: 1, outcome: .keys([], next: nil))),
        .scanAnswer(
            ScanAnswer(
                request: 1,
                outcome: .counts(
                    [LeafCount(leaf: 0, count: 300, sum: .max), LeafCount(leaf: 9, count: 1, sum: 2)],
                    next: 8))),
        .scanAnswer(ScanAnswer(request: 1, outcome: .refused(.overloaded))),
    ]

    static func encode(_ message: Message) -> Blob {
        var writer = ByteWriter()
        Frame(time: HybridTime(bits: 5), message: message).write(to: &writer)
        return Blob(writer.bytes)
    }

    @Test(arguments: messages)
    func messagesRoundTrip(_ message: Message) throws {
        let bytes = Self.encode(message)
        guard case .frame(let frame, let consumed) = try Frame.scan(bytes.span) else {
            Issue.record("no whole frame")
            return
        }
        #expect(consumed == bytes.count)
        #expect(frame == Frame(time: HybridTime(bits: 5), message: message))
    }

    @Test func aLargeCompressibleBodyIsSmallOnTheWire() {
        #expect(Self.encode(Self.messages[3]).count < 2_000)
    }

    @Test(arguments: messages)
    func everyPrefixAsksForMore(_ message: Message) throws {
        let bytes = Self.encode(message)
        for length in 0..<min(bytes.count, 300) {
            guard case .needMore(let total) = try Frame.scan(bytes.span.extracting(0..<length)) else {
                Issue.record("a frame out of \(length) bytes")
                return
            }
            #expect(total > length)
            #expect(total <= bytes.count)
        }
    }

    @Test(arguments: messages)
    func everyFlippedBitIsFound(_ message: Message) {
        let bytes = Self.encode(message).bytes
        for bit in 0..<min(bytes.count * 8, 4_000) {
            var bad = bytes
            bad[bit / 8] ^= 1 << UInt8(bit % 8)
            let blob = Blob(bad)
            let scan = try? Frame.scan(blob.span)
            #expect(scan == nil, "bit \(bit) of \(message.kind)")
        }
    }

    @Test func forgedLengthsAreRefusedBeforeAnythingIsAllocated() {
        for length: UInt32 in [0, 13, 1 << 31, .max, UInt32(Limits.frameBytesMax) + 1] {
            var writer = ByteWriter()
            writer.u32(length)
            writer.u32(UInt32(truncatingIfNeeded: XXH3.hash(UInt64(length))))
            writer.u64(0)
            let blob = Blob(writer.bytes)
            let scan = try? Frame.scan(blob.span)
            #expect(scan == nil, "length \(length)")
        }
    }

    /// Bodies with right checksums but wrong content: what a hostile or faulty peer could send.
    @Test(arguments: 1...20)
    func mutatedBodiesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        for message in Self.messages {
            for _ in 0..<200 {
                var writer = ByteWriter()
                message.write(to: &writer)
                var body = writer.bytes
                for _ in 0...random.below(3) where !body.isEmpty {
                    switch random.below(3) {
                    case 0: body[random.below(body.count)] = UInt8(truncatingIfNeeded: random.next())
                    case 1: body.removeLast(1 + random.below(body.count))
                    default: body.append(UInt8(truncatingIfNeeded: random.next()))
                    }
                }
                let blob = Blob(body)
                guard let again = try? Message(kind: message.kind, from: blob.span) else { continue }
                var second = ByteWriter()
                again.write(to: &second)
                #expect(second.bytes == body, "what decodes is the canonical spelling, seed \(seed)")
            }
        }
    }

    @Test func dialectsMeetAtTheHighestCommonOne() {
        let old = Hello(
            cluster: "c", id: Self.id, name: "a", folder: FolderAge(epoch: 1), protocolVersions: 1...2)
        let new = Hello(
            cluster: "c", id: Self.id, name: "b", folder: FolderAge(epoch: 1), protocolVersions: 2...4)
        let newest = Hello(
            cluster: "c", id: Self.id, name: "c", folder: FolderAge(epoch: 1), protocolVersions: 3...4)
        #expect(old.commonProtocol(with: new) == 2)
        #expect(old.commonProtocol(with: newest) == nil)
    }
}
