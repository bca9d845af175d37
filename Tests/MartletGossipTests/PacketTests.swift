import MartletBase
import MartletGossip
import Testing

/// The format, and what doesn't keep to it.
@Suite struct PacketTests {
    @Test func whatIsNotOursIsRefusedByReason() {
        let cases: [(Blob, String)] = [
            (.empty, "truncated"),
            (Blob([1, 2, 3]), "truncated"),
            (Blob("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "magic"),
            (Forged(Forged.gossip, from: Name.b, version: 2).sealed, "version"),
            (Forged(Forged.gossip, from: Name.b, cluster: "other").sealed, "cluster"),
            (Forged(99, from: Name.b).sealed, "kind"),
            (Forged(Forged.syncAsk, from: Name.b).sealed, "truncated"),
            (Forged(Forged.syncLists, from: Name.b).sealed, "kind"),
            (Forged(Forged.gossip, from: Name.b, liveness: .down).sealed, "sender"),
        ]
        for (bytes, reason) in cases {
            var peer = Peer(Name.a)
            peer.handle(.datagram(from: Name.address(Name.b), bytes))
            #expect(peer.refusals == [reason])
            #expect(peer.gossip.members.count == 1, "a refused packet has no effect: \(reason)")
        }
        var broken = Forged(Forged.gossip, from: Name.b).sealed.bytes
        broken[30] ^= 1
        var peer = Peer(Name.a)
        peer.handle(.datagram(from: Name.address(Name.b), Blob(broken)))
        #expect(peer.refusals == ["checksum"])
    }

    @Test func badFieldsAreRefusedThoughTheChecksumIsRight() {
        func refusal(_ kind: UInt8 = Forged.gossip, _ body: (inout Forged) -> Void) -> [String] {
            var packet = Forged(kind, from: Name.b)
            body(&packet)
            var peer = Peer(Name.a)
            let isStream = kind > Forged.gossip
            peer.handle(
                isStream
                    ? .stream(link: 1, packet.sealed) : .datagram(from: Name.address(Name.b), packet.sealed))
            return peer.refusals
        }
        #expect(refusal { $0.with { $0.u8(4) } } == ["item"])
        #expect(refusal { $0.with { $0.u8(17) } } == ["item"], "digests are for lists")
        #expect(refusal { $0.claim(Name.c, 1, .suspect) } == ["accusers"])
        #expect(refusal { $0.claim(Name.c, 1, .suspect, accusers: [2, 1]) } == ["accusers"])
        #expect(
            refusal { $0.claim(Name.c, 1, .suspect, accusers: Array(0..<UInt64(Limits.accusersMax) + 1)) }
                == [
                    "accusers"
                ])
        let portless = Address(ip: IPAddress(v4: 1, 2, 3, 4), port: 0)
        #expect(refusal { $0.claim(Name.c, 1, .up, address: portless) } == ["address"])
        for wall in [UInt64.max, UInt64(Int64.max), 1 << 53] {
            let refused = refusal(Forged.ping) {
                $0.with {
                    $0.u32(1)
                    Name.a.write(to: &$0)
                    $0.u64(wall)
                }
            }
            #expect(refused == ["wall clock"], "its difference to ours would overflow")
        }
        let isUnsortedRefused = refusal(Forged.syncLists) {
            $0.claim(Name.d, 1, .up)
            $0.claim(Name.c, 1, .up)
        }
        #expect(isUnsortedRefused == ["members"])
        let isLongRefused = refusal {
            $0.with {
                $0.u8(16)
                $0.u8(1)
                Name.c.write(to: &$0)
                $0.varint(UInt64(Limits.rumourBytesMax) + 1)
            }
        }
        #expect(isLongRefused == ["rumour"])
    }

    /// Real packets of every kind, taken from a network at work.
    static func samples() -> [(isStream: Bool, bytes: Blob)] {
        var samples: [(Bool, Blob)] = []
        var seen: [UInt8: Int] = [:]
        func take(_ peer: Peer) {
            for effect in peer.effects {
                switch effect {
                case .datagram(_, let bytes): add(false, bytes)
                case .stream(_, let bytes), .respond(_, let bytes): add(true, bytes)
                default: break
                }
            }
        }
        func add(_ isStream: Bool, _ bytes: Blob) {
            seen[bytes.bytes[21], default: 0] += 1
            if seen[bytes.bytes[21], default: 0] <= 6 { samples.append((isStream, bytes)) }
        }
        var a = MemberTests.acquainted()
        var b = Peer(Name.b)
        b.handle(.start)
        for n in UInt64(1)...5 {
            let key = RumourKey(kind: 3, id: NodeID(short: n, middle: 2, low: 3))
            a.handle(.publish(key, Blob([UInt8](repeating: UInt8(n), count: Int(n) * 20))))
            if n > 2 { b.handle(.publish(key, Blob([9, UInt8(n)]))) }
        }
        a.handle(Forged.news(from: Name.b, of: Name.c, 5, .suspect, accusers: [0xB, 0xD]))
        a.handle(.join(seeds: [Name.address(Name.b)]))
        for _ in 0..<400 {
            _ = a.wait(.milliseconds(20))
            _ = b.wait(.milliseconds(20))
            let (fromA, fromB) = (a, b)
            take(fromA)
            take(fromB)
            relay(fromA, to: &b, take)
            relay(fromB, to: &a, take)
        }
        return samples
    }

    /// Delivers datagrams and streams, and takes what they are answered with; answers on a link go back and
    /// forth.
    private static func relay(_ sender: Peer, to receiver: inout Peer, _ take: (Peer) -> Void) {
        var other = sender
        for effect in sender.effects {
            switch effect {
            case .datagram(let to, let bytes) where to == Name.address(receiver.gossip.id):
                receiver.handle(.datagram(from: Name.address(sender.gossip.id), bytes))
                take(receiver)
            case .stream(let to, let bytes) where to == Name.address(receiver.gossip.id):
                var pending: Blob? = bytes
                var isTurnOfReceiver = true
                while let bytes = pending {
                    pending = nil
                    if isTurnOfReceiver {
                        receiver.handle(.stream(link: 1, bytes))
                    } else {
                        other.handle(.stream(link: 1, bytes))
                    }
                    let answerer = isTurnOfReceiver ? receiver : other
                    take(answerer)
                    for case .respond(_, let answer) in answerer.effects { pending = answer }
                    isTurnOfReceiver.toggle()
                }
            default: break
            }
        }
    }

    @Test func mutatedPacketsAreRefusedOrHarmless() {
        let samples = Self.samples()
        let kinds = Set(samples.map { $0.bytes.bytes[21] })
        #expect(kinds.isSuperset(of: [1, 2, 3, 6, 7, 9, 10]), "\(kinds.sorted())")
        var random = Random(seed: 11)
        var victim = MemberTests.acquainted()
        victim.handle(.connectionBroke(Name.d))
        var accepted = 0
        for round in 0..<60_000 {
            let sample = samples[random.below(samples.count)]
            var bytes = sample.bytes.bytes
            Self.mutate(&bytes, &random)
            let isResealed = random.chance(0.9)
            let blob = isResealed ? Forged.seal(bytes) : Blob(bytes)
            victim.feed(
                sample.isStream ? .stream(link: 1, blob) : .datagram(from: Name.address(Name.b), blob))
            if victim.refusals.isEmpty { accepted += 1 }
            if round % 100 == 0 {
                victim.gossip.checkInvariants()
                _ = victim.wait(.milliseconds(50))
            }
        }
        #expect(accepted > 1_000, "mutations that keep the format reach what is behind it")
    }

    private static func mutate(_ bytes: inout [UInt8], _ random: inout Random) {
        for _ in 0...random.below(3) {
            if bytes.isEmpty { return }
            let place = random.below(bytes.count)
            switch random.below(7) {
            case 0: bytes[place] ^= 1 << UInt8(random.below(8))
            case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 2: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)]
            case 3: bytes.removeLast(random.below(bytes.count))
            case 4: bytes.insert(contentsOf: bytes[place...].prefix(random.below(40)), at: place)
            case 5: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(40)))
            default: bytes += (0..<random.below(30)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            }
        }
    }

    // MARK: News

    @Test func theLeastSentNewsGoesFirstThenTheOldest() {
        // Each fact fills most of a packet, so one goes at a time.
        var peer = Peer(Name.a) {
            $0.gossipFanout = 1
            $0.packetBytesMax = 600
        }
        peer.handle(.datagram(from: Name.address(Name.b), Forged(Forged.gossip, from: Name.b).sealed))
        func key(_ n: UInt64) -> RumourKey { RumourKey(kind: 1, id: NodeID(short: n, middle: 0, low: 0)) }
        func publish(_ n: UInt64) {
            peer.handle(.publish(key(n), Blob([UInt8](repeating: 0xC0 + UInt8(n), count: 300))))
        }
        publish(1)
        publish(2)
        peer.handle(.start)
        var sent: [UInt8] = []
        var ticks = 0
        while ticks < 7 {
            _ = peer.wait(.milliseconds(10))
            // Pings carry news too.
            for packet in peer.pings(to: Name.b) + peer.datagrams(to: Name.b, Forged.gossip) {
                ticks += 1
                sent += [1, 2, 3].filter { n in packet.bytes.count { $0 == 0xC0 + n } >= 300 }
                if ticks == 3 { publish(3) }
            }
        }
        #expect(sent == [1, 2, 1, 3, 2, 3, 1], "\(sent)")
    }

    @Test func newsIsSentALimitedNumberOfTimes() {
        var peer = Peer(Name.a)
        peer.handle(.start)
        peer.handle(.datagram(from: Name.address(Name.b), Forged(Forged.gossip, from: Name.b).sealed))
        let gossip = peer.wait(.seconds(20)).filter {
            if case .datagram(_, let bytes) = $0 { bytes.bytes[21] == Forged.gossip } else { false }
        }
        // Three times log2 of two members, rounded up, for ourselves and for b, in the same packets mostly.
        #expect((6...12).contains(gossip.count), "\(gossip.count)")
    }
}
