import MartletBase
import MartletLoop
import MartletNode
import MartletRuntime
import MartletVersions
import MartletWire
import Testing

@Suite struct PeerTransportTests {
    private func hello(_ cluster: String = "test") -> Hello {
        var random = Random(seed: 77)
        return Hello(
            cluster: cluster, id: NodeID(random: &random), name: "stranger", folder: FolderAge(epoch: 1))
    }

    /// Sends bytes to a station; returns what it said, once it has closed the connection.
    private func answer(to bytes: [UInt8]) throws -> (frame: Frame?, events: Int, badFrames: UInt64) {
        var result: (Frame?, Int, UInt64)?
        var station: Station?
        var stranger: Stranger?
        try withLoop { loop in
            let made = try Station(loop, 1)
            station = made
            let other = Stranger(loop, to: made.address, bytes)
            other.onClose = { [unowned other] in
                result = (other.frame, made.messages().count, made.transport.badFrames)
                loop.stop()
            }
            stranger = other
        }
        withExtendedLifetime((station, stranger)) {}
        return try #require(result)
    }

    @Test func garbageBeforeTheHelloEndsTheConnection() throws {
        var random = Random(seed: 3)
        for length in [18, 100, 9_000] {
            let garbage = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) | 0x40 }
            let heard = try answer(to: garbage)
            #expect(heard.events == 0 && heard.badFrames == 1)
        }
    }

    @Test(arguments: [UInt32(0), 1, 13, UInt32(PeerConnection.helloBytesMax) + 1, 1 << 31, UInt32.max - 1])
    func aForgedLengthEndsTheConnection(_ length: UInt32) throws {
        var writer = ByteWriter()
        writer.u32(length)
        writer.raw(Array(Message.hello(hello()).frame().dropFirst(4)))
        #expect(try answer(to: writer.bytes).badFrames == 1)
    }

    @Test func aWrongClusterIsToldSo() throws {
        let heard = try answer(to: Message.hello(hello("other")).frame())
        guard case .farewell(let farewell)? = heard.frame?.message else {
            Issue.record("no farewell came")
            return
        }
        #expect(farewell.reason == .wrongCluster)
        #expect(farewell.text.contains("test") && farewell.text.contains("other"))
    }

    @Test func aRequestBeforeTheHelloIsNotDelivered() throws {
        let heard = try answer(to: Message.gossip("psst").frame())
        #expect(heard.events == 0 && heard.badFrames == 1)
    }

    @Test func aSecondHelloEndsTheConnection() throws {
        let frame = Message.hello(hello()).frame()
        #expect(try answer(to: frame + frame).badFrames == 1)
    }

    @Test func aDamagedFrameEndsTheConnectionAndWhatCameBeforeIsDelivered() throws {
        var bad = Message.gossip("damaged").frame()
        bad[bad.count - 1] ^= 1
        let heard = try answer(to: Message.hello(hello()).frame() + Message.gossip("whole").frame() + bad)
        #expect(heard.events == 1 && heard.badFrames == 1)
    }

    @Test func whatWaitedForTheConnectionArrivesInOrder() throws {
        var stations: [Station] = []
        try withLoop { loop in
            stations = [try Station(loop, 1), try Station(loop, 2)]
            let (a, b) = (stations[0], stations[1])
            a.transport.introduce(PeerIndex(1), b.id, b.address)
            for i in 0..<5 { a.transport.send(PeerIndex(1), .gossip("\(i)")) }
            b.onEvent = { event in
                guard case .peer(let link, let from, _, let message) = event else { return }
                #expect(from == a.id)
                b.transport.respond(link, message)
            }
            a.onEvent = { _ in if a.messages().count == 5 { a.finish(loop) } }
        }
        #expect(stations[0].messages() == (0..<5).map { Message.gossip("\($0)") })
        #expect(stations[0].linkChanges == ["up 1"])
    }

    @Test func aPeerThatDiesIsDialledAgainUntilItIsBack() throws {
        var stations: [Station] = []
        try withLoop { loop in
            let a = try Station(loop, 1)
            let b = try Station(loop, 2)
            stations = [a, b]
            let address = b.address
            a.transport.introduce(PeerIndex(1), b.id, address)
            a.onEvent = { event in
                switch event {
                case .linkUp where stations.count == 2: b.transport.shutDown()
                case .linkUp: a.finish(loop)
                case .linkDown where a.linkChanges.count == 4:
                    // Refused twice by now; the same node comes back on its port.
                    if let again = try? Station(loop, 2, port: address.port) { stations.append(again) }
                default: break
                }
            }
        }
        #expect(stations.count == 3)
        let changes = stations[0].linkChanges
        #expect(changes.first == "up 1" && changes.last == "up 1")
        #expect(changes.dropFirst().dropLast().allSatisfy { $0 == "down 1" })
        #expect(stations[0].transport.dials >= 3)
    }

    @Test func aPeerThatIsDismissedIsNotDialledAgain() throws {
        var stations: [Station] = []
        try withLoop { loop in
            let (a, b, c) = (try Station(loop, 1), try Station(loop, 2), try Station(loop, 3))
            stations = [a, b, c]
            a.transport.introduce(PeerIndex(1), b.id, b.address)
            a.onEvent = { event in
                switch event {
                case .linkUp(PeerIndex(1)): b.transport.shutDown()
                case .linkDown(PeerIndex(1)) where a.linkChanges.count == 3:
                    a.transport.dismiss(PeerIndex(1))
                    a.transport.send(PeerIndex(1), .gossip("lost"))
                    // This one isn't who is expected there: it is dialled again and again.
                    a.transport.introduce(PeerIndex(2), a.id, c.address)
                case .linkDown(PeerIndex(2)) where a.linkChanges.count >= 9: a.finish(loop)
                default: break
                }
            }
        }
        let changes = stations[0].linkChanges
        #expect(changes.prefix(3) == ["up 1", "down 1", "down 1"])
        // Of the dismissal and of what was sent then.
        #expect(changes.count { $0 == "down 1" } == 4)
    }

    @Test func aPeerThatMovesIsDialledThereAndWhatWasUnderWayIsLost() throws {
        var stations: [Station] = []
        try withLoop { loop in
            stations = [try Station(loop, 1), try Station(loop, 2), try Station(loop, 2)]
            let (a, b, moved) = (stations[0], stations[1], stations[2])
            a.transport.introduce(PeerIndex(1), b.id, b.address)
            a.onEvent = { event in
                guard case .linkUp = event else { return }
                if a.linkChanges == ["up 1"] {
                    a.transport.introduce(PeerIndex(1), moved.id, moved.address)
                } else {
                    a.finish(loop)
                }
            }
        }
        #expect(stations[0].linkChanges == ["up 1", "down 1", "up 1"])
    }

    @Test func anotherNodeAtThePeersAddressIsNotTakenForIt() throws {
        var stations: [Station] = []
        try withLoop { loop in
            stations = [try Station(loop, 1), try Station(loop, 2)]
            let (a, b) = (stations[0], stations[1])
            var random = Random(seed: 9)
            a.transport.introduce(PeerIndex(1), NodeID(random: &random), b.address)
            a.transport.send(PeerIndex(1), .gossip("for another"))
            a.onEvent = { event in if case .linkDown = event { loop.stop() } }
        }
        #expect(stations[1].messages().isEmpty)
    }

    @Test func whatDoesNotFitTheQueueIsSaidToBeLost() throws {
        var station: Station?
        try withLoop { loop in
            let a = try Station(loop, 1)
            station = a
            var random = Random(seed: 9)
            a.transport.introduce(PeerIndex(1), NodeID(random: &random), Address(ip: .loopback, port: 1))
            let large = Message.large(1 << 20)
            for _ in 0..<100 { a.transport.send(PeerIndex(1), large) }
            #expect(a.transport.dropped == UInt64(100 - Limits.peerOutputBytesMax >> 20))
            #expect(a.linkChanges.count == Int(a.transport.dropped))
            loop.runAgain()
            loop.onTurnEnd { loop.stop() }
        }
        withExtendedLifetime(station) {}
    }

    /// Both directions are full of large messages: each side must go on reading answers, or both wait for
    /// ever.
    @Test func twoNodesThatSendEachOtherMuchDoNotWaitForEachOther() throws {
        let count = 48
        let large = Message.large(1 << 20)
        var stations: [Station] = []
        try withLoop { loop in
            stations = [try Station(loop, 1), try Station(loop, 2)]
            let (a, b) = (stations[0], stations[1])
            a.transport.introduce(PeerIndex(1), b.id, b.address)
            b.onEvent = { event in
                if case .peer(let link, _, _, let message) = event { b.transport.respond(link, message) }
            }
            a.onEvent = { event in
                if case .linkUp = event { for _ in 0..<count { a.transport.send(PeerIndex(1), large) } }
                if a.messages().count == count { a.finish(loop) }
            }
        }
        #expect(stations[0].messages().count == count)
        #expect(stations[0].linkChanges == ["up 1"])
    }

    @Test func whoNeverReadsIsCutOff() throws {
        var station: Station?
        var stranger: Stranger?
        try withLoop { loop in
            let made = try Station(loop, 1)
            station = made
            let request = Message.gossip("a small question").frame()
            let other = Stranger(loop, to: made.address, Message.hello(hello()).frame() + request)
            other.connection.pauseReading()
            let large = Message.large(8 << 20)
            made.onEvent = { event in
                guard case .peer(let link, _, _, _) = event else { return }
                for _ in 0..<12 { made.transport.respond(link, large) }
                #expect(made.transport.connectionCount == 0)
                loop.stop()
            }
            stranger = other
        }
        withExtendedLifetime((station, stranger)) {}
    }
}
