import Glibc
import MartletBase
import MartletConfig

/// Which file describes the cluster that a command is about.
///
/// `martlet up` starts nodes by a file of its own, `<data>/cluster.yaml`: a cluster.yaml with other addresses
/// or another number of nodes. So wherever a cluster.yaml is named whose data folder holds such a file, that
/// is the one whose nodes run.
struct ClusterFile {
    /// As given, or as `martlet up` wrote it.
    let loaded: LoadedConfiguration
    /// Where `<data>/<name>` are; relative to the working directory.
    let dataFolder: String

    static let writtenDefault = "data/cluster.yaml"

    /// The file whose nodes run; nil when none was named and there is none here.
    static func running(_ invocation: Invocation, data: String? = nil) throws(Failure) -> ClusterFile? {
        guard let path = path(invocation, data: data) else { return nil }
        do throws(ConfigurationError) {
            let named = try ClusterFile(path, environment: invocation.environment, data: data)
            let written = joinPath(named.dataFolder, "cluster.yaml")
            guard isFile(written), !isSameFile(written, path) else { return named }
            return try ClusterFile(written, environment: [:], data: nil)
        } catch {
            throw .configuration(error)
        }
    }

    /// As named by flag or environment, else the one that is here.
    private static func path(_ invocation: Invocation, data: String?) -> String? {
        if let path = invocation.config { return path }
        if data == nil, isFile(writtenDefault) { return writtenDefault }
        return isFile(ConfigurationLoader.defaultPath) ? ConfigurationLoader.defaultPath : nil
    }

    init(_ path: String, environment: [String: String], data: String?) throws(ConfigurationError) {
        var inputs = ConfigurationInputs()
        inputs.environment = environment
        inputs.config = path
        inputs.data = data
        self.init(try ConfigurationLoader.load(inputs))
    }

    init(_ loaded: LoadedConfiguration) {
        self.loaded = loaded
        let anyNode = NodeSettings(name: "n", address: IPAddress(v4: 127, 0, 0, 1))
        dataFolder = folder(ofPath: loaded.dataFolder(of: anyNode))
    }

    var configuration: ClusterConfiguration { loaded.configuration }

    /// The Redis ports of its nodes, in the file's order.
    var endpoints: [Endpoint] {
        configuration.nodes.compactMap { node in
            let port = configuration.ports(of: node).redis
            return port == 0
                ? nil : Endpoint(node: node.name, host: node.address.description, port: port)
        }
    }
}

func isFile(_ path: String) -> Bool { status(path).map { $0.st_mode & S_IFMT == S_IFREG } ?? false }

func isSameFile(_ a: String, _ b: String) -> Bool {
    guard let a = status(a), let b = status(b) else { return false }
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino
}

/// What the file system knows of a path, links followed; nil when there is nothing.
func status(_ path: String) -> stat? {
    var found = stat()
    return stat(path, &found) == 0 ? found : nil
}
