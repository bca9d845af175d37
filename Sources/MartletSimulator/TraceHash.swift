import MartletBase

/// A running hash of everything that was delivered to a node, in order: two runs of one seed are equal if and
/// only if (but for collisions) their hashes are. The invariant Deterministic is checked by comparing them.
struct TraceHash {
    private(set) var value: UInt64 = 0x6D61_7274_6C65_7400
    private(set) var events: UInt64 = 0

    mutating func add(at instant: Instant, process: Int, kind: UInt8, digest: UInt64) {
        events += 1
        var words = InlineArray<4, UInt64>(repeating: value)
        words[1] = UInt64(bitPattern: instant.nanoseconds)
        words[2] = UInt64(process) << 8 | UInt64(kind)
        words[3] = digest
        value = XXH3.hash(words.span.bytes)
    }
}
