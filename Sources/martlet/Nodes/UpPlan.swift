import MartletBase
import MartletConfig

/// The cluster that `martlet up` starts: a cluster.yaml with `--nodes` and `--network` applied, and written
/// so that it holds from where it is put, `<data>/cluster.yaml`.
package struct UpPlan {
    package private(set) var configuration: ClusterConfiguration
    /// What had to change beside what was asked for.
    package private(set) var notes: [String] = []
    /// Where the nodes' folders are; relative to the working directory, as is the file that was read.
    package let dataFolder: String
    private let source: String
    private let isFewer: Bool

    /// `workingFolder` is what relative paths are relative to, from the root.
    package init(
        _ loaded: LoadedConfiguration, nodes: Int?, network: String?, workingFolder: String
    ) throws(Failure) {
        configuration = loaded.configuration
        source = loaded.path
        dataFolder = ClusterFile(loaded).dataFolder
        isFewer = nodes.map { [count = loaded.configuration.nodes.count] in $0 < count } ?? false
        do throws(ConfigurationIssue) {
            try shape(nodes: nodes, network: network)
        } catch {
            throw .usage(error.text(path: loaded.path))
        }
        for index in configuration.nodes.indices {
            let node = configuration.nodes[index]
            let folderOfNode = loaded.dataFolder(of: node)
            configuration.nodes[index].data =
                folderOfNode == joinPath(dataFolder, node.name)
                ? nil : joinPath(workingFolder, folder(ofPath: folderOfNode))
        }
        configuration.storage.data = "."
    }

    /// Fewer nodes first, since a network has room for 254; more nodes last, since they take the addresses
    /// that follow.
    private mutating func shape(nodes: Int?, network: String?) throws(ConfigurationIssue) {
        if let nodes, isFewer { notes += try configuration.resize(toNodes: nodes) }
        if let network { try configuration.move(toNetwork: network) }
        if let nodes, !isFewer {
            notes += try configuration.resize(toNodes: nodes)
            if let network { try configuration.move(toNetwork: network) }
        }
    }

    /// The text of the file.
    package var yaml: String {
        configuration.yaml(heading: [
            "Written by `martlet up` from \(source), anew at each start: change that file, not this one."
        ])
    }

    /// Why the cluster can't become this one, when its data was founded as another one; `before` is the file
    /// that `martlet up` wrote last, `hasData` whether a node's folder holds data.
    package func objection(before: ClusterConfiguration, hasData: (NodeSettings) -> Bool) -> String? {
        guard before.nodes.contains(where: hasData) else { return nil }
        let known = Set(before.nodes.map(\.name))
        let added = configuration.nodes.filter { !known.contains($0.name) && !hasData($0) }.map(\.name)
        guard !added.isEmpty else { return nil }
        let founders = before.nodes.map(\.name).joined(separator: ", ")
        let joiners = added.joined(separator: ", ")
        return "the cluster in \(dataFolder) was founded by \(founders); \(joiners) would have to join it: "
            + "start it with --nodes \(before.nodes.count), then `martlet up --add \(added.count)`. Or "
            + "remove \(dataFolder) for a new cluster"
    }

    /// Takes over nodes that were added to the running cluster since; `before` as in `objection`. Who asks
    /// for fewer nodes than the file has means just those.
    package mutating func keepAdded(_ before: ClusterConfiguration, hasData: (NodeSettings) -> Bool) {
        guard !isFewer else { return }
        let names = Set(configuration.nodes.map(\.name))
        let addresses = Set(configuration.nodes.map(\.address))
        configuration.nodes += before.nodes.filter {
            !names.contains($0.name) && !addresses.contains($0.address) && hasData($0)
        }
    }
}
