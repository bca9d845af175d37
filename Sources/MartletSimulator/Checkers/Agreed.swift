import MartletBase
import MartletRing

/// Agreed: after gossip settles, all live nodes compute the same ring, the same definitions of keyspaces and
/// the same preference lists. And what makes that so: what a node knows of another in the ring only grows; an
/// entry never gives way to an older one.
struct Agreed {
    /// By process: the digest of its ring when it was last looked at, and the ages of its entries.
    private var digests: [UInt64]
    private var ages: [[NodeID: Age]]

    /// As entries are merged: a later move counts for more than a greater incarnation.
    private struct Age: Comparable, CustomStringConvertible {
        let moved: UInt64
        let incarnation: UInt64

        var description: String { "incarnation \(incarnation), moved at \(moved)" }

        static func < (a: Age, b: Age) -> Bool { (a.moved, a.incarnation) < (b.moved, b.incarnation) }
    }

    init(processes: Int) {
        digests = Array(repeating: 0, count: processes)
        ages = Array(repeating: [:], count: processes)
    }

    /// A process starts: what it remembers may be older than what it knew.
    mutating func started(_ process: Int) {
        digests[process] = 0
        ages[process] = [:]
    }

    func hasChanged(_ process: Int, _ digest: UInt64) -> Bool { digests[process] != digest }

    mutating func changed(_ process: Int, _ name: String, _ digest: UInt64, _ entries: [RingEntry])
        throws(Violation)
    {
        digests[process] = digest
        for entry in entries {
            let age = Age(moved: entry.moved, incarnation: entry.incarnation)
            if let known = ages[process][entry.id], age < known {
                throw Violation(
                    "Agreed", "\(name) took the entry of \(entry.name) of \(age) in place of one of \(known)")
            }
            ages[process][entry.id] = age
        }
    }

    struct View: Sendable {
        var name: String
        var ringDigest: UInt64
        /// The digest of all keyspaces' definitions.
        var definitions: UInt64
        /// Whether the node itself thinks that all agree.
        var isAgreed: Bool
        /// By key of the workload.
        var owners: [[NodeID]]
    }

    static func check(_ views: [View]) throws(Violation) {
        guard let first = views.first else { return }
        for view in views {
            guard view.ringDigest == first.ringDigest else {
                throw Violation(
                    "Agreed",
                    "\(first.name) and \(view.name) have different rings: \(hex(first.ringDigest)) and "
                        + hex(view.ringDigest))
            }
            guard view.definitions == first.definitions else {
                throw Violation(
                    "Agreed", "\(first.name) and \(view.name) have different definitions of keyspaces")
            }
            for (key, owners) in view.owners.enumerated() where owners != first.owners[key] {
                throw Violation(
                    "Agreed", key: key,
                    "\(first.name) and \(view.name) have different preference lists for k\(key)")
            }
            guard view.isAgreed else {
                throw Violation("Agreed", "\(view.name) doesn't know that all have the same ring")
            }
        }
    }
}
