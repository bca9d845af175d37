import MartletBase
import MartletConfig
import MartletRing
import Testing
import martlet

@Suite struct RingTests {
    private static func node(_ place: Int, state: String = "normal", bytes: Int? = 1 << 20) -> JSONValue {
        .object([
            ("id", .string(String(repeating: "\(place)", count: 40))), ("name", .string("n\(place)")),
            ("address", .string("127.0.0.\(place)")), ("zone", .string("default")),
            ("datacenter", .string("default")), ("state", .string(state)),
            ("bytes", bytes.map { .integer($0) } ?? .null),
        ])
    }

    /// Nodes with evenly spaced tokens in turn.
    private static func picture(_ nodes: [JSONValue], tokens: Int = 16) -> RingPicture? {
        let names = nodes.compactMap { $0["name"]?.text }
        let all = tokens * names.count
        let list = (0..<all).map { place -> JSONValue in
            .object([
                ("slot", .integer((place + 1) * Limits.slots / all - 1)),
                ("node", .string(names[place % names.count])),
            ])
        }
        return RingPicture(
            status: .object([("cluster", .string("martlet")), ("nodes", .array(nodes))]),
            ring: .object([("tokens", .array(list))]),
            keyspaces: .object([
                (
                    "keyspaces",
                    .array([
                        .object([
                            ("id", .integer(0)), ("name", .string("default")),
                            ("replication_factor", .integer(3)),
                        ])
                    ])
                )
            ]))
    }

    @Test func aPlanSaysWhatMovesWhere() throws {
        let picture = try #require(Self.picture((1...4).map { Self.node($0) }))
        #expect(picture.names.values.sorted() == ["n1", "n2", "n3", "n4"])
        let joiner = picture.joiner("n5", zone: "default", dataCenter: "default", tokens: 16)
        let report = PlanReport("n5 joins", picture, .join(joiner))
        let text = report.text(columnsMax: nil, palette: Palette(isColoured: false))
        #expect(text.hasPrefix("plan: n5 joins\n"))
        #expect(text.contains("1.00 times the least possible"))
        #expect(text.contains("replica sets: 4 before"))
        let json = report.json
        #expect(json["slots_total"]?.integer == 3 * Limits.slots)
        #expect(json["slots_moved"] == json["slots_least"])
        let bytes = try #require(json["bytes"]?.double)
        #expect(abs(bytes / (4 * 1_048_576) - 0.2) < 0.02)
        #expect((json["before"]?["fullest"]?.double ?? 0) <= 1.01)
        #expect(json["transfers"]?.elements.allSatisfy { $0["to"]?.text == "n5" } == true)
        // The same ring gives the same plan.
        #expect(joiner == picture.joiner("n5", zone: "default", dataCenter: "default", tokens: 16))
    }

    @Test func bytesThatSomebodyDoesNotTellAreUnknown() throws {
        let picture = try #require(
            Self.picture([Self.node(1), Self.node(2), Self.node(3), Self.node(4, bytes: nil)]))
        let id = try #require(picture.node("n4")?.id)
        let report = PlanReport("n4 leaves", picture, .leave(id))
        #expect(report.json["bytes"] == .null && report.json["seconds"] == .null)
        #expect(!report.text(columnsMax: 80, palette: Palette(isColoured: false)).contains("about"))
        #expect(picture.node("n9") == nil)
        #expect(picture.node(id.description)?.name == "n4")
    }

    @Test func whatIsNoRingIsNoPicture() {
        let nothing = JSONValue.object([])
        #expect(RingPicture(status: nothing, ring: nothing, keyspaces: nothing) == nil)
        // Those that are gone have no part in it.
        let gone = Self.picture([Self.node(1), Self.node(2, state: "left")])
        #expect(gone?.ring.entries.map(\.name) == ["n1"])
    }

    @Test func progressAddsUpWhatNodesSay() {
        func status(_ asked: String, exchanges: Int, done: Int, waits: [(String, String)] = []) -> JSONValue {
            .object([
                ("asked", .string(asked)),
                (
                    "change",
                    .object([
                        ("kind", .string("leave")), ("node", .string("n2")), ("since_s", .integer(3)),
                        ("exchanges", .integer(exchanges)), ("done", .integer(done)),
                        ("percent", .finite(exchanges == 0 ? 100 : 100 * Double(done) / Double(exchanges))),
                        ("bytes", .integer(1 << 20)), ("rate_bytes_per_s", .integer(1 << 19)),
                        ("eta_s", .finite(4)),
                        (
                            "waits",
                            .array(
                                waits.map {
                                    .object([("node", .string($0.0)), ("waits_for", .string($0.1))])
                                })
                        ), ("waiting", .integer(1)),
                    ])
                ),
            ])
        }
        let progress = ChangeProgress([
            status("n1", exchanges: 3, done: 1), status("n3", exchanges: 3, done: 2),
            status("n2", exchanges: 0, done: 0, waits: [("n1", "exchange"), ("n3", "not_serving")]),
        ])
        #expect(
            progress.text
                == "n2: leave, 3 of 6 exchanges, 3.0 MiB, 1.5 MiB/s, 4s to go, "
                + "waits for n1 (exchange), n3 (not serving), 1 more changes wait")
        #expect(ChangeProgress([.object([("asked", .string("n1"))])]).text.isEmpty)
    }
}
