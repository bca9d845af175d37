import FakeServer
import MartletBase
import MartletServer
import Testing

/// Bytes that are no request, or half of one: an error at worst, and never a trap.
@Suite struct BadInputTests {
    @Test(arguments: [
        ("*1\r\n!3\r\nGET\r\n", "-ERR Protocol error: expected '$', got '!'|"),
        ("*2147483648\r\n", "-ERR Protocol error: invalid multibulk length|"),
        ("*1\r\n$-2\r\n", "-ERR Protocol error: invalid bulk length|"),
        ("*1\r\n$2147483648\r\n", "-ERR Protocol error: invalid bulk length|"),
        ("GET \"a\r\n", "-ERR Protocol error: unbalanced quotes in request|"),
    ])
    func protocolErrorsEndTheConnection(input: String, reply: String) {
        let harness = Harness()
        harness.backend.isImmediate = false
        harness.ask("GET a")
        harness.client.receive(Blob("PING\r\n" + input + "PING\r\n").span)
        #expect(!harness.client.isFinished)
        var random = Random(seed: 1)
        harness.backend.finish(&random)
        #expect(harness.output() == "$-1|+PONG|" + reply)
        #expect(harness.client.isFinished)
        harness.client.receive(Blob("PING\r\n").span)
        #expect(harness.output() == "")
    }

    /// Requests with bytes changed, cut and mixed, in pieces.
    @Test(arguments: 0..<100) func garbageIsSurvived(seed: Int) {
        var random = Random(seed: UInt64(seed))
        var generator = RequestGenerator(random: random.fork(), isForRedis: false)
        let harness = Harness {
            $0.valueBytesMax = 1_000
            $0.keyBytesMax = 100
        }
        harness.backend.isImmediate = seed.isMultiple(of: 2)
        for _ in 0..<20 {
            // None when what came before has set `maxclients`.
            guard let client = harness.server.open(peer: "127.0.0.1:\(seed)", local: "127.0.0.1:7379") else {
                break
            }
            var bytes = (0..<10).flatMap { _ in Harness.request(generator.request()) }
            for _ in 0..<random.below(6) {
                bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.chance(0.3) { bytes.removeFirst(random.below(bytes.count)) }
            while !bytes.isEmpty {
                let part = Blob(Array(bytes.prefix(1 + random.below(200))))
                bytes.removeFirst(part.count)
                client.receive(part.span)
                harness.backend.step(&random)
                harness.server.checkInvariants()
            }
            if random.chance(0.5) { client.endInput() }
            if random.chance(0.5) { harness.server.close(client) }
        }
        harness.backend.finish(&random)
        harness.server.checkInvariants()
        #expect(harness.ask("RESET").hasSuffix("+RESET|"))
        #expect(harness.backend.replies == harness.backend.submitted.count)
    }

    /// Keys and values are kept byte for byte.
    @Test func bytesAreKept() {
        let harness = Harness()
        var random = Random(seed: 9)
        for length in [0, 1, 2, 100, 5_000] {
            let key = Blob((0..<min(length, 300)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
            let value = Blob((0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) })
            harness.send([Blob("SET"), key, value])
            harness.send([Blob("GET"), key])
            let reply = harness.client.takeOutput()
            let expected = Array("+OK\r\n$\(length)\r\n".utf8) + value.bytes + [13, 10]
            let same = reply == expected
            #expect(same)
        }
    }
}
