import MartletBase
import Testing

@Suite struct BytesTests {
    @Test(arguments: [0, 1, 127, 128, 16_383, 16_384, UInt64(UInt32.max), UInt64.max])
    func varintsRoundTripInTheirShortestForm(_ value: UInt64) throws {
        var writer = ByteWriter()
        writer.varint(value)
        let blob = Blob(writer.bytes)
        var reader = ByteReader(blob.span)
        let read = try reader.varint()
        #expect(read == value)
        let atEnd = reader.isAtEnd
        #expect(atEnd)
    }

    @Test(arguments: [[0x80, 0x00], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02]])
    func varintsThatAreLongerThanNeededOrTooLargeAreRefused(_ raw: [UInt8]) {
        let blob = Blob(raw)
        var reader = ByteReader(blob.span)
        var refused = false
        do { _ = try reader.varint() } catch { refused = error == .invalid("varint") }
        #expect(refused)
    }

    @Test func readingPastTheEndIsTruncation() {
        let blob = Blob([1, 2, 3])
        var reader = ByteReader(blob.span)
        var refused = false
        do { _ = try reader.u32() } catch { refused = error == .truncated }
        #expect(refused)
    }

    @Test func aLengthOverItsLimitIsNamed() {
        var writer = ByteWriter()
        writer.blob(Blob("hello"))
        let blob = Blob(writer.bytes)
        var reader = ByteReader(blob.span)
        var said: WireError?
        do { _ = try reader.blob(max: 4, "key") } catch { said = error }
        #expect(said == .tooLong(what: "key", count: 5, max: 4))
    }

    @Test func blobsOrderAsUnsignedBytes() {
        #expect(Blob([0x7F]) < Blob([0x80]))
        #expect(Blob("abcdefgh1") < Blob("abcdefgh2"))
        #expect(Blob("abc") < Blob("abcd"))
        #expect(!(Blob("abc") < Blob("abc")))
    }

    @Test func base64URLRoundTripsAndRefusesOtherSpellings() {
        for length in 0..<40 {
            let raw = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            #expect(Base64URL.decode(Base64URL.encode(raw).utf8) == raw)
        }
        #expect(Base64URL.decode("AB=".utf8) == nil)
        #expect(Base64URL.decode("A".utf8) == nil)
        #expect(Base64URL.decode("AB".utf8) == nil, "spare bits must be zero")
    }

    @Test(arguments: ["127.0.0.1:7600", "[::1]:7600", "[2001:db8::5:0:1]:1", "[1::]:2"])
    func addressesRoundTrip(_ text: String) throws {
        #expect(try #require(Address(text, defaultPort: 1)).description == text)
    }

    @Test(arguments: [
        "", "localhost:1", "1.2.3:4", "1.2.3.4:0", "1.2.3.4:65536", "::1:2:3:4:5:6:7:8:9", "01.2.3.4", "[::1",
    ])
    func otherTextIsNoAddress(_ text: String) {
        #expect(Address(text, defaultPort: 7) == nil)
    }

    @Test func aSeedGivesTheSameNumbersEverywhere() {
        var random = Random(seed: 42)
        #expect(
            (0..<3).map { _ in random.next() } == [
                1_546_998_764_402_558_742, 6_990_951_692_964_543_102, 12_544_586_762_248_559_009,
            ])
    }

    @Test func nodeIDsRoundTripThroughHex() throws {
        var random = Random(seed: 1)
        let id = NodeID(random: &random)
        #expect(id.description.count == 40)
        #expect(NodeID(hex: id.description) == id)
        #expect(NodeID(hex: "12") == nil)
    }

    @Test func limitsAgreeWithEachOther() { Limits.checkRelations() }
}

@Suite struct FixedWriterTests {
    @Test func fixedBytesAreThoseOfOneByOne() {
        var whole = ByteWriter()
        whole.u8(7)
        whole.fixed(15) {
            $0.u64(0x0102_0304_0506_0708)
            $0.u32(0xA0B0_C0D0)
            $0.u16(0x1122)
            $0.u8(0x33)
        }
        var parts = ByteWriter()
        parts.u8(7)
        parts.u64(0x0102_0304_0506_0708)
        parts.u32(0xA0B0_C0D0)
        parts.u16(0x1122)
        parts.u8(0x33)
        #expect(whole.bytes == parts.bytes)
        whole.patch(u32: 0xDEAD_BEEF, at: 1)
        #expect(whole.bytes[1...4] == [0xDE, 0xAD, 0xBE, 0xEF])
    }

    @Test func moreThanAnnouncedTraps() async {
        await #expect(processExitsWith: .failure) {
            var writer = ByteWriter()
            writer.fixed(4) { $0.u64(1) }
        }
        await #expect(processExitsWith: .failure) {
            var writer = ByteWriter()
            writer.fixed(4) { $0.u16(1) }
        }
    }
}
