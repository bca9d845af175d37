import MartletNode

extension FakeBackend {
    /// Of what is shown, so that a test that changes it needs to say nothing more.
    var topologyStamp: TopologyStamp {
        let liveness = statusShown.members.reduce(UInt64(0)) { $0 &* 5 &+ UInt64($1.liveness.rawValue) &+ 1 }
        return TopologyStamp(ringDigest: statusShown.ringDigest, livenessChanges: liveness)
    }
}
