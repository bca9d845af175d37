import MartletNode

extension FakeBackend {
    /// Of what is shown, so that a test that changes it needs to say nothing more.
    package var topologyStamp: TopologyStamp {
        let liveness = statusShown.members.reduce(UInt64(0)) { sum, member in
            sum &* 16 &+ UInt64(member.liveness.rawValue) << 1 &+ (member.isReachable ? 9 : 8)
        }
        return TopologyStamp(ringDigest: statusShown.ringDigest, livenessChanges: liveness)
    }
}
