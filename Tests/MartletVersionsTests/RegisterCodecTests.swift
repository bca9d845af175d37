import MartletBase
import MartletVersions
import Testing

@Suite struct RegisterCodecTests {
    static func stamp(_ time: UInt64, _ node: UInt64 = 1) -> Stamp {
        Stamp(time: HybridTime(bits: time), writer: Writer(node: node, boot: 1, shard: 0))
    }

    @Test func aPutIsReadBackInPlace() throws {
        let record = Register.encodePut(stamp: Self.stamp(5), value: Blob("hello").span, expiry: 77)
        let view = try RegisterView(record.span)
        #expect(view.stamp == Self.stamp(5))
        #expect(view.expiry == 77)
        #expect(Blob(copying: record.span.extracting(view.valueOffset..<record.count)) == Blob("hello"))
        #expect(
            record == Register(stamp: Self.stamp(5), value: .present(Blob("hello")), expiry: 77).encoded())
        #expect(view.isLive(WallTime(milliseconds: 76)))
        #expect(!view.isLive(WallTime(milliseconds: 77)))
    }

    @Test func anExpiryNeverRevivesWhatWasReplaced() {
        let old = Register(stamp: Self.stamp(1), value: .present(Blob("old"))).encoded()
        let new = Register(stamp: Self.stamp(2), value: .present(Blob("new"))).encoded()
        let expire = Register(
            stamp: Self.stamp(1), value: .present(Blob("old")), expiryStamp: Self.stamp(3), expiry: 9
        ).encoded()
        #expect(Record.join(new, expire) == new)
        #expect(Record.join(old, expire) == expire)
    }

    @Test(arguments: 1...10)
    func mutatedBytesAreRefusedOrCanonical(seed: UInt64) {
        var world = RegisterWorld(seed: seed)
        for _ in 0..<2_000 {
            var bytes = world.register().bytes
            guard !bytes.isEmpty else { continue }
            switch world.random.below(3) {
            case 0: bytes[world.random.below(bytes.count)] = UInt8(truncatingIfNeeded: world.random.next())
            case 1: bytes.removeLast()
            default: bytes.append(UInt8(world.random.below(256)))
            }
            let blob = Blob(bytes)
            guard let view = try? RegisterView(blob.span), view.state == .present else { continue }
            let value = Blob(copying: blob.span.extracting(view.valueOffset..<blob.count))
            let again = Register(
                stamp: view.stamp, value: .present(value), expiryStamp: view.expiryStamp, expiry: view.expiry
            ).encoded()
            #expect(again == blob, "what decodes is the canonical spelling, seed \(seed)")
        }
    }

    @Test func aVersionNamesItsKeyAndSurvivesOnlyWhole() throws {
        let key = Blob("k")
        let text = VersionToken.encode(Self.stamp(9), key: key.span)
        let latest = HybridTime(bits: 100)
        func refusal(_ text: String, _ key: Blob, _ latest: HybridTime) -> VersionToken.Refusal? {
            do {
                _ = try VersionToken.decode(Blob(text).span, key: key.span, latest: latest)
                return nil
            } catch {
                return error
            }
        }
        #expect(try VersionToken.decode(Blob(text).span, key: key.span, latest: latest) == Self.stamp(9))
        #expect(refusal(text, Blob("other"), latest) == .key)
        #expect(refusal(text, key, HybridTime(bits: 8)) == .future)
        #expect(refusal("abc", key, latest) == .truncated)
        #expect(refusal(String(text.dropLast(4)), key, latest) == .checksum)
        #expect(refusal("!!!", key, latest) == .truncated)
    }
}
