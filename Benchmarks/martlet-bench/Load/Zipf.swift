import Glibc
import MartletBase

/// Zipf-distributed ranks: rank i (from 0) of n is drawn with a probability proportional to 1 / (i +
/// 1)^theta.
///
/// Gray et al., "Quickly Generating Billion-Record Synthetic Databases", SIGMOD 1994: exact for the two
/// first ranks, and one power a draw for the others. The sum over all ranks, zeta, is computed once and added
/// to when n grows.
package struct Zipf: Hashable, Sendable {
    package let theta: Double
    package private(set) var count: Int
    private var zeta: Double
    private let alpha: Double
    private var eta = 0.0
    private let second: Double

    /// - Parameter theta: above 0 and below 1; 0.99 is YCSB's.
    package init(count: Int, theta: Double) {
        invariant(count > 0 && theta > 0 && theta < 1, "a Zipf distribution needs items and 0 < theta < 1")
        self.theta = theta
        self.count = count
        alpha = 1 / (1 - theta)
        second = 1 + pow(0.5, theta)
        zeta = Self.sum(1...count, theta)
        updateEta()
    }

    /// With a zeta that is known: for counts over which it would take long to sum.
    package init(count: Int, theta: Double, zeta: Double) {
        self.theta = theta
        self.count = count
        alpha = 1 / (1 - theta)
        second = 1 + pow(0.5, theta)
        self.zeta = zeta
        updateEta()
    }

    /// Adds ranks at the end, which are the least likely.
    package mutating func grow(to count: Int) {
        if count <= self.count { return }
        zeta += Self.sum(self.count + 1...count, theta)
        self.count = count
        updateEta()
    }

    private mutating func updateEta() {
        eta = (1 - pow(2 / Double(count), 1 - theta)) / (1 - second / zeta)
    }

    private static func sum(_ ranks: ClosedRange<Int>, _ theta: Double) -> Double {
        var out = 0.0
        for rank in ranks { out += pow(1 / Double(rank), theta) }
        return out
    }

    /// The share of draws that give this rank.
    package func probability(of rank: Int) -> Double { pow(1 / Double(rank + 1), theta) / zeta }

    package func draw(_ random: inout Random) -> Int {
        let u = random.fraction()
        let scaled = u * zeta
        if scaled < 1 { return 0 }
        if scaled < second { return min(1, count - 1) }
        return min(count - 1, Int(Double(count) * pow(eta * u - eta + 1, alpha)))
    }
}
