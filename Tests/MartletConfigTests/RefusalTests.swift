import MartletBase
import MartletConfig
import Testing

/// A file and parts of what is said of it.
struct BadFile: CustomTestStringConvertible, Sendable {
    let text: String
    let expected: [String]
    var testDescription: String { expected.joined(separator: " … ") }

    init(_ text: String, _ expected: String...) {
        self.text = text
        self.expected = expected
    }
}

private func requests(_ line: String) -> String { oneNode + "requests:\n  \(line)\n" }

@Suite struct RefusalTests {
    static let keysAndTypes = [
        BadFile("", "cluster.yaml:1: found an empty file"),
        BadFile("# only this\n", "an empty file"),
        BadFile("cluster: {name: a}\n", "cluster.yaml:1: nodes: found nothing"),
        BadFile("nodes\n", "found \"nodes\", allowed: a map of sections"),
        BadFile("- nodes\n", "found a list of 1"),
        BadFile("nodes: []\n", "nodes: found a list of 0"),
        BadFile("nodes:\n", "nodes: found nothing"),
        BadFile("nodes: {n1: 127.0.0.1}\n", "nodes: found a map of 1"),
        BadFile("nodes: [n1]\n", "nodes[0]: found \"n1\", allowed: {name: ..., address: ...}"),
        BadFile("nodes: [{name: n1}]\n", "nodes[0].address: found nothing"),
        BadFile("nodes: [{address: 127.0.0.1}]\n", "nodes[0].name: found nothing"),
        BadFile(
            "nodes: [{name: n1, adress: 127.0.0.1}]\n", "unknown key \"adress\"", "did you mean address?"),
        BadFile("nodes: [{name: n1, address: localhost}]\n", "found \"localhost\"", "no host name"),
        BadFile("nodes: [{name: n1, address: 0.0.0.0}]\n", "found \"0.0.0.0\"", "others must reach"),
        BadFile("nodes: [{name: n1, address: 224.0.0.1}]\n", "found \"224.0.0.1\""),
        BadFile("nodes: [{name: n1, address: 127.0.0.1:7600}]\n", "found \"127.0.0.1:7600\"", "no port"),
        BadFile("nodes: [{name: ../x, address: 127.0.0.1}]\n", "nodes[0].name: found \"../x\""),
        BadFile("nodes: [{name: n 1, address: 127.0.0.1}]\n", "found \"n 1\""),
        BadFile("nodes: [{name: null, address: 127.0.0.1}]\n", "nodes[0].name: found nothing"),
        BadFile(
            "nodes: [{name: n1, address: 127.0.0.1, ports: {redi: 1}}]\n", "nodes[0].ports", "mean redis?"),
        BadFile("nodes: [{name: n1, address: 127.0.0.1, ports: 1}]\n", "nodes[0].ports: found \"1\""),
        BadFile(
            oneNode + "request: {timeout: 1s}\n", "cluster.yaml:2: found the unknown key", "mean requests?"),
        BadFile(requests("time_out: 1s"), "yaml:3: requests: found the unknown key \"time_out\"", "timeout?"),
        BadFile(requests("timeout: 1"), "cluster.yaml:3: requests.timeout: found \"1\"", "it needs a unit"),
        BadFile(requests("timeout: 1 s"), "no space before the unit: 1s"),
        BadFile(requests("timeout: 1sec"), "write 1s"),
        BadFile(requests("timeout: 1m"), "write 1min"),
        BadFile(requests("timeout: 11min"), "a time from 10ms to 10min"),
        BadFile(requests("timeout: [1s]"), "found a list of 1"),
        BadFile(requests("timeout:"), "found nothing"),
        BadFile(requests("key_bytes_max: 64KB"), "write 64KiB"),
        BadFile(requests("key_bytes_max: 65KiB"), "a size from 1B to 64KiB"),
        BadFile(requests("value_bytes_max: 1m"), "write 1MiB"),
        BadFile(requests("value_bytes_max: 0.3B"), "found \"0.3B\""),
        BadFile(requests("in_flight_max: \"10\""), "found \"10\"", "a whole number from 1 to 1000000"),
        BadFile(requests("in_flight_max: 1_000"), "digits only"),
        BadFile(requests("in_flight_max: 010"), "digits only"),
        BadFile(requests("in_flight_max: 0"), "a whole number from 1 to 1000000"),
        BadFile(requests("speculative: p100"), "off, p50 to p99, or a time"),
        BadFile(requests("speculative: p4x"), "found \"p4x\""),
        BadFile(oneNode + "ports: {redis: 65536}\n", "found \"65536\", allowed: a port"),
        BadFile(oneNode + "ports: [1]\n", "ports: found a list of 1, allowed: a map"),
        BadFile(oneNode + "cluster: {name: Martlet}\n", "found \"Martlet\", allowed: 1 to 64 of a-z 0-9 -"),
        BadFile(oneNode + "seeds: 127.0.0.1\n", "seeds: found \"127.0.0.1\", allowed: a list"),
        BadFile(oneNode + "seeds: [there:1]\n", "seeds[0]: found \"there:1\""),
        BadFile(
            oneNode + "repair: {hints: yes}\n", "found \"yes\", allowed: true or false", "only these two"),
        BadFile(oneNode + "repair: {hints: \"true\"}\n", "allowed: true or false"),
        BadFile(oneNode + "log: {level: warning}\n", "one of debug, info, warn, error"),
        BadFile(oneNode + "storage: {durability: bach}\n", "did you mean batch?"),
        BadFile(oneNode + "storage: {data: \"a\\0b\"}\n", "without control characters"),
    ]

    static let keyspaces = [
        BadFile(oneNode + "keyspaces: {}\n", "keyspaces: found an empty map"),
        BadFile(oneNode + "keyspaces: {0: {}}\n", "found \"0\"", "the first a letter"),
        BadFile(
            oneNode + "keyspaces: {a: {read: ANY}}\n", "keyspaces.a.read: found \"ANY\", allowed: one of"),
        BadFile(oneNode + "keyspaces: {a: {write: QURUM}}\n", "did you mean QUORUM?"),
        BadFile(oneNode + "keyspaces: {a: {replication_factor: 8}}\n", "found \"8\", allowed: 1 to 7"),
        BadFile(oneNode + "keyspaces: {a: {replication_factor: 0}}\n", "found \"0\""),
        BadFile(oneNode + "keyspaces: {a: {replication_factor: {b: 4, c: 4}}}\n", "with 1 to 7 in all"),
        BadFile(oneNode + "keyspaces: {a: {replication_factor: {}}}\n", "found an empty map"),
        BadFile(oneNode + "keyspaces: {a: {conflicts: lww}}\n", "did you mean conflict?"),
        BadFile(oneNode + "keyspaces: {a: lww}\n", "keyspaces.a: found \"lww\""),
    ]

    static let yaml = [
        BadFile("nodes: [\n", "no YAML"),
        BadFile("nodes:\n\t- {name: n1}\n", "cluster.yaml:2: found a tab that indents, allowed: spaces"),
        BadFile("nodes: a: b\n", "no YAML", "mapping values are not allowed"),
        BadFile(oneNode + oneNode, "cluster.yaml:2: found the key \"nodes\" again", "line 1 already"),
        BadFile(requests("timeout: 1s\n  timeout: 2s"), "cluster.yaml:4: found the key \"timeout\" again"),
        BadFile("a: &x [1]\nb: *x\n", "cluster.yaml:1: found an anchor"),
        BadFile("a: *x\n", "found an alias"),
        BadFile("nodes: !list []\n", "found a tag"),
        BadFile(oneNode + "---\n" + oneNode, "cluster.yaml:2: found a second document"),
        BadFile("? [a]\n: b\n", "a list or a map as a key"),
        BadFile(String(repeating: "[", count: 5_000), "8 levels"),
        BadFile(String(repeating: "{a: ", count: 5_000), "8 levels"),
        BadFile("a: [" + String(repeating: "1, ", count: 70_000) + "]", "65536 values"),
        BadFile("# " + String(repeating: "x", count: 1 << 20), "a file of 1048578 bytes"),
        BadFile("a: \"\\ud800\"\n", "no YAML"),
        BadFile("a: b\u{1}\n", "no YAML", "control characters are not allowed"),
    ]

    static let relations = [
        BadFile(
            "nodes:\n  - {name: a, address: 127.0.0.1}\n  - {name: a, address: 127.0.0.2}\n",
            "cluster.yaml:3: nodes: found the name a again", "line 2 has it already"),
        BadFile(
            "nodes:\n  - {name: a, address: 127.0.0.1}\n  - {name: b, address: 127.0.0.1}\n",
            "cluster.yaml:3: nodes: found the address 127.0.0.1 again", "a on line 2 has it already"),
        BadFile(oneNode + "ports: {http: 7379}\n", "port 7379 for both redis and http"),
        BadFile(threeNodes + "ports: {peers: 0}\n", "ports.peers: found 0, which is off"),
        BadFile(
            oneNode + "gossip: {probe_timeout: 1s}\n",
            "cluster.yaml:2: gossip.probe_timeout: found 1s, allowed: less than gossip.probe_interval"),
        BadFile(
            oneNode + "gossip: {probe_interval: 500ms}\n", "cluster.yaml:2: gossip.probe_timeout: found 500ms"
        ),
        BadFile(
            oneNode + "requests: {siblings_max: 8}\n", "requests.siblings_warn: found 16, allowed: at most"),
        BadFile(
            oneNode + "requests: {value_bytes_max: 65MiB}\n", "client_output_max: found 64MiB", "must fit"),
        BadFile(oneNode + "requests: {speculative: 3s}\n", "less than requests.timeout, which is 2s"),
        BadFile(oneNode + "repair: {tombstone_grace: 0s}\n", "at least twice requests.clock_skew_max, 1s"),
        BadFile(
            "ring: {tokens_per_node: 256}\nnodes:\n"
                + (0..<65).map { "  - {name: n\($0), address: 127.0.1.\($0)}\n" }.joined(),
            "cluster.yaml:1: ring.tokens_per_node: found 256 for 65 nodes, allowed: at most 252"),
    ]

    @Test(arguments: keysAndTypes + keyspaces + yaml + relations)
    func aBadFileIsRefusedWithPlaceFoundAndAllowed(_ file: BadFile) {
        let said = refusal(file.text)
        for part in file.expected { #expect(said.contains(part), "\(said)") }
        #expect(said.contains("found") && said.contains("allowed"))
    }

    @Test func allIssuesAreToldAtOnceUpToALimit() {
        let said = refusal(oneNode + "requests: {timeout: 1, in_flight_max: x}\nlog: {level: x}\n")
        #expect(said.split(separator: "\n").count == 3, "\(said)")
        let many = (0..<100).map { "k\($0): 1\n" }.joined()
        #expect(refusal(many).split(separator: "\n").count == Limits.configurationIssuesMax)
    }

    @Test(arguments: [
        ([0x6E, 0x3A, 0xFF], "cluster.yaml:1: found bytes that are no UTF-8"),
        ([0x61, 0x0A, 0xC3, 0x28], "cluster.yaml:2: found bytes that are no UTF-8"),
        ([0xFF, 0xFE, 0x61, 0x00], "found UTF-16"), ([0xFE, 0xFF, 0x00, 0x61], "found UTF-16"),
        ([0x00], "no YAML"),
    ])
    func bytesThatAreNoUTF8AreRefused(_ bytes: [UInt8], _ expected: String) {
        var said = ""
        do { _ = try ConfigurationLoader.load(text: bytes, path: "cluster.yaml") } catch { said = "\(error)" }
        #expect(said.contains(expected), "\(said)")
    }

    @Test func noBytesCrashTheReader() throws {
        let file = try #require(readText(repositoryPath("cluster.yaml")))
        for seed in UInt64(1)...400 {
            var random = Random(seed: seed)
            var bytes = Array(file.utf8)
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                case 2:
                    bytes.insert(
                        contentsOf: Array("\n{[]}:&*!|>'\"- ".utf8).shuffled(using: &random), at: place)
                default: bytes.removeSubrange(place..<min(bytes.count, place + 40))
                }
            }
            do throws(ConfigurationError) {
                _ = try ConfigurationLoader.load(text: bytes, path: "seed \(seed)")
            } catch {
                #expect(!error.issues.isEmpty, "seed \(seed)")
            }
        }
    }

    @Test func foreignTextInAMessageIsShortAndOnOneLine() {
        let said = refusal(oneNode + "log: {level: \"\(String(repeating: "y", count: 500))\\n\"}\n")
        #expect(said.count < 250 && !said.contains("\n"), "\(said)")
    }

    @Test func whatMayBeASlipIsWarnedOf() throws {
        let text = oneNode + "keyspaces: {a: {replication_factor: {default: 1, paris: 1}}}\n"
        let warnings = try load(text).warnings
        #expect(warnings.count == 2)
        #expect(warnings[1].contains("paris"))
    }
}
