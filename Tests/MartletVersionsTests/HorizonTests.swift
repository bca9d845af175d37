import MartletBase
import MartletVersions
import Testing

@Suite struct HorizonTests {
    private let writer = Writer(node: 1, boot: 1, shard: 0)

    private func stamp(_ milliseconds: Int64) -> Stamp {
        Stamp(time: HybridTime(WallTime(milliseconds: milliseconds)), writer: writer)
    }

    private func bits(_ milliseconds: Int64) -> UInt64 {
        HybridTime(WallTime(milliseconds: milliseconds)).bits
    }

    private func isHidden(_ register: Register, truncation: Int64 = 0, purgeFloor: Int64 = 0) -> Bool {
        Record.isHidden(
            register.encoded().span,
            behind: Horizon(truncation: bits(truncation), purgeFloor: bits(purgeFloor)))
    }

    @Test func aTruncationHidesAllThatWasWrittenByThen() {
        let value = Register(stamp: stamp(10), value: .present(Blob("v")))
        #expect(isHidden(value, truncation: 10))
        #expect(!isHidden(value, truncation: 9))
        // Its expiry was set later.
        let touched = Register(
            stamp: stamp(10), value: .present(Blob("v")), expiryStamp: stamp(12), expiry: 99)
        #expect(isHidden(touched, truncation: 10))
        #expect(!isHidden(touched, truncation: 9))
    }

    @Test func aPurgeFloorHidesTombstonesAndWhatHasExpiredByThen() {
        #expect(isHidden(Register(stamp: stamp(10), value: .tombstone), purgeFloor: 10))
        #expect(!isHidden(Register(stamp: stamp(10), value: .tombstone), purgeFloor: 9))
        #expect(!isHidden(Register(stamp: stamp(10), value: .present(Blob("v"))), purgeFloor: 1_000))
        let expiring = Register(stamp: stamp(10), value: .present(Blob("v")), expiry: 20)
        #expect(!isHidden(expiring, purgeFloor: 19))
        #expect(isHidden(expiring, purgeFloor: 20))
        let never = Register(stamp: stamp(10), value: .present(Blob("v")), expiry: .max)
        #expect(!isHidden(never, purgeFloor: 1_000))
        let dropped = Register(stamp: stamp(10), value: .dropped(hash: 1, length: 20), expiry: 20)
        #expect(isHidden(dropped, purgeFloor: 20))
    }

    @Test func nothingIsHiddenWithoutAHorizonAndNoBytesThatCantBeDated() {
        #expect(!isHidden(Register(stamp: stamp(0), value: .tombstone)))
        let horizon = Horizon(truncation: .max, purgeFloor: .max)
        let isNoiseHidden = Record.isHidden(Blob("noise").span, behind: horizon)
        #expect(!isNoiseHidden)
    }
}
