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

    /// `workingFolder` is what relative paths are relative to, from the root.
    package init(
        _ loaded: LoadedConfiguration, nodes: Int?, network: String?, workingFolder: String
    ) throws(Failure) {
        configuration = loaded.configuration
        source = loaded.path
        dataFolder = ClusterFile(loaded).dataFolder
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
        let isFewer = nodes.map { $0 < configuration.nodes.count } ?? false
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
        return "the cluster in \(dataFolder) was founded by \(founders); \(joiners) would join later, which "
            + "comes with a later version. Start it with --nodes \(before.nodes.count), or remove "
            + "\(dataFolder) for a new cluster"
    }
}
