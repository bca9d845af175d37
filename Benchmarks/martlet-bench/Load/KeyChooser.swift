import MartletBase

/// Which keys are wanted how often.
package enum KeyDistribution: Hashable, Sendable {
    case uniform
    /// A few keys get most of the requests, and are spread over the key space.
    case zipf(theta: Double)
    /// The newer a key, the more it is wanted.
    case latest(theta: Double)
    /// One after another, each once: to write all of them.
    case sequential
}

/// Draws key numbers, 0 up to the number of keys.
///
/// The Zipf distribution is scrambled as YCSB does it, so that the keys in demand aren't neighbours: a rank
/// among 10 billion is hashed (FNV-1a, 64 bits) and taken modulo the number of keys. With YCSB's 0.99 the
/// most wanted key gets 3.8% of the requests, however many keys there are. Another theta takes its rank among
/// the keys there are.
package struct KeyChooser: Sendable {
    private enum Rule: Sendable {
        case uniform
        case scrambled(Zipf)
        case latest(Zipf)
        case sequential
    }

    /// YCSB's: a Zipf distribution over 10 billion items, and the sum of its weights.
    package static let usualTheta = 0.99
    private static let scrambledCount = 10_000_000_000
    private static let scrambledZeta = 26.46902820178302

    private var rule: Rule
    private var nextInSequence: Int
    private let step: Int
    package private(set) var count: Int

    /// - Parameter first, step: where a sequence begins and how it goes on, when several take turns.
    package init(_ distribution: KeyDistribution, count: Int, first: Int = 0, step: Int = 1) {
        self.count = count
        self.step = step
        nextInSequence = first
        switch distribution {
        case .uniform: rule = .uniform
        case .sequential: rule = .sequential
        case .latest(let theta): rule = .latest(Zipf(count: count, theta: theta))
        case .zipf(let theta):
            rule = .scrambled(
                theta == Self.usualTheta
                    ? Zipf(count: Self.scrambledCount, theta: theta, zeta: Self.scrambledZeta)
                    : Zipf(count: count, theta: theta))
        }
    }

    /// Takes notice of keys that were inserted.
    package mutating func grow(to count: Int) {
        self.count = max(self.count, count)
        guard case .latest(var zipf) = rule else { return }
        zipf.grow(to: self.count)
        rule = .latest(zipf)
    }

    package mutating func draw(_ random: inout Random) -> Int {
        switch rule {
        case .uniform: return random.below(count)
        case .scrambled(let zipf):
            return Int(Self.hash(UInt64(zipf.draw(&random))) % UInt64(count))
        case .latest(let zipf): return count - 1 - zipf.draw(&random)
        case .sequential:
            let key = nextInSequence % count
            nextInSequence += step
            return key
        }
    }

    /// FNV-1a over the number's bytes, the lowest first.
    package static func hash(_ value: UInt64) -> UInt64 {
        var out: UInt64 = 0xCBF2_9CE4_8422_2325
        var rest = value
        for _ in 0..<8 {
            out = (out ^ rest & 0xFF) &* 0x100_0000_01B3
            rest >>= 8
        }
        return out
    }
}
