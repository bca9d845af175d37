import MartletBase
import MartletRing

/// Agreed: after gossip settles, all live nodes compute the same ring, the same definitions of keyspaces and
/// the same preference lists. And what
/// makes that so: what a node knows of another in the ring only grows; an entry never gives way to an older
/// one.
struct Agreed {
    /// By process: the digest of its ring when it was last looked at, and the incarnations of its entries.
    private var digests: [UInt64]
    private var incarnations: [[NodeID: UInt64]]

    init(processes: Int) {
        digests = Array(repeating: 0, count: processes)
        incarnations = Array(repeating: [:], count: processes)
    }

    /// A process starts: what it remembers may be older than what it knew.
    mutating func started(_ process: Int) {
        digests[process] = 0
        incarnations[process] = [:]
    }

    func hasChanged(_ process: Int, _ digest: UInt64) -> Bool { digests[process] != digest }

    mutating func changed(_ process: Int, _ name: String, _ digest: UInt64, _ entries: [RingEntry])
        throws(Violation)
    {
        digests[process] = digest
        for entry in entries {
            if let known = incarnations[process][entry.id], entry.incarnation < known {
                throw Violation(
                    "Agreed",
                    "\(name) took the entry of \(entry.name) with incarnation \(entry.incarnation) "
                        + "in place of one with "
                        + "\(known)")
            }
            incarnations[process][entry.id] = entry.incarnation
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
