import MartletBase
import MartletGossip
import Testing

/// One probe, step by step.
@Suite struct ProbeTests {
    /// a knows b, c and d, and has just pinged d.
    static func probing() -> (peer: Peer, ping: Blob) {
        var peer = MemberTests.acquainted()
        peer.handle(.connectionBroke(Name.d))
        return (peer, peer.pings(to: Name.d)[0])
    }

    static func sequence(_ ping: Blob) -> UInt32 {
        // header 22 + claim 1 + 20 + 1 + 7
        ping.bytes[51..<55].reduce(0) { $0 << 8 | UInt32($1) }
    }

    static func ack(_ ping: Blob, from id: NodeID, kind: UInt8 = Forged.ack) -> Blob {
        var packet = Forged(kind, from: id)
        packet.with {
            $0.u32(sequence(ping))
            if kind == Forged.ack { $0.u64(1_700_000_000_500_000) }
        }
        return packet.sealed
    }

    @Test func anAckInTimeIsAClockSample() {
        var (peer, ping) = Self.probing()
        peer.time = peer.time + .milliseconds(20)
        peer.handle(.datagram(from: Name.address(Name.d), Self.ack(ping, from: Name.d)))
        guard case .clockSample(Name.d, let offset, let roundTrip) = peer.effects.first else {
            Issue.record("\(peer.effects)")
            return
        }
        #expect(roundTrip == .milliseconds(20))
        #expect(offset == .milliseconds(510), "their wall clock at the middle of the round trip, minus ours")
        // A second one answers nothing.
        peer.handle(.datagram(from: Name.address(Name.d), Self.ack(ping, from: Name.d)))
        #expect(peer.effects.isEmpty)
    }

    @Test func anAckBySomebodyElseIsNone() {
        var (peer, ping) = Self.probing()
        peer.handle(.datagram(from: Name.address(Name.c), Self.ack(ping, from: Name.c)))
        #expect(peer.effects.isEmpty)
        _ = peer.wait(.seconds(1))
        #expect(peer.gossip.liveness(of: Name.d) == .suspect)
    }

    @Test func silenceAsksHelpersAndTheStreamAndThenAccuses() {
        var (peer, ping) = Self.probing()
        _ = peer.wait(.milliseconds(499))
        #expect(!peer.effects.contains { if case .stream = $0 { true } else { false } })
        _ = peer.wait(.milliseconds(2))
        #expect(peer.datagrams(to: Name.b, Forged.pingRequest).count == 1)
        #expect(peer.datagrams(to: Name.c, Forged.pingRequest).count == 1)
        let streams = peer.effects.filter {
            if case .stream(Name.address(Name.d), _) = $0 { true } else { false }
        }
        #expect(streams.count == 1)
        for helper in [Name.b, Name.c] {
            peer.handle(.datagram(from: Name.address(helper), Self.ack(ping, from: helper, kind: 5)))
        }
        _ = peer.wait(.milliseconds(500))
        #expect(peer.reports.contains(.probeFailed(Name.d, nacks: 2, helpers: 2)))
        #expect(peer.changes.first?.member.liveness == .suspect)
        #expect(peer.gossip.localHealthScore == 0, "the helpers are well, so the doubt isn't ours")
    }

    @Test func silentHelpersAreOurOwnDoubt() {
        var (peer, _) = Self.probing()
        _ = peer.wait(.seconds(1))
        #expect(peer.reports.contains(.probeFailed(Name.d, nacks: 0, helpers: 2)))
        #expect(peer.reports.contains(.localHealth(2)))
    }

    @Test func aRelayedAckOrOneOverTheStreamSaves() {
        for overStream in [false, true] {
            var (peer, ping) = Self.probing()
            _ = peer.wait(.milliseconds(600))
            if overStream {
                peer.handle(.stream(link: 3, Self.ack(ping, from: Name.d)))
                #expect(peer.reports == [.datagramsLost(Name.d)])
            } else {
                peer.handle(.datagram(from: Name.address(Name.b), Self.ack(ping, from: Name.b, kind: 4)))
            }
            _ = peer.wait(.milliseconds(500))
            #expect(peer.gossip.liveness(of: Name.d) == .up)
        }
    }

    @Test func aHelperPingsAndPassesTheAckOnOrSaysNo() {
        for answers in [true, false] {
            var helper = MemberTests.acquainted()
            var request = Forged(Forged.pingRequest, from: Name.b)
            request.with {
                $0.u32(77)
                Name.d.write(to: &$0)
                $0.u8(4)
                $0.u32(1)
                $0.u16(1)
            }
            helper.handle(.datagram(from: Name.address(Name.b), request.sealed))
            let ping = helper.pings(to: Name.d)[0]
            if answers {
                helper.handle(.datagram(from: Name.address(Name.d), Self.ack(ping, from: Name.d)))
                let relayed = helper.datagrams(to: Name.b, 4)
                #expect(relayed.map(Self.sequence) == [77])
            }
            let nacks = helper.wait(.milliseconds(450))
            #expect(
                nacks.contains {
                    if case .datagram(_, let bytes) = $0 { bytes.bytes[21] == 5 } else { false }
                } != answers)
        }
    }

    @Test func aPingForSomebodyElseIsRefused() {
        var peer = MemberTests.acquainted()
        var packet = Forged(Forged.ping, from: Name.b)
        packet.with {
            $0.u32(1)
            Name.d.write(to: &$0)
            $0.u64(0)
        }
        peer.handle(.datagram(from: Name.address(Name.b), packet.sealed))
        #expect(peer.refusals == ["target"])
    }

    @Test func aPingOverAStreamIsAcknowledgedThere() {
        var peer = MemberTests.acquainted()
        var packet = Forged(Forged.ping, from: Name.b)
        packet.with {
            $0.u32(9)
            Name.a.write(to: &$0)
            $0.u64(0)
        }
        peer.handle(.stream(link: 42, packet.sealed))
        guard case .respond(42, let bytes) = peer.effects.first else {
            Issue.record("\(peer.effects)")
            return
        }
        #expect(bytes.bytes[21] == Forged.ack && Self.sequence(bytes) == 9)
    }

    @Test func everyMemberIsProbedOnceARound() {
        var peer = Peer(Name.a) { $0.localHealthMax = 0 }
        peer.handle(.start)
        var others: [NodeID] = []
        for n in UInt64(1)...12 {
            let id = NodeID(short: 0x20 + n, middle: 0, low: 0)
            others.append(id)
            peer.handle(.datagram(from: Name.address(id), Forged(Forged.gossip, from: id).sealed))
        }
        var probed: [NodeID] = []
        while probed.count < 36 {
            _ = peer.wait(.milliseconds(100))
            for id in others {
                for ping in peer.pings(to: id) {
                    probed.append(id)
                    peer.handle(.datagram(from: Name.address(id), Self.ack(ping, from: id)))
                }
            }
        }
        // The first round begins before all are known; from then on each round holds everybody once.
        for round in 1...2 { #expect(Set(probed[12 * round..<12 * round + 12]).count == 12) }
        #expect(Array(probed[12..<24]) != Array(probed[24..<36]), "in a new order each time")
    }

    @Test func localHealthStretchesTheProbe() {
        var peer = MemberTests.acquainted()
        peer.handle(Forged.news(from: Name.b, of: Name.a, 5, .suspect, accusers: [0xB]))
        #expect(peer.gossip.localHealthScore == 1)
        peer.handle(.connectionBroke(Name.d))
        _ = peer.wait(.milliseconds(900))
        #expect(!peer.effects.contains { if case .stream = $0 { true } else { false } })
        _ = peer.wait(.milliseconds(101))
        #expect(peer.effects.contains { if case .stream = $0 { true } else { false } })
    }

    @Test func aStallVoidsTheProbesUnderWay() {
        var (peer, _) = Self.probing()
        peer.time = peer.time + .seconds(20)
        peer.handle(.timer)
        #expect(peer.reports.contains { $0.isStall })
        #expect(peer.gossip.liveness(of: Name.d) == .up)
    }
}
