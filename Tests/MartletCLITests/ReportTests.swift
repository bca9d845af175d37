import MartletBase
import MartletConfig
import MartletRESP
import Testing
import martlet

@Suite struct ReportTests {
    private let plain = Palette(isColoured: false)

    private func status(ring: String = "formed", agreed: Bool = true, _ nodes: [(String, String, String)])
        -> JSONValue
    {
        .object([
            ("cluster", .string("martlet")), ("ring", .string(ring)), ("ring_digest", .string("00ff")),
            ("agreed", .boolean(agreed)), ("asked", .string("n1")),
            ("waits", .strings(ring == "formed" ? [] : ["n3"])),
            (
                "nodes",
                .array(
                    nodes.map { name, state, liveness in
                        .object([
                            ("name", .string(name)), ("id", .string(String(repeating: "ab", count: 20))),
                            ("address", .string("127.0.0.1")), ("state", .string(state)),
                            ("liveness", .string(liveness)),
                            ("owns_percent", .number("66.66")), ("bytes", .null), ("uptime_s", .number("12")),
                            ("clock_offset_ms", .number("0.24")),
                        ])
                    })
            ),
        ])
    }

    @Test func aWholeClusterHasNoProblems() {
        #expect(StatusReport.problems(status([("n1", "normal", "up"), ("n2", "removed", "down")])) == [])
    }

    @Test func problemsAreNamed() {
        #expect(
            StatusReport.problems(
                status(
                    agreed: false,
                    [("n1", "normal", "up"), ("n2", "normal", "down"), ("n3", "rebuilding", "up")]))
                == ["the nodes hold different rings", "n2 is down", "n3 is rebuilding"])
        #expect(
            StatusReport.problems(status(ring: "forming", [])) == ["the ring is forming, and waits for n3"])
        #expect(StatusReport.problems(.null) == ["the ring is forming"])
    }

    @Test func whatIsUnknownIsADash() {
        let text = StatusReport.text(
            status([("n1", "normal", "up")]), columnsMax: nil, palette: plain)
        let expected = """
            martlet: ring formed, digest 00ff, agreed; 1 of 1 nodes up, as n1 sees it
            name  id        address    zone  state   liveness   owns  bytes  hints  uptime  version    clock
            n1    abababab  127.0.0.1  -     normal  up        66.7%      -      -     12s  -        +0.2 ms

            """
        #expect(text == expected)
    }

    @Test func aFileThatDiffersFromTheRingIsShown() throws {
        let node = JSONValue.object([
            ("name", .string("n2")), ("zone", .string("z1")), ("datacenter", .string("dc1")),
            ("configured", .object([("zone", .string("z2")), ("datacenter", .string("dc1"))])),
        ])
        let status = JSONValue.object([("nodes", .array([node]))])
        let text = StatusReport.text(status, columnsMax: nil, palette: plain)
        #expect(
            text.contains(
                "the file of n2 says zone z2, the ring z1, which holds: set the file right, or `martlet move "
                    + "n2 --zone z2`\n"))
        #expect(!text.contains("data centre"))
    }

    @Test func whatOneNodeDoesNotKnowAnotherTells() {
        func node(_ id: String, bytes: JSONValue, clock: JSONValue) -> JSONValue {
            .object([("id", .string(id)), ("bytes", bytes), ("clock_offset_ms", clock)])
        }
        let status = JSONValue.object([
            ("asked", .string("n1")),
            (
                "nodes",
                .array([
                    node("a", bytes: .integer(1), clock: .integer(0)), node("b", bytes: .null, clock: .null),
                    node("c", bytes: .null, clock: .null),
                ])
            ),
        ])
        let filled = StatusReport.filled(
            status,
            from: [
                node("b", bytes: .integer(2), clock: .integer(0)),
                node("a", bytes: .integer(9), clock: .null),
            ])
        #expect(filled["asked"]?.text == "n1")
        // Its own clock is no offset, and what is known stays.
        #expect(
            filled["nodes"]?.elements == [
                node("a", bytes: .integer(1), clock: .integer(0)),
                node("b", bytes: .integer(2), clock: .null), node("c", bytes: .null, clock: .null),
            ])
        #expect(StatusReport.filled(.null, from: []) == .null)
    }

    @Test func sharesOfTheRing() {
        let ring = JSONValue.object([
            ("keyspace", .string("default")), ("replication_factor", .integer(2)),
            ("ring_digest", .string("00ff")),
            (
                "tokens",
                .array(
                    [("n1", 3), ("n2", 7)].map {
                        .object([("node", .string($0.0)), ("slot", .integer($0.1))])
                    })
            ),
            (
                "ranges",
                .array([
                    .object([
                        ("first", .integer(0)), ("last", .integer(3)), ("replicas", .strings(["n1", "n2"])),
                    ]),
                    .object([
                        ("first", .integer(4)), ("last", .integer(15)), ("replicas", .strings(["n2", "n1"])),
                    ]),
                ])
            ),
        ])
        #expect(
            RingReport.text(ring, columnsMax: nil, palette: plain) == """
                keyspace default, replication factor 2, digest 00ff

                node  tokens  first   holds
                n1         1  25.0%  100.0%
                n2         1  75.0%  100.0%

                slots  count  replicas
                0-3        4  n1, n2
                4-15      12  n2, n1

                """)
        #expect(RingReport.text(.null, columnsMax: 80, palette: plain).hasPrefix("keyspace -"))
    }

    @Test func hintsThatWait() {
        let hints = JSONValue.object([
            (
                "nodes",
                .array([
                    .object([
                        ("node", .string("n1")), ("overflow_total", .integer(2)),
                        (
                            "targets",
                            .array([
                                .object([
                                    ("target", .string("n3")), ("hints", .integer(9)),
                                    ("bytes", .integer(900)),
                                    ("oldest_age_s", .number("4.2")), ("waits_for", .string("target_down")),
                                ])
                            ])
                        ),
                    ])
                ])
            )
        ])
        let text = HintsReport.text(hints, columnsMax: nil, palette: plain)
        #expect(text.contains("n1    n3       9  900 B    4.2s     -     -  target down\n"))
        #expect(text.hasSuffix("n1 left 2 hints to repair, for lack of room or age\n"))
        #expect(HintsReport.text(.null, columnsMax: nil, palette: plain).hasPrefix("no hints wait\n"))
    }

    @Test func valuesAsJSON() {
        let text = ValueReport(values: [Blob("1"), Blob("ü")], context: "xy").json(key: Blob("a"))
        #expect(
            text.description
                == #"{"format":1,"key":"a","found":true,"encoding":"utf8","values":["1","ü"],"context":"xy"}"#
        )
        // One value that isn't text makes all of them base64, so that a reader needs one rule.
        #expect(
            ValueReport(values: [Blob("1"), Blob([0xFB, 0xFF])], context: nil).json(key: Blob("a"))
                .description
                == #"{"format":1,"key":"a","found":true,"encoding":"base64","#
                + #""values":["MQ==","+/8="],"context":null}"#
        )
        #expect(ValueReport(values: [], context: "x").json(key: Blob("a"))["found"] == .boolean(false))
    }

    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")])
    func base64(text: String, encoded: String) {
        #expect(ValueReport.base64(Array(text.utf8)) == encoded)
    }

    @Test(arguments: ["", "Zg==", "Zg", "Zm8=", "Zm9v", "+/8=", "-_8"])
    func base64IsReadPaddedOrNot(encoded: String) {
        let bytes = ValueReport.bytes(fromBase64: encoded)
        #expect(
            bytes.map { ValueReport.base64($0).prefix { $0 != "=" } }
                == encoded.prefix { $0 != "=" }.replacing("-", with: "+").replacing("_", with: "/")[...])
    }

    @Test(arguments: ["=", "Zg=", "Z", "Zm9v=", "Zm9v====", "Zm 9v", "é"])
    func whatIsNoBase64(text: String) {
        #expect(ValueReport.bytes(fromBase64: text) == nil)
    }

    @Test func versionsAsATableAndAsJSON() throws {
        let reply = RESPValue.array([
            .bulkString(Blob("ctx")),
            .array([
                .array([
                    .bulkString(Blob("1")), .bulkString(Blob("v1")), .bulkString(Blob("w.1")),
                    .integer(1_000), .integer(0),
                ]),
                .array([.null, .bulkString(Blob("v2")), .bulkString(Blob("w.2")), .integer(-1), .integer(1)]),
            ]),
        ])
        let report = try #require(ValueReport(reply, hasMeta: true))
        #expect(report.values == [Blob("1")])
        #expect(
            ValueReport.table(try #require(report.versions), columnsMax: nil, palette: plain) == """
                value      version  writer  expires at
                1          v1       w.1     1970-01-01T00:00:01.000Z
                (deleted)  v2       w.2     never

                """)
        #expect(
            report.json(key: Blob([0xFF])).description
                == #"{"format":1,"key":"/w==","found":true,"encoding":"utf8","values":["1"],"context":"ctx","#
                + #""versions":[{"value":"1","version":"v1","writer":"w.1","expires_at_ms":1000,"#
                + #""tombstone":false},{"value":null,"version":"v2","writer":"w.2","expires_at_ms":null,"#
                + #""tombstone":true}],"key_encoding":"base64"}"#)
        #expect(ValueReport(.array([]), hasMeta: false) == nil)
        #expect(ValueReport(.array([.null, .array([.bulkString(Blob("1"))])]), hasMeta: true) == nil)
    }

    @Test(arguments: [
        ("plain:1/ü", "plain:1/ü"), ("a b", "\"a b\""), ("", "\"\""), ("\"", "\"\\\"\""),
        ("a\\", "\"a\\\\\""),
        ("\u{1B}[2J\n", "\"\\x1b[2J\\n\""), ("\u{202E}x", "\"\\xe2\\x80\\xaex\""),
    ])
    func keysOnATerminal(key: String, shown: String) {
        #expect(keyText(Blob(key)) == shown)
    }

    @Test func valuesOnATerminal() {
        #expect(ValueReport.display(Blob("grüß dich\u{1B}[2J")) == "grüß dich\\x1b[2J")
        #expect(ValueReport.display(Blob([0x41, 0xFF, 0x0A])) == "A\\xff\n")
    }

    @Test(arguments: [
        ("UNAVAILABLE op=write level=ALL: nothing was sent", ExitCode.unavailable, "UNAVAILABLE"),
        ("TIMEOUT op=read: late", .timeout, "TIMEOUT"), ("OVERLOADED node=n1: no", .refused, "OVERLOADED"),
        ("ERR syntax error", .refused, "ERR"), ("something else", .refused, "ERR"), ("", .refused, "ERR"),
    ])
    func serverErrors(line: String, status: ExitCode, code: String) {
        let failure = Failure.server(line)
        #expect(failure.status == status)
        #expect(failure.code == code)
        #expect(failure.line == "martlet: " + (line.hasPrefix(code) ? line : "ERR \(line)"))
        #expect(failure.json["error"]?["code"]?.text == code)
    }
}
