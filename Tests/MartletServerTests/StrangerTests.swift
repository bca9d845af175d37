import FakeServer
import MartletBase
import MartletServer
import Testing

/// HTTP and TLS on a port of Redis's.
@Suite struct StrangerTests {
    private static func send(_ text: String, to harness: Harness) -> String {
        harness.client.receive(Blob(text).span)
        return harness.output()
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "PUT /a HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 17\r\n\r\nSET stolen secret\r\n", "POST\r\n", "post a b c d\r\n",
        "Host: localhost:7379\r\nSET stolen secret\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ])
    func http(request: String) {
        let harness = Harness()
        var reports = 0
        harness.server.onReport = { report in
            guard case .stranger(.http, peer: "127.0.0.1:50000") = report else { return }
            reports += 1
        }
        #expect(
            Self.send(request, to: harness)
                == "-ERR this port speaks the Redis protocol, not HTTP: use a Redis client|")
        #expect(harness.client.isFinished)
        #expect(reports == 1)
        #expect(harness.backend.submitted.isEmpty)
        let other = harness.server.open(peer: "127.0.0.1:2", local: "127.0.0.1:7379")!
        #expect(
            harness.ask("MARTLET METRICS", on: other).contains(
                "martlet_protocol_errors_total{kind=\"http\"} 1\n"))
    }

    @Test func whatOnlyLooksLikeHTTPIsNot() {
        let harness = Harness()
        #expect(harness.ask("SET / HTTP/1.1") == "+OK|")
        #expect(harness.ask("ECHO post") == "$4|post|")
        #expect(harness.ask("NOPE a b").hasPrefix("-ERR unknown command 'NOPE'"))
        #expect(!harness.client.isFinished)
    }

    /// A ClientHello may hold no line end at all.
    @Test(arguments: [[0x16], [0x16, 3, 1, 0, 200, 1, 0, 0]] as [[UInt8]])
    func tls(hello: [UInt8]) {
        let harness = Harness()
        harness.client.receive(Blob(hello).span)
        #expect(
            harness.output()
                == "-ERR this port speaks the Redis protocol without TLS: connect without it|")
        #expect(harness.client.isFinished)
    }

    @Test func logsAreSparing() {
        let harness = Harness()
        var reports = 0
        harness.server.onReport = { _ in reports += 1 }
        for round in 1...3 {
            for port in 1...10 {
                let session = harness.server.open(peer: "127.0.0.1:\(port)", local: "127.0.0.1:7379")!
                session.receive(Blob("POST / HTTP/1.1\r\n").span)
                harness.server.close(session)
            }
            #expect(reports == round)
            harness.backend.now.monotonic = harness.backend.now.monotonic + Limits.badInputLogInterval
        }
    }
}
