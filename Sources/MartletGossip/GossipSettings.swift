import MartletBase

/// What can be set of gossip. The defaults detect a killed node among 30 within 5 s in the median, at about
/// 210 bytes a second a node when idle, packet headers included.
package struct GossipSettings: Sendable {
    /// In every packet; those of another name are refused. No default.
    package var clusterName: String

    /// Time between two regular probes. Default 1 s. Raising it saves traffic and detects later; lowering it
    /// the reverse. The suspicion timeout scales with it.
    package var probeInterval: Interval = .seconds(1)

    /// How long a direct probe's answer is waited for, and, after that, the indirect ones'. Default 500 ms.
    /// Raising it tolerates slower networks and detects later; below the largest round trip every probe
    /// fails.
    package var probeTimeout: Interval = .milliseconds(500)

    /// Members asked to probe a target that didn't answer. Default 3. Raising it withstands more loss and
    /// costs packets when probes fail; 0 leaves only the fallback over TCP.
    package var indirectProbes = 3

    /// Members asked, on average, to probe a suspect at once and so confirm or clear the suspicion. Default
    /// 4. Raising it brings confirmations sooner at the cost of a burst of probes a suspicion; 0 leaves them
    /// to regular probes.
    package var secondOpinions = 4

    /// Time between two rounds of gossip while there is something to spread. Default 200 ms. Raising it
    /// spreads slower in fewer packets; lowering it the reverse. An idle node sends none.
    package var gossipInterval: Interval = .milliseconds(200)

    /// Members a round of gossip goes to. Default 3. Raising it spreads faster at more traffic after a
    /// change.
    package var gossipFanout = 3

    /// Times log2(members + 1): how often each member passes on a piece of news. Default 3. Raising it makes
    /// it less likely that packets miss a member (which push-pull would then tell); lowering it saves traffic
    /// after a change.
    package var retransmitMultiplier = 3

    /// The least suspicion timeout in a small cluster. Default 2 s. Raising it forgives longer stalls and
    /// detects later; below the time a refutation needs to spread, live members are declared down.
    package var suspicionTimeoutMin: Interval = .seconds(2)

    /// Times log10(members) times `probeInterval`: the least suspicion timeout in a large cluster. Default
    /// 1.5. To be raised and lowered for the reasons of `suspicionTimeoutMin`.
    package var suspicionMultiplier = 1.5

    /// The timeout of an unconfirmed suspicion, as a multiple of the least one. Default 6. Raising it
    /// protects better against one sick member that suspects everybody; lowering it detects sooner what only
    /// one member can see.
    package var suspicionMaxMultiplier = 6

    /// Confirmations by other members that bring the timeout down to the least one. Default 2; fewer when
    /// fewer members are left to give them. Raising it trusts a suspicion later; 0 trusts it at once.
    package var suspicionConfirmations = 2

    /// The worst score of the node's own health. Probe interval and timeout are multiplied by score + 1.
    /// Default 8. Raising it makes a sick node more cautious; 0 turns local health off.
    package var localHealthMax = 8

    /// Time between two push-pulls. Default 30 s. Raising it saves a little traffic and heals lost news
    /// later.
    package var pushPullInterval: Interval = .seconds(30)

    /// While members are down or have left, or seeds were never met: time between two chances of contacting
    /// one, taken with probability (absent / present), so that the cluster as a whole tries each about once
    /// in such a time. Default 2 s. Raising it saves packets to the dead and rejoins a healed partition
    /// later.
    package var reconnectInterval: Interval = .seconds(2)

    /// Bounds of the time between two attempts to join while nobody is known; it doubles from the first to
    /// the second, with jitter. Defaults 500 ms and 10 s. Raising them spares seeds that are down, and joins
    /// later.
    package var joinBackoffMin: Interval = .milliseconds(500)
    package var joinBackoffMax: Interval = .seconds(10)

    /// Bytes of one datagram, 512 to 65,507. Default 1,400: fits an Ethernet frame with room for tunnels.
    /// Raising it spreads more news a packet and risks fragments, which are lost whole.
    package var packetBytesMax = 1_400

    package static let packetBytesLeast = 512

    package init(clusterName: String) { self.clusterName = clusterName }

    func check() {
        invariant(
            probeInterval > .zero && probeTimeout > .zero && gossipInterval > .zero
                && pushPullInterval > .zero
                && reconnectInterval > .zero && joinBackoffMin > .zero && joinBackoffMax >= joinBackoffMin,
            "gossip's intervals must be positive")
        invariant(
            (Self.packetBytesLeast...Limits.packetBytesMax).contains(packetBytesMax),
            "packetBytesMax must be within \(Self.packetBytesLeast) and \(Limits.packetBytesMax)")
        invariant(
            indirectProbes >= 0 && secondOpinions >= 0 && gossipFanout > 0 && retransmitMultiplier > 0
                && localHealthMax >= 0 && suspicionMaxMultiplier >= 1 && suspicionMultiplier >= 0,
            "gossip's counts and multipliers must not be negative")
        invariant(
            (0..<Limits.accusersMax).contains(suspicionConfirmations),
            "a suspicion names at most \(Limits.accusersMax) accusers")
    }
}
