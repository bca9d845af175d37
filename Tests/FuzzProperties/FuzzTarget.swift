import MartletBase

/// What must hold of one kind of foreign bytes, whatever they are.
///
/// A target is a function of the bytes alone: no clock, no randomness, nothing left behind. So libFuzzer can
/// drive it (`Tests/FuzzDriver`, `make fuzz`), and the ordinary tests can run its corpus again
/// (`Tests/FuzzCorpusTests`). What doesn't hold is thrown; what traps is a bug as well.
///
/// Random bytes never have a right checksum, so the targets behind one have two ways in, chosen by the first
/// byte: the bytes as they are, and the bytes with all around them made right.
package struct FuzzTarget: Sendable {
    /// The name of its folder in Fuzz/corpus.
    package let name: String
    /// Longer inputs find nothing that shorter ones don't.
    package let inputBytesMax: Int
    package let check: @Sendable ([UInt8]) throws(PropertyFailure) -> Void

    package static let all: [FuzzTarget] = [
        FuzzTarget(name: "request", inputBytesMax: 1_024, check: checkRequests),
        FuzzTarget(name: "reply", inputBytesMax: 1_024, check: checkReplies),
        FuzzTarget(name: "frame", inputBytesMax: 6_000, check: checkFrame),
        FuzzTarget(name: "gossip", inputBytesMax: 2_048, check: checkGossip),
        FuzzTarget(name: "record", inputBytesMax: 512, check: checkRecords),
        FuzzTarget(name: "token", inputBytesMax: 128, check: checkVersionToken),
        FuzzTarget(name: "ring", inputBytesMax: 1_024, check: checkRing),
        FuzzTarget(name: "config", inputBytesMax: 4_096, check: checkConfiguration),
        FuzzTarget(name: "node", inputBytesMax: 2_048, check: checkNode),
        FuzzTarget(name: "session", inputBytesMax: 2_048, check: checkSession),
    ]

    package static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// A property that doesn't hold.
package struct PropertyFailure: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Throws with the text unless the condition holds.
func require(
    _ condition: @autoclosure () -> Bool, _ text: @autoclosure () -> String
) throws(PropertyFailure) {
    if !condition() { throw PropertyFailure(text()) }
}

/// Takes decisions and pieces off an input, front first. An input that is used up gives zeros, so every input
/// means something.
struct FuzzInput {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { offset == bytes.count }

    mutating func u8() -> UInt8 {
        if isAtEnd { return 0 }
        offset += 1
        return bytes[offset - 1]
    }

    mutating func u16() -> UInt16 { UInt16(u8()) << 8 | UInt16(u8()) }

    mutating func u64() -> UInt64 {
        var value: UInt64 = 0
        for _ in 0..<8 { value = value << 8 | UInt64(u8()) }
        return value
    }

    /// A number from 0 up to `bound`, which is at most 256.
    mutating func below(_ bound: Int) -> Int { Int(u8()) % bound }

    /// A length byte and as many bytes as there are of it; twice as many for each number above 127.
    mutating func piece() -> [UInt8] {
        let length = Int(u8())
        return take(length < 128 ? length : (length - 127) * 64)
    }

    mutating func take(_ count: Int) -> [UInt8] {
        let end = min(bytes.count, offset + count)
        defer { offset = end }
        return Array(bytes[offset..<end])
    }

    mutating func rest() -> [UInt8] { take(bytes.count) }
}

/// The input in one piece, byte by byte, and at places that are drawn from the input itself.
func splits(of input: [UInt8]) -> [[Range<Int>]] {
    var random = Random(seed: XXH3.hash(input.span.bytes))
    var drawn: [Range<Int>] = []
    var start = 0
    while start < input.count {
        let end = min(input.count, start + 1 + random.below(1 + random.below(40)))
        drawn.append(start..<end)
        start = end
    }
    return [[0..<input.count], input.indices.map { $0..<$0 + 1 }, drawn]
}
