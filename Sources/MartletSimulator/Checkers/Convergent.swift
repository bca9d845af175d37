import MartletBase
import MartletNode
import MartletVersions

/// Convergent: once faults heal and clients stop, within a bounded time all owners of every key hold equal
/// records, by digest, and what they say to each other about that is true: the sums of what two owners both
/// own are equal.
struct Convergent {
    private(set) var checked = 0

    /// - Parameter digests: what each owner holds of a key.
    mutating func atTheEnd(_ key: Int, _ digests: [(name: String, digest: UInt64)]) throws(Violation) {
        checked += 1
        guard let first = digests.first else { return }
        for other in digests where other.digest != first.digest {
            throw Violation(
                "Convergent", key: key,
                "\(first.name) and \(other.name) hold different records in the end, and nothing hinders them")
        }
    }

    /// - Parameters:
    ///   - sum: what a node takes a leaf's sum to be.
    ///   - held: what its disk holds there.
    mutating func isTrue(_ sum: UInt64, held: UInt64, leaf: UInt32, of name: String) throws(Violation) {
        checked += 1
        guard sum != held else { return }
        throw Violation("Convergent", "\(name) is wrong about what it holds in leaf \(leaf)")
    }
}
