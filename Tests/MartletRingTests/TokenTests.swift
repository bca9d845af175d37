import MartletBase
import MartletRing
import Testing

/// CRC16/XMODEM as its definition has it: bit by bit.
private func crc16(_ bytes: some Sequence<UInt8>) -> UInt16 {
    var crc: UInt16 = 0
    for byte in bytes {
        crc ^= UInt16(byte) << 8
        for _ in 0..<8 { crc = crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
    }
    return crc
}

/// Redis's `keyHashSlot` (cluster.c), byte by byte.
private func redisSlot(_ key: [UInt8]) -> UInt16 {
    guard let open = key.firstIndex(of: UInt8(ascii: "{")),
        let close = key[(open + 1)...].firstIndex(of: UInt8(ascii: "}")), close != open + 1
    else { return crc16(key) & 16_383 }
    return crc16(key[(open + 1)..<close]) & 16_383
}

@Suite struct TokenTests {
    /// From the Redis Cluster specification and a Redis 7 server's CLUSTER KEYSLOT.
    @Test(arguments: [
        ("123456789", 0x31C3), ("foo", 12_182), ("", 0), ("{user1000}.following", 3_443),
        ("{user1000}.followers", 3_443),
    ])
    func slotsAreThoseOfRedisCluster(_ key: String, _ slot: Int) {
        #expect(Token(key: Blob(key)).slot == Slot(slot))
    }

    @Test func theHashTagIsWhatStandsInTheFirstBracesUnlessItIsEmpty() {
        func slot(_ key: String) -> Slot { Token(key: Blob(key)).slot }
        #expect(slot("foo{}{bar}") == Slot(Int(redisSlot(Array("foo{}{bar}".utf8)))))
        #expect(slot("foo{}{bar}") != slot("bar"))
        #expect(slot("foo{{bar}}zap") == slot("{bar"))
        #expect(slot("foo{bar}{zap}") == slot("bar"))
        #expect(slot("}a{bar}") == slot("bar"))
    }

    @Test(arguments: 1...10)
    func slotsAgreeWithTheBitwiseDefinition(seed: UInt64) {
        var random = Random(seed: seed)
        let alphabet = Array("{}{}ab\u{0}z".utf8)
        for _ in 0..<2_000 {
            let key = (0..<random.below(40)).map { _ in
                random.chance(0.5) ? alphabet[random.below(alphabet.count)] : UInt8(random.below(256))
            }
            #expect(Token(key: Blob(key)).slot.index == redisSlot(key), "seed \(seed), key \(key)")
        }
    }

    @Test func aTokenIsTheSlotAboveFiftyBitsOfTheKeysHash() {
        let key = Blob("{tag}a long enough key to be hashed by more than one step of XXH3, as keys may be")
        let token = Token(key: key)
        #expect(token.value >> 50 == UInt64(Token(key: Blob("tag")).slot.index))
        #expect(token.value & (1 << 50 - 1) == XXH3.hash(key) & (1 << 50 - 1))
        #expect(Token(key: key.span) == token)
        #expect(Token.bounds(of: token.slot).contains(token))
        #expect(Token.bounds(of: .last).upperBound.value == .max)
        #expect(Token.bounds(of: .first).lowerBound.value == 0)
    }

    @Test func tokensAreOrderedBySlotFirst() {
        let keys = (0..<500).map { Blob("key \($0)") }
        let byToken = keys.map { Token(key: $0) }.sorted()
        #expect(byToken.map(\.slot) == byToken.map(\.slot).sorted())
    }
}
