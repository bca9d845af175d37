import MartletBase
import MartletGossip
import Testing

/// One push-pull, step by step.
@Suite struct PushPullTests {
    static func key(_ n: UInt64) -> RumourKey { RumourKey(kind: 1, id: NodeID(short: n, middle: 0, low: 0)) }

    /// Carries a request of a's and the answers back and forth on one link; gives what each learned and the
    /// number of messages.
    static func exchange(_ a: inout Peer, _ b: inout Peer) -> (
        a: [RumourKey: Blob], b: [RumourKey: Blob], messages: Int
    ) {
        var learned: [[RumourKey: Blob]] = [[:], [:]]
        var message: Blob?
        for case .stream(Name.address(b.gossip.id), let bytes) in a.effects { message = bytes }
        var messages = 0
        while let bytes = message {
            message = nil
            messages += 1
            let receiver = messages % 2
            if receiver == 1 { b.handle(.stream(link: 8, bytes)) } else { a.handle(.stream(link: 8, bytes)) }
            for effect in receiver == 1 ? b.effects : a.effects {
                switch effect {
                case .respond(8, let answer): message = answer
                case .rumour(let key, let bytes): learned[receiver][key] = bytes
                default: break
                }
            }
        }
        return (learned[0], learned[1], messages)
    }

    @Test func bothLearnWhatTheyLackOrHoldOtherwise() {
        var a = Peer(Name.a)
        var b = Peer(Name.b)
        a.handle(.publish(Self.key(1), Blob("same")))
        b.handle(.publish(Self.key(1), Blob("same")))
        a.handle(.publish(Self.key(2), Blob("a's")))
        b.handle(.publish(Self.key(2), Blob("b's")))
        a.handle(.publish(Self.key(3), Blob("only a's")))
        b.handle(.publish(Self.key(0), Blob("only b's, first")))
        b.handle(.publish(Self.key(9), Blob("only b's, last")))
        b.handle(.datagram(from: Name.address(Name.c), Forged(Forged.gossip, from: Name.c).sealed))
        a.handle(.start)
        a.handle(.join(seeds: [Name.address(Name.b)]))
        a.handle(.timer)
        let result = Self.exchange(&a, &b)
        #expect(result.messages == 4)
        #expect(
            result.a == [
                Self.key(2): Blob("b's"), Self.key(0): Blob("only b's, first"),
                Self.key(9): Blob("only b's, last"),
            ])
        #expect(result.b == [Self.key(2): Blob("a's"), Self.key(3): Blob("only a's")])
        #expect(a.gossip.members.map(\.id) == [Name.a, Name.b, Name.c])
        #expect(b.gossip.liveness(of: Name.a) == .up)
    }

    @Test func equalStatesCostTwoShortMessages() {
        var a = Peer(Name.a)
        var b = Peer(Name.b)
        for n in UInt64(0)..<100 {
            a.handle(.publish(Self.key(n), Blob("a fact")))
            b.handle(.publish(Self.key(n), Blob("a fact")))
        }
        a.handle(.datagram(from: Name.address(Name.b), Forged(Forged.gossip, from: Name.b).sealed))
        b.handle(.datagram(from: Name.address(Name.a), Forged(Forged.gossip, from: Name.a).sealed))
        a.handle(.start)
        a.handle(.join(seeds: [Name.address(Name.b)]))
        a.handle(.timer)
        let asked = a.effects.compactMap { if case .stream(_, let bytes) = $0 { bytes.count } else { nil } }
        #expect(asked.allSatisfy { $0 < 100 })
        #expect(Self.exchange(&a, &b).messages == 2)
    }

    @Test func aFailedRequestIsTriedWithAnotherSoon() {
        var peer = MemberTests.acquainted { $0.pushPullInterval = .seconds(2) }
        var asked: Address?
        while asked == nil {
            peer.time = peer.gossip.nextDeadline
            peer.handle(.timer)
            for case .stream(let to, let bytes) in peer.effects where bytes.bytes[21] == Forged.syncAsk {
                asked = to
            }
        }
        peer.handle(.streamFailed(asked ?? Name.address(Name.a)))
        let next = peer.wait(.milliseconds(1_100))
        #expect(
            next.contains {
                if case .stream(_, let bytes) = $0 { bytes.bytes[21] == Forged.syncAsk } else { false }
            })
    }

    @Test func aMemberIsComparedWithWhenThatIsAsked() {
        var peer = MemberTests.acquainted()
        func asked() -> [Address] {
            peer.effects.compactMap { if case .stream(let to, _) = $0 { to } else { nil } }
        }
        peer.handle(.compare(Name.c))
        #expect(asked() == [Name.address(Name.c)])
        // Neither one that isn't known nor after the goodbye.
        peer.handle(.compare(NodeID(short: 0xE, middle: 1, low: 1)))
        #expect(asked().isEmpty)
        peer.handle(.leave)
        peer.handle(.compare(Name.c))
        #expect(asked().isEmpty)
    }

    @Test func aGoodbyeIsNotTakenBackByARaisedIncarnation() {
        var peer = MemberTests.acquainted()
        peer.handle(.leave)
        peer.handle(Forged.news(from: Name.b, of: Name.a, 9, .suspect, accusers: [0xB]))
        #expect(peer.gossip.liveness(of: Name.a) == .left)
        #expect(peer.gossip.incarnation == 9)
    }
}
