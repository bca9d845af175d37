import MartletBase
import MartletConfig
import Testing

/// The text as cluster.yaml, or what was wrong with it.
func load(
    _ text: String, environment: [String: String] = [:], set assignments: [String] = [], data: String? = nil,
    name: String? = nil, address: String? = nil, joiner: [String?] = [nil, nil, nil]
) throws(ConfigurationError) -> LoadedConfiguration {
    var inputs = ConfigurationInputs()
    inputs.environment = environment
    inputs.assignments = assignments
    inputs.data = data
    inputs.name = name
    inputs.address = address
    (inputs.zone, inputs.datacenter, inputs.ports) = (joiner[0], joiner[1], joiner[2])
    return try ConfigurationLoader.load(text: Array(text.utf8), path: "etc/cluster.yaml", inputs)
}

/// The lines of the error; empty when there is none.
func refusal(
    _ text: String, environment: [String: String] = [:], set assignments: [String] = []
) -> String {
    do throws(ConfigurationError) {
        _ = try load(text, environment: environment, set: assignments)
        return ""
    } catch {
        return error.description
    }
}

let oneNode = "nodes: [{name: n1, address: 127.0.0.1}]\n"
let threeNodes = """
    nodes:
      - {name: n1, address: 127.0.0.1}
      - {name: n2, address: 127.0.0.2}
      - {name: n3, address: 127.0.0.3}

    """

@Suite struct LoadingTests {
    @Test func theFileThatComesWithMartletSaysTheDefaults() throws {
        var inputs = ConfigurationInputs()
        inputs.config = repositoryPath("cluster.yaml")
        let loaded = try ConfigurationLoader.load(inputs)
        var expected = ClusterConfiguration()
        expected.nodes = (1...3).map {
            NodeSettings(name: "n\($0)", address: IPAddress(v4: 127, 0, 0, UInt8($0)))
        }
        #expect(loaded.configuration == expected)
        #expect(loaded.warnings.isEmpty)
    }

    @Test func onlyNodesAreNeeded() throws {
        let configuration = try load(threeNodes).configuration
        #expect(configuration.nodes.map(\.name) == ["n1", "n2", "n3"])
        #expect(configuration.requests == ClusterConfiguration().requests)
        #expect(
            configuration.seedAddresses.map(\.description) == [
                "127.0.0.1:7600", "127.0.0.2:7600", "127.0.0.3:7600",
            ])
    }

    @Test func everyKindOfValueIsRead() throws {
        let configuration = try load(
            """
            cluster: {name: west-1}
            nodes:
              - name: a
                address: "::1"
                zone: z1
                datacenter: dc1
                data: /srv/a
                ports: {redis: 9000}
              - {name: b, address: 127.0.0.2, datacenter: dc2}
            seeds: [127.0.0.9, "[::1]:77"]
            ports: {peers: 600, http: 0}
            keyspaces:
              users: {replication_factor: {dc2: 1, dc1: 3}, read: local_quorum, write: ANY, ttl: 1.5h}
              events:
                conflict: siblings
                sloppy_quorum: true
            requests: {speculative: 250ms, value_bytes_max: 1.5MiB, timeout: '0.5s'}
            storage: {durability: periodic}
            gossip:
            log: {level: debug, format: json}
            """
        ).configuration
        #expect(configuration.cluster.name == "west-1")
        #expect(configuration.nodes[0].data == "/srv/a")
        #expect(configuration.nodes[0].zone == "z1")
        #expect(configuration.ports(of: configuration.nodes[0]).redis == 9000)
        #expect(configuration.ports(of: configuration.nodes[1]).redis == 7379)
        #expect(configuration.ports(of: configuration.nodes[0]).peers == 600)
        #expect(configuration.seeds.map(\.description) == ["127.0.0.9:600", "[::1]:77"])
        #expect(configuration.keyspaces.map(\.name) == ["users", "events"])
        let users = configuration.keyspaces[0]
        #expect(
            users.replicationFactor
                == .perDatacenter([
                    DatacenterCopies(datacenter: "dc1", copies: 3),
                    DatacenterCopies(datacenter: "dc2", copies: 1),
                ]))
        #expect((users.read, users.write) == (.localQuorum, .any))
        #expect(users.ttl == .minutes(90))
        #expect(configuration.keyspaces[1].conflict == .siblings)
        #expect(configuration.keyspaces[1].sloppyQuorum)
        #expect(configuration.requests.speculative == .after(.milliseconds(250)))
        #expect(configuration.requests.valueBytesMax == 3 << 19)
        #expect(configuration.requests.timeout == .milliseconds(500))
        #expect(configuration.storage.durability == .periodic)
        #expect(configuration.gossip == ClusterConfiguration().gossip)
        #expect((configuration.log.level, configuration.log.format) == (.debug, .json))
    }

    @Test(arguments: [
        ("1ms", 1_000_000), ("1.5ms", 1_500_000), ("0.000001s", nil), ("0.001s", 1_000_000),
        ("0.5min", 30_000_000_000),
        ("60s", 60_000_000_000), ("61s", nil), ("2", nil), ("2 s", nil), ("s", nil), ("1.s", nil),
        (".5s", nil),
        ("1.5.5s", nil), ("1e1s", nil), ("-1s", nil), ("99999999999999999999s", nil), ("9999999999999d", nil),
        ("1.0000000001s", nil), ("٣s", nil),
    ])
    func timesAreExactAndInRange(_ text: String, _ nanoseconds: Int64?) {
        let loaded = try? load(oneNode, set: ["storage.sync_interval=\(text)"])
        #expect(loaded?.configuration.storage.syncInterval.nanoseconds == nanoseconds)
    }

    @Test(arguments: [
        ("0B", 0), ("1B", 1), ("1.5KiB", 1_536), ("0.1KiB", nil), ("0.0009765625KiB", nil),
        ("16GiB", 16 << 30),
        ("16385GiB", nil), ("1TiB", nil), ("9999999999GiB", nil), ("1kib", nil), ("1", nil),
    ])
    func sizesAreExactAndInRange(_ text: String, _ bytes: Int?) {
        let loaded = try? load(oneNode, set: ["storage.disk_free_min=\(text)"])
        #expect(loaded?.configuration.storage.diskFreeMin == bytes)
    }

    // MARK: Precedence

    @Test func aFlagWinsOverTheEnvironmentOverTheFileOverTheDefault() throws {
        let file = oneNode + "requests:\n  timeout: 3s\n  clients_max: 5\n  siblings_max: 20\n"
        let loaded = try load(
            file,
            environment: [
                "MARTLET_REQUESTS_TIMEOUT": "4s", "MARTLET_REQUESTS_CLIENTS_MAX": "6", "PATH": "/bin",
                "MARTLET_TEST_NETWORK": "127.64.0",
            ], set: ["requests.timeout=5s"])
        let requests = loaded.configuration.requests
        #expect(requests.timeout == .seconds(5))
        #expect(requests.clientsMax == 6)
        #expect(requests.siblingsMax == 20)
        #expect(requests.inFlightMax == 10_000)
        #expect(loaded.source(of: "requests.timeout") == .flag("--set requests.timeout"))
        #expect(loaded.source(of: "requests.clients_max") == .environment("MARTLET_REQUESTS_CLIENTS_MAX"))
        #expect(loaded.source(of: "requests.siblings_max") == .file(line: 5))
        #expect(loaded.source(of: "requests.in_flight_max") == .default)
    }

    @Test func everyScalarHasAVariable() throws {
        let names = Setting<ClusterConfiguration>.all.map(\.environmentName)
        #expect(Set(names).count == names.count)
        #expect(names.contains("MARTLET_PORTS_REDIS_CLUSTER"))
        for setting in Setting<ClusterConfiguration>.all {
            let value = setting.kind.write(ClusterConfiguration())
            let loaded = try load(oneNode, environment: [setting.environmentName: value])
            #expect(loaded.source(of: setting.name) == .environment(setting.environmentName))
            #expect(setting.kind.write(loaded.configuration) == value)
        }
    }

    @Test(arguments: [
        (["MARTLET_REQUEST_TIMEOUT": "1s"], "did you mean MARTLET_REQUESTS_TIMEOUT?"),
        (["MARTLET_NODES": "x"], "an unknown variable"),
        (
            ["MARTLET_REQUESTS_TIMEOUT": "1"],
            "environment MARTLET_REQUESTS_TIMEOUT: requests.timeout: found \"1\""
        ),
        (["MARTLET_DATA": "a", "MARTLET_STORAGE_DATA": "b"], "they mean the same"),
        (["MARTLET_ADDRESS": "localhost"], "environment MARTLET_ADDRESS: found \"localhost\""),
        (["MARTLET_NAME": "a/b"], "environment MARTLET_NAME"),
        (["MARTLET_DATA": ""], "storage.data: found nothing"),
    ])
    func wrongVariablesAreRefused(_ environment: [String: String], _ expected: String) {
        let text = refusal(oneNode, environment: environment)
        #expect(text.contains(expected), "\(text)")
    }

    @Test(arguments: [
        ("requests.timeout", "section.key=value"), ("requests.timeot=1s", "did you mean requests.timeout?"),
        ("ring.tokens_per_node=0", "--set ring.tokens_per_node: ring.tokens_per_node: found \"0\""),
        ("nodes=1", "section.key=value"),
    ])
    func wrongAssignmentsAreRefused(_ assignment: String, _ expected: String) {
        let text = refusal(oneNode, set: [assignment])
        #expect(text.contains(expected), "\(text)")
    }

    @Test func theEnvironmentOfThisProcessIsRead() {
        #expect(ConfigurationLoader.environment()["PATH"]?.isEmpty == false)
    }

    @Test func aFileThatCannotBeReadIsNamed() {
        var inputs = ConfigurationInputs()
        inputs.environment = ["MARTLET_CONFIG": "/nowhere/cluster.yaml"]
        var said = ""
        do { _ = try ConfigurationLoader.load(inputs) } catch { said = error.description }
        #expect(said.contains("/nowhere/cluster.yaml: found no file that can be read"), "\(said)")
    }

    // MARK: Which node, which folder

    @Test func aNodeFindsItselfByNameElseByAddress() throws {
        #expect(try load(threeNodes, name: "n2").ownNode().address.description == "127.0.0.2")
        #expect(try load(threeNodes, address: "127.0.0.3").ownNode().name == "n3")
        #expect(try load(oneNode).ownNode().name == "n1")
        let joiner = try load(threeNodes, name: "n9", address: "127.0.0.9").ownNode()
        #expect(joiner.address.description == "127.0.0.9")
        let named = try load(threeNodes, environment: ["MARTLET_NAME": "n1"], name: "n2")
        #expect(try named.ownNode().name == "n2")
    }

    @Test func aNodeThatTheFileDoesNotListSaysWhereItIs() throws {
        let node = try load(
            threeNodes, name: "n9", address: "127.0.0.1",
            joiner: ["west", "there", "peers=7601,redis=7378,redis_cluster=0,http=0"]
        ).ownNode()
        #expect(node.zone == "west")
        #expect(node.datacenter == "there")
        let ports = [node.ports.peers, node.ports.redis, node.ports.redisCluster, node.ports.http]
        #expect(ports == [7601, 7378, 0, 0])
    }

    @Test(arguments: [
        ("n2", "127.0.0.2", ["west", nil, nil], "which the file lists"),
        ("n9", "127.0.0.9", ["a/b", nil, nil], "--zone: found \"a/b\""),
        ("n9", "127.0.0.9", [nil, nil, "peers"], "--ports: found \"peers\""),
        ("n9", "127.0.0.9", [nil, nil, "peers=0"], "no port for peers"),
        ("n9", "127.0.0.9", [nil, nil, "redis=x"], "--ports redis: found \"x\""),
        ("n9", "127.0.0.2", [nil, nil, nil], "ports that n2 has there"),
    ])
    func aJoinerThatIsWronglyDescribedIsTold(
        _ name: String, _ address: String, _ joiner: [String?], _ expected: String
    ) throws {
        let loaded = try load(threeNodes, name: name, address: address, joiner: joiner)
        var said = ""
        do { _ = try loaded.ownNode() } catch { said = error.description }
        #expect(said.contains(expected), "\(said)")
    }

    @Test(arguments: [
        (nil, nil, "which node this is"), ("n4", nil, "one of nodes: n1 (127.0.0.1)"),
        (nil, "127.0.0.4", "the address of one of nodes"),
        ("n1", "127.0.0.2", "127.0.0.1, as the file has it"),
    ])
    func aNodeThatCannotFindItselfIsTold(_ name: String?, _ address: String?, _ expected: String) throws {
        let loaded = try load(threeNodes, name: name, address: address)
        var said = ""
        do { _ = try loaded.ownNode() } catch { said = error.description }
        #expect(said.contains(expected), "\(said)")
    }

    @Test func theDataFolderIsRelativeToWhereItWasSaid() throws {
        let text = "nodes: [{name: n1, address: 127.0.0.1}, {name: n2, address: 127.0.0.2, data: /srv/x}]\n"
        let plain = try load(text)
        #expect(plain.dataFolder(of: plain.configuration.nodes[0]) == "etc/data/n1")
        #expect(plain.dataFolder(of: plain.configuration.nodes[1]) == "/srv/x/n2")
        let flagged = try load(text, data: "tmp")
        #expect(flagged.dataFolder(of: flagged.configuration.nodes[0]) == "tmp/n1")
        #expect(flagged.dataFolder(of: flagged.configuration.nodes[1]) == "tmp/n2")
        let variable = try load(text, environment: ["MARTLET_DATA": "/var/m/"])
        #expect(variable.dataFolder(of: variable.configuration.nodes[0]) == "/var/m/n1")
        #expect(folder(ofPath: "/cluster.yaml") == "/")
        #expect(joinPath(folder(ofPath: "cluster.yaml"), "data") == "data")
        #expect(joinPath(folder(ofPath: "/srv/cluster.yaml"), ".") == "/srv")
    }
}
