@preconcurrency import Glibc
import MartletBase

/// Reads a cluster.yaml with what overrides it: flag, environment, file, default, in this precedence.
package enum ConfigurationLoader {
    /// The variables that are no setting's.
    static let processVariables = ["MARTLET_CONFIG", "MARTLET_NAME", "MARTLET_ADDRESS", "MARTLET_DATA"]
    /// For the tests' own use.
    static let ignoredVariables = ["MARTLET_TEST_NETWORK"]
    package static let defaultPath = "cluster.yaml"

    /// This process's environment.
    package static func environment() -> [String: String] {
        var out: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let parts = String(cString: entry).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { out[String(parts[0])] = String(parts[1]) }
            next += 1
        }
        return out
    }

    /// Reads the file that the inputs name (cluster.yaml when they name none).
    package static func load(_ inputs: ConfigurationInputs) throws(ConfigurationError) -> LoadedConfiguration
    {
        let path = inputs.config ?? inputs.environment["MARTLET_CONFIG"] ?? defaultPath
        return try load(text: try readFile(path), path: path, inputs)
    }

    /// The same for a text at hand; `path` is what errors call it.
    package static func load(
        text: [UInt8], path: String, _ inputs: ConfigurationInputs = ConfigurationInputs()
    ) throws(ConfigurationError) -> LoadedConfiguration {
        var reader = ConfigurationReader()
        do throws(ConfigurationIssue) {
            guard let root = try YAMLReader.read(text) else {
                throw ConfigurationIssue(
                    .file(line: 1), "", found: "an empty file",
                    allowed: "a map of sections, one of them nodes")
            }
            reader.read(root)
        } catch {
            throw ConfigurationError(path: path, [error])
        }
        let name = value(inputs.name, "--name", "MARTLET_NAME", inputs)
        let address = value(inputs.address, "--address", "MARTLET_ADDRESS", inputs)
        applyEnvironment(inputs, to: &reader)
        applyFlags(inputs, to: &reader)
        if let name, !NameRule.node.accepts(name.text) {
            reader.complain(
                name.source, "", found: quotedForMessage(name.text), allowed: NameRule.node.allowed)
        }
        let ip = address.flatMap { IPAddress($0.text) }
        if let address, ip == nil {
            reader.complain(
                address.source, "", found: quotedForMessage(address.text), allowed: "an IP address")
        }
        if reader.issues.isEmpty { reader.checkRelations() }
        guard reader.issues.isEmpty else { throw ConfigurationError(path: path, reader.issues) }
        return LoadedConfiguration(
            configuration: reader.configuration, path: path, warnings: reader.warnings(), name: name?.text,
            address: ip,
            description: [
                ("--zone", inputs.zone), ("--datacenter", inputs.datacenter), ("--ports", inputs.ports),
            ].compactMap { flag, text in text.map { (flag, $0) } }, sources: reader.sources)
    }

    private static func value(
        _ flag: String?, _ flagName: String, _ variable: String, _ inputs: ConfigurationInputs
    ) -> (text: String, source: ConfigurationSource)? {
        if let flag { return (flag, .flag(flagName)) }
        return inputs.environment[variable].map { ($0, .environment(variable)) }
    }

    // MARK: Overrides

    private static func applyEnvironment(_ inputs: ConfigurationInputs, to reader: inout ConfigurationReader)
    {
        let settings = Setting<ClusterConfiguration>.all
        // In order of the names, so that complaints are in the same order every time.
        for (name, text) in inputs.environment.sorted(by: { $0.key < $1.key })
        where name.hasPrefix("MARTLET_") {
            if let setting = settings.first(where: { $0.environmentName == name }) {
                reader.set(setting, .scalar(text, isPlain: true, line: 0), from: .environment(name))
            } else if !processVariables.contains(name), !ignoredVariables.contains(name) {
                let words = processVariables + settings.map(\.environmentName)
                reader.complain(
                    .environment(name), "", found: "an unknown variable",
                    allowed: "MARTLET_<SECTION>_<KEY> of a key in cluster.yaml, or \(list(processVariables))",
                    hint: nearestHint(name, in: words) ?? "unset it")
            }
        }
        guard let data = inputs.environment["MARTLET_DATA"] else { return }
        if inputs.environment["MARTLET_STORAGE_DATA"] != nil {
            reader.complain(
                .environment("MARTLET_DATA"), "", found: "MARTLET_STORAGE_DATA too",
                allowed: "one of the two: they mean the same")
        }
        setData(data, from: .environment("MARTLET_DATA"), in: &reader)
    }

    private static func applyFlags(_ inputs: ConfigurationInputs, to reader: inout ConfigurationReader) {
        for assignment in inputs.assignments {
            let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            guard parts.count == 2, let setting = Setting<ClusterConfiguration>.find(name) else {
                let words = Setting<ClusterConfiguration>.all.map(\.name)
                reader.complain(
                    .flag("--set"), "", found: quotedForMessage(assignment),
                    allowed: "section.key=value, with a key of cluster.yaml",
                    hint: nearestHint(name, in: words))
                continue
            }
            let value = YAMLNode.scalar(String(parts[1]), isPlain: true, line: 0)
            reader.set(setting, value, from: .flag("--set \(name)"))
        }
        if let data = inputs.data { setData(data, from: .flag("--data"), in: &reader) }
    }

    private static func setData(
        _ text: String, from source: ConfigurationSource, in reader: inout ConfigurationReader
    ) {
        guard let setting = Setting<ClusterConfiguration>.find("storage.data") else { return }
        reader.set(setting, .scalar(text, isPlain: true, line: 0), from: source)
    }

    private static func list(_ words: [String]) -> String { words.joined(separator: ", ") }

    // MARK: The file

    private static func readFile(_ path: String) throws(ConfigurationError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw unreadable(
                path, "no file that can be read (\(String(cString: strerror(errno))))",
                hint: "name another with --config or MARTLET_CONFIG")
        }
        defer { close(file) }
        // One byte more than is allowed, so that a longer file is seen to be too long.
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= Limits.configurationBytesMax {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw unreadable(path, "what can't be read (\(String(cString: strerror(errno))))", hint: nil)
            }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return bytes
    }

    private static func unreadable(_ path: String, _ found: String, hint: String?) -> ConfigurationError {
        ConfigurationError(
            path: path,
            [ConfigurationIssue(.default, "", found: found, allowed: "a cluster.yaml", hint: hint)])
    }
}
