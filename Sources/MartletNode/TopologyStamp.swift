/// What the shown topology of the cluster depends on: equal stamps of one node mean that the ring, what the
/// node believes of its peers' liveness, and whom it reaches, are as they were.
package struct TopologyStamp: Hashable, Sendable {
    package var ringDigest: UInt64
    /// Changes of anybody's liveness or reachability since the start.
    package var livenessChanges: UInt64

    package init(ringDigest: UInt64, livenessChanges: UInt64) {
        self.ringDigest = ringDigest
        self.livenessChanges = livenessChanges
    }
}
