import MartletBase
import MartletLoop
import Testing

@Suite struct EventLoopTests {
    @Test func hooksRunAfterTheCallbacksOfATurnAndBeforeTheFlush() throws {
        var said: [String] = []
        try withLoop { loop in
            loop.onTurnEnd { if said.last == "read" { said.append("hook") } }
            let client = try connectedPair(loop) { server in
                server.onRead = { _ in
                    said.append("read")
                    server.write([1])
                    #expect(server.pendingOutputBytes == 1)
                    loop.runAgain()
                }
            }
            client.onConnect = { client.write([0]) }
            client.onRead = { _ in
                said.append("reply")
                loop.stop()
            }
        }
        #expect(said == ["read", "hook", "reply"])
    }

    @Test func runAgainGivesAnotherTurnWithoutAnEvent() throws {
        var turns = 0
        try withLoop { loop in
            loop.onTurnEnd {
                turns += 1
                if turns == 5 { loop.stop() } else { loop.runAgain() }
            }
        }
        #expect(turns >= 5)
    }

    @Test func theClockIsReadOnceATurn() throws {
        try withLoop { loop in
            let timer = LoopTimer(loop) {
                let first = loop.now
                let later = loop.now
                #expect(first == later)
                loop.updateNow()
                #expect(loop.now.monotonic > first.monotonic)
                loop.stop()
            }
            timer.arm(at: .zero)
        }
    }

    /// The process is stopped while it reads from one of two connections: what the other one sent isn't dated
    /// before that, though both may be read in one turn.
    @Test func theClockIsReadAnewForWhatWasReceived() throws {
        var read: [(before: Instant, after: Instant)] = []
        try withLoop { loop in
            var clients: [TCPConnection] = []
            for _ in 0..<2 {
                let client = try connectedPair(loop) { server in
                    server.onRead = { _ in
                        let before = loop.now.monotonic
                        let resumed = ContinuousClock.now + .milliseconds(20)
                        while ContinuousClock.now < resumed {}
                        read.append((before, loop.now.monotonic))
                        if read.count == 2 { loop.stop() }
                    }
                }
                client.onConnect = {
                    clients.append(client)
                    if clients.count == 2 { for client in clients { client.write([1]) } }
                }
            }
        }
        #expect(read.count == 2)
        #expect(read.allSatisfy { $0.before == $0.after })
        if read.count == 2 { #expect(read[1].before - read[0].before >= .milliseconds(20)) }
    }

    @Test func aLoopFreesWhatItRanAndItself() throws {
        weak var loop: EventLoop?
        weak var accepted: TCPConnection?
        weak var connecting: TCPConnection?
        var reasons: [TCPConnection.CloseReason] = []
        try withLoop { running in
            loop = running
            let client = try connectedPair(running) { server in
                accepted = server
                server.onClose = { reasons.append($0) }
                server.onRead = { _ in
                    server.write([2])
                    running.stop()
                }
            }
            connecting = client
            client.onClose = { reasons.append($0) }
            client.onConnect = { client.write([1]) }
        }
        #expect(reasons == [.local, .local], "shutDown closes what is open, and says so")
        #expect(accepted == nil)
        #expect(connecting == nil)
        #expect(loop == nil)
    }

    @Test func aLoopWithoutOpenHandlesIsFreedWithoutShutDown() throws {
        weak var loop: EventLoop?
        do {
            let running = try EventLoop()
            loop = running
            let timer = LoopTimer(running) { [unowned running] in running.stop() }
            timer.arm(at: .zero)
            running.run()
            timer.close()
            let last = LoopTimer(running) { [unowned running] in running.stop() }
            last.arm(at: .zero)
            running.run()
            last.close()
            running.runAgain()
            running.onTurnEnd { [unowned running] in running.stop() }
            running.run()
        }
        #expect(loop == nil)
    }
}
