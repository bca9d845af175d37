import MartletBase

/// What one request does.
package enum OperationKind: Int, Hashable, Sendable, CaseIterable {
    /// GET.
    case read
    /// SET of a key that is there.
    case update
    /// SET of a new key.
    case insert
    /// MGET of keys that follow each other.
    case scan
    /// GET, and once it is answered SET of the same key: one operation, timed as a whole.
    case modify

    package var name: String { "\(self)" }
    package var isWrite: Bool { self == .update || self == .insert || self == .modify }
}

/// The mix of operations and the keys they go to.
///
/// YCSB's core workloads (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", SoCC 2010) on
/// strings: a record is one value. Redis has no scan by key order, so E's scan is an MGET of 1 to
/// `scanKeysMax` consecutive key numbers, as many round trips and as many bytes, without a search.
package struct Workload: Hashable, Sendable {
    package var name: String
    /// Shares of all operations, in the order of `OperationKind`; they sum to 1.
    package var shares: [Double]
    package var distribution: KeyDistribution
    package var scanKeysMax = 100

    package init(
        name: String, read: Double = 0, update: Double = 0, insert: Double = 0, scan: Double = 0,
        modify: Double = 0, _ distribution: KeyDistribution
    ) {
        self.name = name
        shares = [read, update, insert, scan, modify]
        self.distribution = distribution
    }

    /// A share of reads, the rest updates.
    package static func mix(read: Double, _ distribution: KeyDistribution) -> Workload {
        Workload(name: "mix", read: read, update: 1 - read, distribution)
    }

    /// Every key once.
    package static let preload = Workload(name: "preload", insert: 1, .sequential)

    /// YCSB's, by its letter; nil for another.
    package static func ycsb(_ letter: String) -> Workload? {
        let theta = KeyChooser.usualTheta
        switch letter.uppercased() {
        case "A": return Workload(name: "A", read: 0.5, update: 0.5, .zipf(theta: theta))
        case "B": return Workload(name: "B", read: 0.95, update: 0.05, .zipf(theta: theta))
        case "C": return Workload(name: "C", read: 1, .zipf(theta: theta))
        case "D": return Workload(name: "D", read: 0.95, insert: 0.05, .latest(theta: theta))
        case "E": return Workload(name: "E", insert: 0.05, scan: 0.95, .zipf(theta: theta))
        case "F": return Workload(name: "F", read: 0.5, modify: 0.5, .zipf(theta: theta))
        default: return nil
        }
    }
}

/// One request to be made.
package struct Operation: Hashable, Sendable {
    package var kind: OperationKind
    package var key: Int
    /// Keys of a scan, else 1.
    package var keyCount: Int
}

/// Draws operations; the same seed draws the same ones.
package struct OperationSource: Sendable {
    private var random: Random
    private var chooser: KeyChooser
    private let limits: [Double]
    private let isPreload: Bool
    private let scanKeysMax: Int
    private var nextInsert: Int
    private let step: Int

    /// - Parameter part, of: which of how many sources that draw at the same time this is, so that no two
    /// insert the same key.
    package init(_ workload: Workload, keyCount: Int, seed: UInt64, part: Int = 0, of parts: Int = 1) {
        random = Random(seed: seed &+ UInt64(part) &* 0x9E37_79B9)
        chooser = KeyChooser(workload.distribution, count: keyCount, first: part, step: parts)
        var sum = 0.0
        limits = workload.shares.map { share in
            sum += share
            return sum
        }
        isPreload = workload.distribution == .sequential
        scanKeysMax = workload.scanKeysMax
        nextInsert = keyCount + part
        step = parts
    }

    package mutating func next() -> Operation {
        let draw = random.fraction()
        let index = limits.firstIndex { draw < $0 } ?? limits.lastIndex { $0 > 0 } ?? 0
        guard let kind = OperationKind(rawValue: index) else { invariantBroken("a share without a kind") }
        if kind == .insert, !isPreload {
            let key = nextInsert
            nextInsert += step
            return Operation(kind: .insert, key: key, keyCount: 1)
        }
        let key = chooser.draw(&random)
        let count = kind == .scan ? 1 + random.below(scanKeysMax) : 1
        return Operation(kind: kind, key: key, keyCount: count)
    }

    /// A key of the mix was inserted and acknowledged: from now on others may want it.
    package mutating func wasInserted(_ key: Int) { chooser.grow(to: key + 1) }
}
