import MartletBase
import MartletConfig
import Testing

@Suite struct WritingTests {
    private func random(_ random: inout Random) -> ClusterConfiguration {
        func time(_ range: ClosedRange<Int64>) -> Interval {
            .milliseconds(Int64.random(in: range, using: &random))
        }
        var out = ClusterConfiguration()
        out.cluster.name = ["martlet", "1e3", "-a-", "null-1"].randomElement(using: &random)!
        for index in 1...Int.random(in: 1...5, using: &random) {
            var node = NodeSettings(name: "n\(index)", address: IPAddress(v4: 127, 0, 0, UInt8(index)))
            if Bool.random(using: &random) {
                node.address = IPAddress(high: 0x2001_0db8 << 32, low: UInt64(index))
            }
            node.zone = ["default", "true", "z.1"].randomElement(using: &random)!
            node.data = [nil, "/a b: c", "ü\"\\", "~", "-x", "\\n"].randomElement(using: &random)!
            node.ports.redis = Bool.random(using: &random) ? 9_000 : nil
            out.nodes.append(node)
        }
        out.seeds = Bool.random(using: &random) ? [] : [Address(ip: out.nodes[0].address, port: 7_600)]
        out.ports.http = UInt16.random(in: 10_000...20_000, using: &random)
        var second = KeyspaceSettings(name: "null")
        second.replicationFactor =
            Bool.random(using: &random)
            ? .total(2)
            : .perDatacenter([
                DatacenterCopies(datacenter: "default", copies: 2),
                DatacenterCopies(datacenter: "null", copies: 1),
            ])
        second.write = LevelName.allCases.randomElement(using: &random)!
        second.ttl = time(0...1_000_000_000)
        out.keyspaces.append(second)
        out.requests.timeout = time(1_000...600_000)
        out.requests.speculative =
            [.off, .percentile(50), .after(time(1...999))].randomElement(using: &random)!
        out.requests.valueBytesMax = Int.random(in: 1...(64 << 20), using: &random)
        out.storage.data = ["data", "null", "a:b", "'x'", "%y", "\u{85}\u{2028}\u{FEFF}é"].randomElement(
            using: &random)!
        out.storage.durability = Durability.allCases.randomElement(using: &random)!
        out.repair.hints = Bool.random(using: &random)
        out.log.level = LogLevelName.allCases.randomElement(using: &random)!
        return out
    }

    @Test func whatIsWrittenReadsAsTheSame() throws {
        for seed in UInt64(1)...100 {
            var source = Random(seed: seed)
            let configuration = random(&source)
            let text = configuration.yaml(heading: ["By the test."])
            do throws(ConfigurationError) {
                #expect(try load(text).configuration == configuration, "seed \(seed)\n\(text)")
            } catch {
                Issue.record("seed \(seed): \(error)\n\(text)")
            }
            #expect(
                text.split(separator: "\n").allSatisfy { !$0.contains("#") || $0.count <= 100 },
                "seed \(seed)")
        }
    }

    @Test func everyKeyIsWrittenWithItsMeaning() throws {
        let text = try load(threeNodes).configuration.yaml()
        for setting in Setting<ClusterConfiguration>.all {
            #expect(text.contains("\n  \(setting.key): \(setting.kind.write(ClusterConfiguration()))\n"))
        }
        #expect(text.contains("  # How long a coordinator waits for replicas"))
    }

    // MARK: Shapes

    @Test func theFirstNodesAreKept() throws {
        var configuration = try load(threeNodes + "seeds: [127.0.0.3, 127.0.0.1]\n").configuration
        let notes = try configuration.resize(toNodes: 2)
        #expect(configuration.nodes.map(\.name) == ["n1", "n2"])
        #expect(configuration.seeds.map(\.description) == ["127.0.0.1:7600"])
        #expect(configuration.keyspaces[0].replicationFactor == .total(2))
        #expect(
            notes == ["keyspace default: replication_factor lowered from 3 to 2, because there are 2 nodes"])
        let same = try configuration.resize(toNodes: 2)
        #expect(same.isEmpty)
    }

    @Test func nodesAreAddedAtTheNextAddresses() throws {
        var configuration = try load(threeNodes).configuration
        let notes = try configuration.resize(toNodes: 5)
        #expect(notes.isEmpty)
        #expect(configuration.nodes.map(\.name) == ["n1", "n2", "n3", "n4", "n5"])
        #expect(configuration.nodes[4].address.description == "127.0.0.5")
    }

    @Test func aTakenNameIsSkipped() throws {
        var configuration = try load("nodes: [{name: n2, address: 127.0.0.1}]\n").configuration
        _ = try configuration.resize(toNodes: 3)
        #expect(configuration.nodes.map(\.name) == ["n2", "n3", "n4"])
        #expect(configuration.nodes.map(\.address.description) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    }

    @Test func copiesOfADataCentreFollowItsNodes() throws {
        let text = """
            nodes:
              - {name: a, address: 127.0.0.1, datacenter: x}
              - {name: b, address: 127.0.0.2, datacenter: x}
              - {name: c, address: 127.0.0.3, datacenter: y}
            keyspaces: {default: {replication_factor: {x: 2, y: 1}}}
            """
        var configuration = try load(text).configuration
        _ = try configuration.resize(toNodes: 2)
        let kept = Copies.perDatacenter([DatacenterCopies(datacenter: "x", copies: 2)])
        #expect(configuration.keyspaces[0].replicationFactor == kept)
    }

    @Test func anotherNetworkGivesEachNodeItsPlace() throws {
        var configuration = try load(threeNodes + "seeds: [127.0.0.2, 127.9.9.9]\n").configuration
        try configuration.move(toNetwork: "127.77.3")
        #expect(configuration.nodes.map(\.address.description) == ["127.77.3.1", "127.77.3.2", "127.77.3.3"])
        #expect(configuration.seeds.map(\.ip.description) == ["127.77.3.2", "127.9.9.9"])
        _ = try configuration.resize(toNodes: 4)
        #expect(configuration.nodes[3].address.description == "127.77.3.4")
    }

    @Test(arguments: ["", "127.0", "127.0.0.1", "a.b.c", "127.0.256"])
    func otherTextIsNoNetwork(_ text: String) throws {
        var configuration = try load(threeNodes).configuration
        var refused = false
        do { try configuration.move(toNetwork: text) } catch { refused = true }
        #expect(refused)
    }

    @Test(arguments: [0, 2_000]) func aNumberOfNodesHasBounds(_ count: Int) throws {
        var configuration = try load(threeNodes).configuration
        var refused = false
        do { _ = try configuration.resize(toNodes: count) } catch { refused = true }
        #expect(refused)
    }

    @Test func nodesAreNotInventedOnARealNetwork() throws {
        var configuration = try load("nodes: [{name: n1, address: 192.0.2.1}]\n").configuration
        var said = ""
        do { _ = try configuration.resize(toNodes: 2) } catch { said = error.text(path: "cluster.yaml") }
        #expect(said.contains("--nodes: found 2, and the file has 1"), "\(said)")
    }
}
