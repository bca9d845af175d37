/// A seeded random source: xoshiro256**, seeded through SplitMix64 (Blackman, Vigna: "Scrambled Linear
/// Pseudorandom Number Generators", 2021). The same seed gives the same numbers on every machine; not for
/// secrets.
package struct Random: RandomNumberGenerator, Sendable {
    @usableFromInline var s0: UInt64
    @usableFromInline var s1: UInt64
    @usableFromInline var s2: UInt64
    @usableFromInline var s3: UInt64

    package init(seed: UInt64) {
        var mix = seed
        func next() -> UInt64 {
            mix &+= 0x9E37_79B9_7F4A_7C15
            var z = mix
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
        s0 = next()
        s1 = next()
        s2 = next()
        s3 = next()
    }

    @inlinable package mutating func next() -> UInt64 {
        let result = rotate(s1 &* 5, 7) &* 9
        let t = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        s3 = rotate(s3, 45)
        return result
    }

    @inlinable func rotate(_ x: UInt64, _ k: UInt64) -> UInt64 { (x << k) | (x >> (64 - k)) }

    /// Uniform in `0 ..< bound` (Lemire's multiplication; the bias is below 2^-32 for the bounds in use).
    @inlinable package mutating func below(_ bound: Int) -> Int {
        invariant(bound > 0, "Random.below needs a positive bound, got \(bound)")
        return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// Uniform in the closed range.
    @inlinable package mutating func within(_ range: ClosedRange<Int64>) -> Int64 {
        let width = UInt64(bitPattern: range.upperBound &- range.lowerBound) &+ 1
        if width == 0 { return Int64(bitPattern: next()) }
        return range.lowerBound &+ Int64(bitPattern: next().multipliedFullWidth(by: width).high)
    }

    /// Uniform in the closed range of intervals.
    @inlinable package mutating func within(_ range: ClosedRange<Interval>) -> Interval {
        Interval(nanoseconds: within(range.lowerBound.nanoseconds...range.upperBound.nanoseconds))
    }

    /// Uniform in `[0, 1)`.
    @inlinable package mutating func fraction() -> Double { Double(next() >> 11) * 0x1.0p-53 }

    /// True with the given probability.
    @inlinable package mutating func chance(_ probability: Double) -> Bool { fraction() < probability }

    /// Fisher-Yates.
    @inlinable package mutating func shuffle<Element>(_ array: inout [Element]) {
        guard array.count > 1 else { return }
        for i in stride(from: array.count - 1, to: 0, by: -1) {
            array.swapAt(i, below(i + 1))
        }
    }

    /// A source of its own for a part of the program, so that one part's draws don't shift another's.
    package mutating func fork() -> Random { Random(seed: next()) }
}
