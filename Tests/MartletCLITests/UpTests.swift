import MartletBase
import MartletConfig
import Testing
import martlet

@Suite struct UpTests {
    private func load(
        _ text: String, path: String = "cluster.yaml", data: String? = nil
    ) throws -> LoadedConfiguration {
        var inputs = ConfigurationInputs()
        inputs.data = data
        return try ConfigurationLoader.load(text: Array(text.utf8), path: path, inputs)
    }

    private let three = """
        nodes:
          - {name: n1, address: 127.0.0.1}
          - {name: n2, address: 127.0.0.2}
          - {name: n3, address: 127.0.0.3}

        """

    private func plan(
        _ text: String, path: String = "cluster.yaml", data: String? = nil, nodes: Int? = nil,
        network: String? = nil
    ) throws -> UpPlan {
        try UpPlan(
            try load(text, path: path, data: data), nodes: nodes, network: network, workingFolder: "/work")
    }

    private func addresses(_ plan: UpPlan) -> [String] { plan.configuration.nodes.map(\.address.description) }

    @Test func whatIsWrittenHoldsFromWhereItIsPut() throws {
        let plan = try plan(three, path: "etc/cluster.yaml")
        #expect(plan.dataFolder == "etc/data")
        let written = try load(plan.yaml, path: "/work/etc/data/cluster.yaml")
        #expect(written.configuration == plan.configuration)
        #expect(written.dataFolder(of: written.configuration.nodes[1]) == "/work/etc/data/n2")
        #expect(plan.yaml.hasPrefix("# Written by `martlet up` from etc/cluster.yaml"))
    }

    @Test func aNodesOwnDataFolderStaysWhereItWas() throws {
        let text = three + "storage: {data: /var/x}\n"
        let own = text.replacing("address: 127.0.0.2", with: "address: 127.0.0.2, data: fast")
        let plan = try plan(own, path: "etc/cluster.yaml")
        #expect(plan.dataFolder == "/var/x")
        #expect(plan.configuration.nodes.map(\.data) == [nil, "/work/etc/fast", nil])
        // As everywhere, a flag wins over it.
        #expect(try self.plan(own, data: "d").configuration.nodes[1].data == nil)
        #expect(try self.plan(own, data: "d").dataFolder == "d")
    }

    @Test func networksAndNumbersOfNodes() throws {
        #expect(try addresses(plan(three, network: "127.9.8")) == ["127.9.8.1", "127.9.8.2", "127.9.8.3"])
        let two = try plan(three, nodes: 2, network: "127.9.8")
        #expect(addresses(two) == ["127.9.8.1", "127.9.8.2"])
        #expect(two.notes.count == 1 && two.notes[0].contains("replication_factor lowered from 3 to 2"))
        let five = try plan(three, nodes: 5, network: "127.9.8")
        #expect(addresses(five).suffix(2) == ["127.9.8.4", "127.9.8.5"])
        let far = three.replacing("127.0.0.", with: "10.0.0.")
        #expect(try addresses(plan(far, nodes: 4, network: "127.9.8")).last == "127.9.8.4")
        #expect(throws: Failure.self) { try plan(far, nodes: 4) }
        #expect(throws: Failure.self) { try plan(three, nodes: 300, network: "127.9.8") }
        #expect(throws: Failure.self) { try plan(three, network: "127.9") }
    }

    @Test func aFoundedClusterTakesNoNewNodes() throws {
        let before = try plan(three).configuration
        let five = try plan(three, nodes: 5)
        #expect(five.objection(before: before) { _ in false } == nil)
        let objection = five.objection(before: before) { $0.name == "n1" }
        #expect(objection?.contains("n4, n5 would have to join it") == true)
        #expect(objection?.contains("`martlet up --add 2`") == true)
        // A first start that failed half-way is tried again; nodes that are left out may come back.
        #expect(try plan(three).objection(before: before) { $0.name == "n1" } == nil)
        let two = try plan(three, nodes: 2).configuration
        #expect(try plan(three).objection(before: two) { _ in true } == nil)
    }

    @Test func nodesThatWereAddedAreKept() throws {
        var grown = try plan(three).configuration
        grown.nodes += try grown.additions(2, besides: ["n5"], at: [IPAddress(v4: 127, 0, 0, 9)])
        #expect(grown.nodes.map(\.name) == ["n1", "n2", "n3", "n4", "n6"])
        #expect(grown.nodes.map(\.address.description).suffix(2) == ["127.0.0.10", "127.0.0.11"])
        var again = try plan(three)
        again.keepAdded(grown) { $0.name != "n6" }
        #expect(again.configuration.nodes.map(\.name) == ["n1", "n2", "n3", "n4"])
        var fewer = try plan(three, nodes: 2)
        fewer.keepAdded(grown) { _ in true }
        #expect(fewer.configuration.nodes.map(\.name) == ["n1", "n2"])
    }

    @Test func aNodeToAddIsDescribed() throws {
        let configuration = try plan(three).configuration
        let west = try configuration.additions(
            1, name: "w1", address: "10.0.0.7", zone: "west", besides: [], at: [])
        #expect(west.map(\.name) == ["w1"] && west[0].zone == "west")
        #expect(west[0].address.description == "10.0.0.7")
        #expect(throws: (any Error).self) {
            try configuration.additions(1, address: "127.0.0.3", besides: [], at: [])
        }
        #expect(throws: (any Error).self) { try configuration.additions(1, zone: "a/b", besides: [], at: []) }
        // Only loopback addresses are counted up.
        let far = try plan(three.replacing("127.0.0.", with: "10.0.0.")).configuration
        #expect(throws: (any Error).self) { try far.additions(1, besides: [], at: []) }
        #expect(throws: (any Error).self) { try configuration.additions(2_000, besides: [], at: []) }
    }

    @Test func howNodesSayHowFarTheyAre() {
        let status = JSONValue.object([
            ("asked", .string("n1")), ("ring", .string("formed")),
            (
                "nodes",
                .array(
                    [("n1", "up"), ("n2", "down")].map {
                        .object([("name", .string($0.0)), ("liveness", .string($0.1))])
                    })
            ),
        ])
        #expect(NodeView(status, of: "n1") == .serving(up: ["n1"], isAgreed: false))
        #expect(!NodeView(status, of: "n2").isServing)
        #expect(NodeView.serving(up: ["n1", "n2"], isAgreed: true).hasSettled(with: ["n1"]))
        #expect(!NodeView.serving(up: ["n1"], isAgreed: true).hasSettled(with: ["n1", "n2"]))
        #expect(!NodeView.serving(up: ["n1"], isAgreed: false).hasSettled(with: ["n1"]))
        let removals: [(String, String)] = [
            ("n1", "normal"), ("n3", "removed"), ("n4", "removed"), ("n4", "joining"),
        ]
        let changed = JSONValue.object([
            ("asked", .string("n1")), ("ring", .string("formed")),
            (
                "nodes",
                .array(
                    removals.map { .object([("name", .string($0.0)), ("state", .string($0.1))]) })
            ),
        ])
        #expect(NodeView(changed, of: "n1").removed == ["n3"])
        let forming = JSONValue.object([
            ("asked", .string("n1")), ("ring", .string("forming")), ("waits", .strings(["n3"])),
        ])
        #expect(NodeView(forming, of: "n1").text == "the ring is forming, waits for n3")
    }

    @Test func howProcessesEnd() {
        #expect(ProcessEnd(waitStatus: 0).isClean)
        #expect(ProcessEnd(waitStatus: 4 << 8) == .exit(4))
        #expect(ProcessEnd(waitStatus: 4 << 8).text == "exit status 4: a port is in use")
        #expect(ProcessEnd(waitStatus: 9) == .signal(9))
        #expect(ProcessEnd(waitStatus: 6 | 0x80) == .signal(6))
    }

    @Test(arguments: [
        ("127.0.0.2", "127.0.0.2:7379"), ("127.0.0.2:1", "127.0.0.2:1"), ("::1", "[::1]:7379"),
        ("[::1]:9", "[::1]:9"),
        ("localhost", "localhost:7379"), ("db-1.example:80", "db-1.example:80"),
    ])
    func endpoints(text: String, place: String) {
        #expect(Endpoint(text)?.description == place)
    }

    @Test(arguments: [
        "", ":", "127.0.0", "127.0.0.1.2", "a b", "h:0", "h:65536", "h:1:2", "h:x", "[::1", "300.1.1.1",
    ])
    func whatIsNoEndpoint(text: String) {
        #expect(Endpoint(text) == nil)
    }
}
