import FakeServer
import MartletBase
import MartletLoop
import MartletServer
import Testing

/// Sessions behind real sockets of the loopback address.
@Suite struct ListenerTests {
    /// A listener with a store, the loop that runs both, and clients that keep what they get.
    final class World {
        let loop: EventLoop
        let harness: Harness
        let listener: RedisListener
        private(set) var clients: [Client] = []
        private var limit: LoopTimer?
        private(set) var timedOut = false

        init(_ change: (inout RedisSettings) -> Void = { _ in }) throws {
            loop = try EventLoop()
            harness = Harness(change)
            // The harness's own client isn't one of the listener's.
            harness.server.close(harness.client)
            let any = Address(ip: IPAddress(v4: 127, 0, 0, 1), port: 0)
            listener = try RedisListener(loop, any, server: harness.server)
        }

        func connect() -> Client {
            let client = Client(TCPConnection(loop, to: listener.address))
            clients.append(client)
            return client
        }

        /// Until `loop.stop()`, or for 20 seconds.
        func run() {
            let timer = LoopTimer(loop) { [unowned self] in
                timedOut = true
                loop.stop()
            }
            timer.arm(at: loop.now.monotonic + .seconds(20))
            loop.run()
            timer.close()
            #expect(!timedOut, "the loop had to be stopped")
        }

        func end() {
            listener.close()
            loop.shutDown()
            harness.server.checkInvariants()
            #expect(harness.server.sessionCount == 0)
            #expect(listener.connectionCount == 0)
        }
    }

    final class Client {
        let connection: TCPConnection
        var received: [UInt8] = []
        var isClosed = false
        var onChange: (() -> Void)?

        init(_ connection: TCPConnection) {
            self.connection = connection
            connection.onRead = { [unowned self] bytes in
                bytes.withUnsafeBytes { received.append(contentsOf: $0) }
                onChange?()
            }
            connection.onClose = { [unowned self] _ in
                isClosed = true
                onChange?()
            }
        }

        func send(_ text: String) { connection.write(Array(text.utf8)) }
        var text: String { Harness.shown(received) }
    }

    @Test func repliesComeBack() throws {
        let world = try World()
        let client = world.connect()
        client.connection.onConnect = { client.send("SET a 1\r\nGET a\r\nCLIENT LIST\r\nQUIT\r\n") }
        client.onChange = { if client.isClosed { world.loop.stop() } }
        world.run()
        #expect(client.text.hasPrefix("+OK|$1|1|$"))
        let own = try #require(client.connection.local)
        #expect(client.text.contains("id=2 addr=\(own) laddr=\(world.listener.address) "))
        #expect(client.text.hasSuffix("|+OK|"))
        world.end()
    }

    /// However many replies a turn makes for a client, they cost one write.
    @Test func aTurnsRepliesAreOneWrite() throws {
        let world = try World()
        let client = world.connect()
        let count = 500
        client.connection.onConnect = { client.send(String(repeating: "PING\r\n", count: count)) }
        client.onChange = { if client.received.count == count * 7 { world.loop.stop() } }
        let before = world.loop.counters.writeCalls
        world.run()
        // One of the client's, and one of the session's unless its input came in two reads.
        #expect(world.loop.counters.writeCalls - before <= 3)
        world.end()
    }

    /// A client that asks for much and reads late gets it all, and meanwhile costs little memory.
    @Test func slowReadersAreWaitedFor() throws {
        let world = try World()
        let client = world.connect()
        let value = String(repeating: "v", count: 1 << 20)
        let count = 100
        let reply = value.utf8.count + "$1048576\r\n\r\n".utf8.count
        client.connection.onConnect = {
            client.connection.pauseReading()
            client.send("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$\(value.utf8.count)\r\n\(value)\r\n")
            client.send(String(repeating: "GET a\r\n", count: count))
        }
        var answered = 0
        var turnsWithout = 0
        world.loop.onTurnEnd {
            // Reads when the server has had many turns and answers no more.
            turnsWithout = world.harness.backend.replies == answered ? turnsWithout + 1 : 0
            answered = world.harness.backend.replies
            if turnsWithout == 50 {
                #expect(answered > 1 && answered < 30)
                client.connection.resumeReading()
            }
            if turnsWithout < 50 { world.loop.runAgain() }
        }
        client.onChange = { if client.received.count == 5 + count * reply { world.loop.stop() } }
        world.run()
        #expect(client.received.count == 5 + count * reply)
        #expect(world.harness.backend.replies == 1 + count)
        world.end()
    }

    @Test func oneClientTooManyIsTold() throws {
        let world = try World { $0.clientsMax = 1 }
        let first = world.connect()
        let second = world.connect()
        first.connection.onConnect = { first.send("PING\r\n") }
        let check = { if first.text == "+PONG|" && second.isClosed { world.loop.stop() } }
        first.onChange = check
        second.onChange = check
        world.run()
        #expect(second.text == "-ERR max number of clients reached|")
        world.end()
    }

    /// A connection that is reset, half-closed or cut leaves nothing behind.
    @Test func connectionsEndInEveryWay() throws {
        let world = try World()
        world.harness.backend.isImmediate = false
        let clients = (0..<4).map { _ in world.connect() }
        for client in clients { client.connection.onConnect = { client.send("GET a\r\nPING\r\n") } }
        var random = Random(seed: 3)
        var step = 0
        world.loop.onTurnEnd {
            if step == 0, world.harness.backend.workCount == 4 {
                step = 1
                clients[0].connection.reset()
                clients[1].connection.endOutput()
                clients[2].connection.close()
            } else if step == 1, world.harness.server.sessionCount == 3 {
                // A client that has gone without a reset looks like one that only sends no more.
                step = 2
                world.harness.backend.finish(&random)
                world.harness.server.flush()
            } else if step == 2, clients[1].isClosed, clients[3].text == "$-1|+PONG|" {
                world.loop.stop()
            }
        }
        world.run()
        #expect(clients[1].text == "$-1|+PONG|")
        #expect(clients[0].text == "" && clients[2].text == "")
        world.end()
    }

    @Test func drainingAnswersWhatIsUnderWay() throws {
        let world = try World()
        world.harness.backend.isImmediate = false
        let client = world.connect()
        let idle = world.connect()
        client.connection.onConnect = { client.send("GET a\r\n") }
        var random = Random(seed: 4)
        var isDraining = false
        world.loop.onTurnEnd {
            if !isDraining, world.harness.backend.workCount == 1, world.harness.server.sessionCount == 2 {
                isDraining = true
                world.listener.drain()
            } else if isDraining, idle.isClosed, world.harness.backend.hasWork {
                world.harness.backend.finish(&random)
                world.harness.server.flush()
            }
        }
        client.onChange = { if client.isClosed { world.loop.stop() } }
        world.run()
        #expect(client.text == "$-1|")
        #expect(idle.text == "")
        world.end()
    }
}
