import MartletBase
import MartletGossip
import Testing

/// What is believed of members, claim by claim.
@Suite struct MemberTests {
    /// A started member that has heard of b, c and d at incarnation 5.
    static func acquainted(change: (inout GossipSettings) -> Void = { _ in }) -> Peer {
        var peer = Peer(Name.a, change: change)
        peer.handle(.start)
        for other in [Name.b, Name.c, Name.d] {
            peer.handle(.datagram(from: Name.address(other), Forged(Forged.gossip, from: other).sealed))
        }
        return peer
    }

    @Test func everyPacketSaysThatItsSenderIsUp() {
        let peer = Self.acquainted()
        #expect(peer.gossip.members.map(\.id) == [Name.a, Name.b, Name.c, Name.d])
        #expect(peer.gossip.members.allSatisfy { $0.liveness == .up && $0.incarnation == 5 })
        #expect(peer.changes.map(\.member.id) == [Name.d])
        #expect(peer.changes.first?.was == nil)
    }

    /// All pairs: the greater in (incarnation, liveness) is believed, whichever comes first.
    @Test func theGreaterClaimWinsInEitherOrder() {
        let states: [(UInt64, Liveness)] = (5...7).flatMap { incarnation in
            [.up, .suspect, .down, .left].map { (UInt64(incarnation), $0) }
        }
        for first in states {
            for second in states {
                var peer = Self.acquainted()
                peer.handle(Forged.news(from: Name.b, of: Name.d, first.0, first.1, accusers: [0xB]))
                peer.handle(Forged.news(from: Name.c, of: Name.d, second.0, second.1, accusers: [0xC]))
                let greater = (first.0, first.1.rawValue) > (second.0, second.1.rawValue) ? first : second
                let held = peer.gossip.member(Name.d)
                #expect(held?.incarnation == greater.0 && held?.liveness == greater.1, "\(first) \(second)")
            }
        }
    }

    @Test func accusationsOfOurselvesAreRefutedWithAHigherIncarnation() {
        for accusation in [Liveness.suspect, .down, .left] {
            var peer = Self.acquainted()
            peer.handle(Forged.news(from: Name.b, of: Name.a, 9, accusation, accusers: [0xB]))
            #expect(peer.gossip.incarnation == 10)
            #expect(peer.gossip.liveness(of: Name.a) == .up)
            #expect(peer.reports.contains(.refuted(incarnation: 10, accusedAs: accusation)))
            #expect(peer.gossip.localHealthScore == 1)
            #expect(peer.changes.isEmpty, "never of ourselves")
            // The next packet says so.
            var other = Peer(Name.b)
            other.handle(Forged.news(from: Name.c, of: Name.a, 9, accusation, accusers: [0xC]))
            _ = peer.wait(.milliseconds(500))
            peer.deliver(to: &other)
            #expect(other.gossip.member(Name.a)?.incarnation == 10)
            #expect(other.gossip.liveness(of: Name.a) == .up)
        }
    }

    @Test func staleAccusationsOfOurselvesAreIgnored() {
        var peer = Self.acquainted()
        peer.handle(Forged.news(from: Name.b, of: Name.a, 4, .down))
        #expect(peer.gossip.incarnation == 5)
        #expect(peer.reports.isEmpty)
    }

    @Test func incarnationsFarAheadAreOutbidAndBeyondTheLimitRefused() {
        var peer = Self.acquainted()
        peer.handle(Forged.news(from: Name.b, of: Name.a, Limits.incarnationMax - 1, .suspect, accusers: [1]))
        #expect(peer.gossip.incarnation == Limits.incarnationMax)
        for beyond in [Limits.incarnationMax + 1, .max] {
            peer.handle(Forged.news(from: Name.b, of: Name.c, beyond, .down))
            #expect(peer.refusals == ["incarnation"])
            #expect(peer.gossip.liveness(of: Name.c) == .up)
        }
        // Accusing at the limit would leave no way to refute.
        for accusation in [Liveness.suspect, .down] {
            peer.handle(
                Forged.news(from: Name.b, of: Name.c, Limits.incarnationMax, accusation, accusers: [1]))
            #expect(peer.refusals == ["incarnation"])
        }
    }

    /// Nobody would take the claim, nor anything else in the packets that carry it.
    @Test func aMemberAtTheLimitIsNeverAccused() {
        var peer = Self.acquainted()
        peer.handle(Forged.news(from: Name.b, of: Name.c, Limits.incarnationMax, .up))
        _ = peer.wait(.minutes(2))
        #expect(peer.gossip.liveness(of: Name.b) != .up)
        #expect(peer.gossip.liveness(of: Name.c) == .up)
    }

    @Test func anAccusedMemberIsToldWithAnyPacketToIt() {
        var a = Self.acquainted()
        var d = Peer(Name.d)
        d.handle(.start)
        d.handle(.datagram(from: Name.address(Name.a), Forged(Forged.gossip, from: Name.a).sealed))
        a.handle(Forged.news(from: Name.b, of: Name.d, 5, .down))
        // Long enough for the news of it to have been spread.
        _ = a.wait(.minutes(2))
        #expect(a.gossip.liveness(of: Name.d) == .down)
        _ = d.wait(.seconds(1))
        a.handle(.datagram(from: Name.address(Name.d), d.pings(to: Name.a)[0]))
        a.deliver(to: &d)
        #expect(d.gossip.incarnation == 6, "a's ack told it")
        _ = d.wait(.milliseconds(300))
        d.deliver(to: &a)
        #expect(a.gossip.liveness(of: Name.d) == .up)
    }

    @Test func anotherIdAtAnAddressIsAnotherMember() {
        var peer = Self.acquainted()
        let e = NodeID(short: 0xE, middle: 0, low: 0)
        peer.handle(Forged.news(from: Name.b, of: e, 1, .up, address: Name.address(Name.c)))
        #expect(peer.reports.contains(.addressClash(e, other: Name.c, Name.address(Name.c))))
        #expect(peer.gossip.members.count == 5)
    }

    @Test func anotherUserOfOurIdIsReported() {
        var peer = Self.acquainted()
        let elsewhere = Name.address(Name.d)
        peer.handle(
            .datagram(from: elsewhere, Forged(Forged.gossip, from: Name.a, address: elsewhere).sealed))
        #expect(peer.refusals == ["own id"])
        #expect(peer.reports == [.identityClash(elsewhere)])
        peer.handle(Forged.news(from: Name.b, of: Name.a, 5, .up, address: elsewhere))
        #expect(peer.reports.contains(.identityClash(elsewhere)))
        #expect(peer.gossip.incarnation == 6)
    }

    @Test func aMoveNeedsAHigherIncarnation() {
        var peer = Self.acquainted()
        let elsewhere = Address(ip: IPAddress(v4: 10, 9, 9, 9), port: 1)
        peer.handle(Forged.news(from: Name.b, of: Name.c, 5, .up, address: elsewhere))
        #expect(peer.gossip.member(Name.c)?.address == Name.address(Name.c))
        peer.handle(Forged.news(from: Name.b, of: Name.c, 6, .suspect, accusers: [1], address: elsewhere))
        #expect(peer.gossip.member(Name.c)?.address == Name.address(Name.c), "only it says where it is")
        peer.handle(Forged.news(from: Name.b, of: Name.c, 7, .up, address: elsewhere))
        #expect(peer.gossip.member(Name.c)?.address == elsewhere)
    }

    @Test func aForgottenMemberStaysForgotten() {
        var peer = Self.acquainted()
        peer.handle(.forget(Name.c))
        #expect(peer.gossip.liveness(of: Name.c) == nil)
        peer.handle(Forged.news(from: Name.b, of: Name.c, 99, .up))
        #expect(peer.gossip.liveness(of: Name.c) == nil)
        peer.handle(.datagram(from: Name.address(Name.c), Forged(Forged.gossip, from: Name.c).sealed))
        #expect(peer.refusals == ["forgotten"])
        #expect(peer.gossip.liveness(of: Name.c) == nil)
    }

    @Test func aFullTableDropsTheAbsentForTheNew() {
        var peer = Self.acquainted()
        peer.handle(Forged.news(from: Name.b, of: Name.c, 5, .down))
        peer.handle(Forged.news(from: Name.b, of: Name.d, 5, .left))
        var n: UInt64 = 100
        func newcomer() -> GossipEvent {
            n += 1
            let id = NodeID(short: n, middle: 0, low: 0)
            let address = Address(ip: IPAddress(v4: 10, 8, UInt8(n >> 8), UInt8(n & 255)), port: 7)
            return Forged.news(from: Name.b, of: id, 1, .up, address: address)
        }
        while peer.gossip.members.count < Limits.gossipMembersMax { peer.feed(newcomer()) }
        peer.handle(newcomer())
        #expect(peer.reports.contains(.evicted(Name.d)), "those that left go first")
        peer.handle(newcomer())
        #expect(peer.reports.contains(.evicted(Name.c)))
        peer.handle(newcomer())
        #expect(peer.refusals == ["members full"])
        #expect(peer.gossip.members.count == Limits.gossipMembersMax)
    }
}

/// When a suspect is declared down.
@Suite struct SuspicionTests {
    /// How long a suspicion of d lasts in a cluster of `count`, confirmed by so many others after 100 ms.
    static func timeout(members count: Int, confirmations: Int) -> Interval? {
        var peer = Peer(Name.a) {
            $0.probeInterval = .seconds(1)
            $0.secondOpinions = 0
        }
        for n in 0..<UInt64(count - 1) {
            let id = n == 0 ? Name.d : NodeID(short: 1_000 + n, middle: 0, low: 0)
            peer.handle(.datagram(from: Name.address(id), Forged(Forged.gossip, from: id).sealed))
        }
        let sender = NodeID(short: 1_001, middle: 0, low: 0)
        peer.handle(Forged.news(from: count > 2 ? sender : Name.d, of: Name.d, 5, .suspect, accusers: [1]))
        let began = peer.time
        _ = peer.wait(.milliseconds(100))
        for n in 0..<UInt64(confirmations) {
            peer.handle(Forged.news(from: sender, of: Name.d, 5, .suspect, accusers: [2 + n]))
            #expect(peer.reports == (n < 2 ? [.suspicionConfirmed(Name.d, confirmations: Int(n) + 1)] : []))
        }
        while peer.gossip.liveness(of: Name.d) == .suspect, peer.gossip.nextDeadline != .distantFuture {
            peer.time = peer.gossip.nextDeadline
            peer.handle(.timer)
        }
        return peer.gossip.liveness(of: Name.d) == .down ? peer.time - began : nil
    }

    @Test func confirmationsShortenIt() {
        #expect(Self.timeout(members: 10, confirmations: 0) == .seconds(12))
        let one = Self.timeout(members: 10, confirmations: 1)
        // 12 - 10 * log(2) / log(3)
        #expect(one.map { ($0 - .milliseconds(5_691)).magnitude < .milliseconds(1) } == true)
        #expect(Self.timeout(members: 10, confirmations: 2) == .seconds(2))
        #expect(Self.timeout(members: 10, confirmations: 5) == .seconds(2))
    }

    @Test func itGrowsWithTheLogarithmOfTheCluster() {
        let large = Self.timeout(members: 100, confirmations: 2)
        #expect(large.map { ($0 - .seconds(3)).magnitude < .milliseconds(1) } == true)
    }

    @Test func fewMembersNeedFewConfirmations() {
        #expect(Self.timeout(members: 2, confirmations: 0) == .seconds(2), "nobody is left to confirm")
        #expect(Self.timeout(members: 3, confirmations: 0) == .seconds(12))
        #expect(Self.timeout(members: 3, confirmations: 1) == .seconds(2))
    }

    @Test func oneAccuserCountsOnce() {
        var peer = MemberTests.acquainted()
        for _ in 0..<3 { peer.handle(Forged.news(from: Name.b, of: Name.d, 5, .suspect, accusers: [0xB])) }
        #expect(peer.reports.isEmpty)
    }

    @Test func aRefutationEndsIt() {
        var peer = MemberTests.acquainted()
        peer.handle(Forged.news(from: Name.b, of: Name.d, 5, .suspect, accusers: [0xB]))
        #expect(peer.gossip.liveness(of: Name.d) == .suspect)
        peer.handle(
            .datagram(from: Name.address(Name.d), Forged(Forged.gossip, from: Name.d, incarnation: 6).sealed))
        #expect(peer.gossip.liveness(of: Name.d) == .up)
    }

    @Test func aPushPullTellsOfTheDownAsOfASuspicion() {
        var peer = MemberTests.acquainted()
        var packet = Forged(Forged.syncLists, from: Name.b)
        packet.claim(Name.d, 5, .down)
        peer.handle(.stream(link: 1, packet.sealed))
        #expect(peer.gossip.liveness(of: Name.d) == .suspect)
        peer.handle(Forged.news(from: Name.b, of: Name.d, 5, .down))
        #expect(peer.gossip.liveness(of: Name.d) == .down, "news is believed")
    }
}

extension Peer {
    /// Without checking the state after it: for long preparations.
    mutating func feed(_ event: GossipEvent) {
        effects.removeAll(keepingCapacity: true)
        gossip.handle(
            event, now: Now(monotonic: time, wall: WallTime(milliseconds: 1_700_000_000_000)), into: &effects)
    }

    func datagrams(to id: NodeID, _ kind: UInt8) -> [Blob] {
        effects.compactMap {
            guard case .datagram(let to, let bytes) = $0, to == Name.address(id), bytes.bytes[21] == kind
            else {
                return nil
            }
            return bytes
        }
    }

    func pings(to id: NodeID) -> [Blob] { datagrams(to: id, Forged.ping) }
}
