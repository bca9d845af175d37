import MartletBase

/// Agreed: after gossip settles, all live nodes compute the same ring and the same preference lists.
struct Agreed {
    struct View: Sendable {
        var name: String
        var ringDigest: UInt64
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
                    "Agreed", "\(first.name) and \(view.name) have different rings: \(hex(first.ringDigest)) and "
                        + hex(view.ringDigest))
            }
            for (key, owners) in view.owners.enumerated() where owners != first.owners[key] {
                throw Violation(
                    "Agreed", key: key, "\(first.name) and \(view.name) have different preference lists for k\(key)")
            }
            guard view.isAgreed else {
                throw Violation("Agreed", "\(view.name) doesn't know that all have the same ring")
            }
        }
    }
}
