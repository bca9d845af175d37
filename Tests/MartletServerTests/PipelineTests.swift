import FakeServer
import MartletBase
import MartletNode
import MartletRing
import MartletServer
import Testing

/// Whatever the core's delays and the order of its replies, a connection sees what it would see one request
/// at a time.
@Suite struct PipelineTests {
    /// Keys that end so fail, each in its way.
    static func failure(_ request: ClientRequest) -> RequestFailure? {
        guard request.key.bytes.last == UInt8(ascii: "d") else { return nil }
        if case .put = request.operation { return nil }
        return .unavailable(.read, .quorum, required: 2, alive: 1, up: ["n1"], down: ["n2", "n3"])
    }

    @Test(arguments: 0..<150) func repliesAreThoseOfOneAtATime(seed: Int) {
        var generator = RequestGenerator(random: Random(seed: UInt64(seed)), isForRedis: false)
        var random = Random(seed: UInt64(seed) &+ 1_000_000)
        let requests = (0..<random.within(5...120)).map { _ in generator.request() }

        let plain = Harness()
        if seed.isMultiple(of: 3) { plain.backend.fails = Self.failure }
        for request in requests { plain.send(request) }
        let expected = plain.client.takeOutput()

        let harness = Harness()
        harness.backend.isImmediate = false
        harness.backend.fails = plain.backend.fails
        var bytes = requests.flatMap(Harness.request)[...]
        var got: [UInt8] = []
        while !bytes.isEmpty || harness.backend.hasWork {
            if !bytes.isEmpty, random.chance(0.3) || !harness.backend.hasWork {
                let part = Blob(Array(bytes.prefix(1 + random.below(random.chance(0.5) ? 30 : 5_000))))
                bytes = bytes.dropFirst(part.count)
                harness.client.receive(part.span)
            } else {
                harness.backend.step(&random)
            }
            harness.server.checkInvariants()
            if random.chance(0.5) { got += harness.client.takeOutput() }
        }
        got += harness.client.takeOutput()
        let difference = Harness.difference(got, expected)
        #expect(difference == nil, "seed \(seed): \(difference ?? "")")
        #expect(harness.backend.workMax <= Limits.clientOperationsMax)
        #expect(harness.backend.replies == harness.backend.submitted.count)
    }

    /// Requests of different keys don't wait for each other; those of one key do, in order.
    @Test func onlyOneKeyIsOneAfterTheOther() {
        let harness = Harness()
        harness.backend.isImmediate = false
        for line in ["SET a 1", "GET a", "GET b", "MGET a c d", "PING"] { harness.ask(line) }
        let keys = harness.backend.submitted.map(\.key.description)
        #expect(keys == ["a", "b", "c", "d"])
        var random = Random(seed: 1)
        harness.backend.finish(&random)
        #expect(harness.output() == "+OK|$1|1|$-1|*3|$1|1|$-1|$-1|+PONG|")
    }

    @Test func operationsAreBoundedAndAllAreServed() {
        let harness = Harness()
        harness.backend.isImmediate = false
        let keys = (0..<1_000).map { Blob("k\($0)") }
        harness.send([Blob("MSET")] + keys.flatMap { [$0, Blob("v")] })
        harness.send([Blob("MGET")] + keys)
        harness.send([Blob("DEL")] + keys)
        harness.send([Blob("EXISTS")] + keys)
        #expect(harness.backend.workCount == Limits.clientOperationsMax)
        #expect(harness.client.isBlocked)
        var random = Random(seed: 2)
        harness.backend.finish(&random)
        let found = String(repeating: "$1|v|", count: 1_000)
        #expect(harness.output() == "+OK|*1000|\(found):1000|:0|")
        #expect(harness.backend.workMax == Limits.clientOperationsMax)
    }

    /// A client that sends what costs nothing behind what takes long can't fill the memory with replies.
    @Test func commandsAreBounded() {
        let harness = Harness()
        harness.backend.isImmediate = false
        harness.ask("GET a")
        let pings = Blob(String(repeating: "PING\r\n", count: 5_000))
        harness.client.receive(pings.span)
        #expect(harness.client.isBlocked)
        var random = Random(seed: 3)
        harness.backend.finish(&random)
        #expect(harness.output() == "$-1|" + String(repeating: "+PONG|", count: 5_000))
    }

    /// A reply is in the protocol that was spoken when its request came.
    @Test func protocolChangesInTheMiddle() {
        let harness = Harness()
        harness.backend.isImmediate = false
        for line in ["GET a", "HELLO 3", "GET b", "HELLO 2", "GET c", "QUIT", "GET d"] { harness.ask(line) }
        var random = Random(seed: 4)
        harness.backend.finish(&random)
        let output = harness.output()
        #expect(output.hasPrefix("$-1|%7|"))
        #expect(output.contains("|*0|_|*14|"))
        #expect(output.hasSuffix("|*0|$-1|+OK|"))
        #expect(harness.client.isFinished)
    }

    /// A client that ends its side still gets what it asked for.
    @Test func theEndOfInputWaitsForReplies() {
        let harness = Harness()
        harness.backend.isImmediate = false
        harness.send([Blob("MGET")] + (0..<100).map { Blob("k\($0)") })
        harness.ask("GET a")
        harness.client.endInput()
        #expect(!harness.client.isFinished)
        var random = Random(seed: 5)
        harness.backend.finish(&random)
        #expect(harness.output().hasSuffix("$-1|$-1|"))
        #expect(harness.client.isFinished)
    }

    /// Replies for a client that has gone reach nobody, and not the client that came after it.
    @Test func repliesForTheGoneAreDropped() {
        let harness = Harness()
        harness.backend.isImmediate = false
        harness.ask("SET a 1")
        harness.server.close(harness.client)
        let next = harness.server.open(peer: "127.0.0.1:50002", local: "127.0.0.1:7379")!
        harness.ask("GET b", on: next)
        var random = Random(seed: 6)
        harness.backend.finish(&random)
        #expect(harness.output(next) == "$-1|")
    }
}
