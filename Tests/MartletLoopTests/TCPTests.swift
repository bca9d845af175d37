import Glibc
import MartletBase
import MartletLoop
import Testing

@Suite struct TCPTests {
    @Test(arguments: IPAddress.loopbacks)
    func whatIsSentComesBack(_ ip: IPAddress) throws {
        var reply: [UInt8] = []
        var reasons: [String: TCPConnection.CloseReason] = [:]
        try withLoop { loop in
            let client = try connectedPair(loop, ip) { server in
                #expect(server.peer.ip == ip)
                #expect(server.isConnected)
                server.onRead = { server.write($0) }
                server.onClose = {
                    reasons["server"] = $0
                    if reasons.count == 2 { loop.stop() }
                }
            }
            client.onConnect = {
                #expect(client.local?.ip == ip)
                #expect(client.local?.port != 0)
                client.write(Array("hello".utf8))
            }
            client.onRead = {
                reply += $0.array
                if reply.count == 5 { client.close() }
            }
            client.onClose = {
                reasons["client"] = $0
                if reasons.count == 2 { loop.stop() }
            }
        }
        #expect(reply == Array("hello".utf8))
        #expect(reasons == ["client": .local, "server": .endOfInput])
    }

    @Test func theWritesOfATurnAreOneCallAConnection() throws {
        let count = 1_000
        try withLoop { loop in
            var before: UInt64 = 0
            var received = 0
            let client = try connectedPair(loop) { server in
                server.onRead = { for byte in $0.array { server.write([byte]) } }
            }
            client.onConnect = {
                before = loop.counters.writeCalls
                for i in 0..<count { client.write([UInt8(truncatingIfNeeded: i)]) }
            }
            client.onRead = {
                received += $0.byteCount
                if received == count { loop.stop() }
            }
            loop.onTurnEnd {
                if received == count { #expect(loop.counters.writeCalls - before == 2) }
            }
        }
    }

    @Test func outputWaitsForASlowReaderAndSaysWhenItHasDrained() throws {
        let total = 24 << 20
        var random = Random(seed: 7)
        let block = (0..<(1 << 20)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        var pendingMost = 0
        var drained = 0
        var received = 0
        var wrong = 0
        try withLoop { loop in
            var reader: TCPConnection?
            let client = try connectedPair(loop) { server in
                reader = server
                server.pauseReading()
                server.onRead = { span in
                    span.withUnsafeBytes { bytes in
                        for (i, byte) in bytes.enumerated()
                        where byte != block[(received + i) & (1 << 20 - 1)] {
                            wrong += 1
                        }
                    }
                    received += span.byteCount
                    if received == total { loop.stop() }
                }
            }
            client.onConnect = {
                for _ in 0..<(total / block.count) { client.write(block) }
                client.notifyWhenDrained(below: 1 << 20)
            }
            client.onDrained = {
                drained += 1
                #expect(client.pendingOutputBytes <= 1 << 20)
            }
            var quietTurns = 0
            loop.onTurnEnd {
                pendingMost = max(pendingMost, client.pendingOutputBytes)
                // The system's buffers are full once turns pass and nothing moves: then the reader begins.
                guard let waiting = reader, client.pendingOutputBytes > 0 else { return }
                quietTurns += 1
                if quietTurns == 100 {
                    #expect(drained == 0)
                    waiting.resumeReading()
                } else if quietTurns < 100 {
                    loop.runAgain()
                }
            }
        }
        #expect(received == total)
        #expect(wrong == 0)
        #expect(drained == 1)
        #expect(pendingMost > 1 << 20, "loopback can't have taken \(total) bytes at once")
    }

    @Test func aHalfClosedConnectionStillCarriesTheReply() throws {
        var asked: [UInt8] = []
        var reply: [UInt8] = []
        var reasons: [TCPConnection.CloseReason] = []
        try withLoop { loop in
            let client = try connectedPair(loop) { server in
                server.onRead = { asked += $0.array }
                server.onEndOfInput = {
                    server.write(Array("reply".utf8))
                    server.closeAfterFlush()
                }
                server.onClose = {
                    reasons.append($0)
                    if reasons.count == 2 { loop.stop() }
                }
            }
            // Written before it is connected: kept until then.
            client.write(Array("question".utf8))
            client.endOutput()
            client.write([0])
            client.onRead = { reply += $0.array }
            client.onClose = {
                reasons.append($0)
                if reasons.count == 2 { loop.stop() }
            }
        }
        #expect(asked == Array("question".utf8))
        #expect(reply == Array("reply".utf8))
        #expect(reasons == [.endOfInput, .endOfInput])
    }

    @Test func closeAfterFlushSendsEverythingFirst() throws {
        let total = 24 << 20
        var received = 0
        try withLoop { loop in
            let client = try connectedPair(loop) { server in
                server.write([UInt8](repeating: 9, count: total))
                server.closeAfterFlush()
                server.write([1])
            }
            client.onRead = { received += $0.byteCount }
            client.onClose = { _ in loop.stop() }
        }
        #expect(received == total)
    }

    @Test(arguments: [0, 3])
    func closeAfterFlushBeforeTheConnectionIsMadeWaitsForIt(bytes: Int) throws {
        var received = 0
        var reasons: [String: TCPConnection.CloseReason] = [:]
        try withLoop { loop in
            let client = try connectedPair(loop) { server in
                server.onRead = { received += $0.byteCount }
                server.onClose = {
                    reasons["server"] = $0
                    if reasons.count == 2 { loop.stop() }
                }
            }
            client.write([UInt8](repeating: 1, count: bytes))
            client.closeAfterFlush()
            client.onClose = {
                reasons["client"] = $0
                if reasons.count == 2 { loop.stop() }
            }
        }
        #expect(received == bytes)
        #expect(reasons == ["client": .local, "server": .endOfInput])
    }

    @Test func closeAfterFlushDoesNotWaitForEver() throws {
        var reason: TCPConnection.CloseReason?
        try withLoop { loop in
            let client = try connectedPair(loop) { server in
                server.write([UInt8](repeating: 9, count: 24 << 20))
                server.closeAfterFlush(within: .milliseconds(20))
                server.onClose = {
                    reason = $0
                    loop.stop()
                }
            }
            client.pauseReading()
        }
        guard case .failed(let error)? = reason else {
            Issue.record("closed with \(String(describing: reason))")
            return
        }
        #expect(error.cause == .timedOut)
    }

    @Test func closingInsideACallbackEndsTheCallbacks() throws {
        var reads = 0
        var closes = 0
        try withLoop { loop in
            let client = try connectedPair(loop) { server in
                server.onRead = { _ in
                    reads += 1
                    server.close()
                    server.close()
                    server.write([1])
                    #expect(server.pendingOutputBytes == 0)
                }
                server.onClose = { _ in
                    closes += 1
                    if closes == 2 { loop.stop() }
                }
            }
            client.onConnect = { client.write([UInt8](repeating: 1, count: 1 << 20)) }
            client.onClose = { _ in
                closes += 1
                if closes == 2 { loop.stop() }
            }
        }
        #expect(reads == 1)
        #expect(closes == 2)
    }

    @Test func aRefusedConnectionSaysSo() throws {
        // Bound and not listened on: nobody else can take the port, and a connection to it is refused.
        let held = try HeldPort()
        var reason: TCPConnection.CloseReason?
        var connects = 0
        try withLoop { loop in
            let client = TCPConnection(loop, to: held.address)
            client.onConnect = { connects += 1 }
            client.onClose = {
                reason = $0
                loop.stop()
            }
        }
        #expect(reason == .failed(LoopError(.connect, held.address, code: -ECONNREFUSED)))
        #expect(connects == 0)
    }

    @Test func aResetIsAFailureThatNamesThePeer() throws {
        var reason: TCPConnection.CloseReason?
        var peer: Address?
        try withLoop { loop in
            let client = try connectedPair(loop) { $0.reset() }
            peer = client.peer
            client.onClose = {
                reason = $0
                loop.stop()
            }
        }
        guard case .failed(let error)? = reason else {
            Issue.record("closed with \(String(describing: reason))")
            return
        }
        #expect(error.cause == .reset)
        #expect(error.address == peer)
    }

    @Test func anAddressInUseIsNamed() throws {
        let loop = try EventLoop()
        defer { loop.shutDown() }
        let first = try TCPListener(loop, Address(ip: .loopback, port: 0)) { _ in }
        #expect(first.address.port != 0)
        let error = #expect(throws: LoopError.self) { try TCPListener(loop, first.address) { _ in } }
        #expect(error?.cause == .addressInUse)
        #expect(
            error?.description
                == "cannot listen on 127.0.0.1:\(first.address.port): address already in use (EADDRINUSE)")
    }

    @Test func aConnectionComesFromTheAddressItIsGiven() throws {
        let source = IPAddress(v4: 127, 64, 0, 9)
        var seen: IPAddress?
        try withLoop { loop in
            let listener = try TCPListener(loop, Address(ip: .loopback, port: 0)) { server in
                seen = server.peer.ip
                server.keepAlive(after: .seconds(60))
                loop.stop()
            }
            _ = TCPConnection(loop, to: listener.address, from: source)
        }
        #expect(seen == source)
    }

    @Test func aSourceThatIsNotOursFailsTheConnection() throws {
        var reason: TCPConnection.CloseReason?
        try withLoop { loop in
            let listener = try TCPListener(loop, Address(ip: .loopback, port: 0)) { _ in }
            let client = TCPConnection(loop, to: listener.address, from: IPAddress(v4: 192, 0, 2, 1))
            client.onClose = {
                reason = $0
                loop.stop()
            }
            #expect(reason == nil, "callbacks don't come from inside a call")
        }
        guard case .failed(let error)? = reason else {
            Issue.record("closed with \(String(describing: reason))")
            return
        }
        #expect(error.cause == .addressUnavailable)
    }

    @Test func pausedReadingHoldsBytesBackUntilItGoesOn() throws {
        var received: [UInt8] = []
        try withLoop { loop in
            var paused: TCPConnection?
            var turns = 0
            let client = try connectedPair(loop) { server in
                server.onRead = {
                    received += $0.array
                    if received.count == 2 { return loop.stop() }
                    server.pauseReading()
                    server.write([0])
                    paused = server
                }
            }
            client.onConnect = { client.write([1]) }
            client.onRead = { _ in client.write([2]) }
            loop.onTurnEnd {
                guard let server = paused else { return }
                turns += 1
                if turns < 50 { return loop.runAgain() }
                #expect(received == [1], "nothing is read while reading is paused")
                paused = nil
                server.resumeReading()
            }
        }
        #expect(received == [1, 2])
    }
}

/// A TCP port that is bound, and not listened on.
private final class HeldPort {
    let address: Address
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var wanted = sockaddr_in()
        wanted.sin_family = sa_family_t(AF_INET)
        wanted.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let result = withUnsafeMutablePointer(to: &wanted) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 ? getsockname(descriptor, $0, &length) : -1
            }
        }
        address = Address(ip: .loopback, port: UInt16(bigEndian: wanted.sin_port))
        try #require(result == 0)
    }

    deinit { Glibc.close(descriptor) }
}
