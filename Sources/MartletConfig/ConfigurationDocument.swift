import MartletBase

/// docs/CONFIGURATION.md and the help on settings, made from the same table that reads them.
package enum ConfigurationDocument {
    /// One line a setting: its name, default and what is allowed.
    package static func help() -> String {
        let defaults = ClusterConfiguration()
        let settings = Setting<ClusterConfiguration>.all
        let nameWidth = settings.map(\.name.count).max() ?? 0
        let valueWidth = settings.map { $0.kind.write(defaults).count }.max() ?? 0
        return settings.map { setting in
            let name = padded(setting.name, nameWidth)
            let value = padded(setting.kind.write(defaults), valueWidth)
            return "  \(name)  \(value)  \(setting.kind.allowed)\n"
        }.joined()
    }

    /// All of docs/CONFIGURATION.md.
    package static func markdown() -> String {
        var out = introduction
        let defaults = ClusterConfiguration()
        let node = NodeSettings(name: "n1", address: IPAddress(v4: 127, 0, 0, 1))
        for section in Setting<ClusterConfiguration>.sections {
            let settings = Setting<ClusterConfiguration>.all.filter { $0.section == section }
            out += "\n## \(section)\n"
            for setting in settings {
                let value = "default `\(setting.kind.write(defaults))`"
                out += entry(setting, value, environment: setting.environmentName)
            }
            guard section == "cluster" else { continue }
            out += "\n## nodes\n\n" + nodesText
            for setting in Setting<NodeSettings>.ofNodes {
                let isRequired = ["name", "address"].contains(setting.key)
                let value = setting.kind.write(node)
                out += entry(
                    setting, isRequired ? "required" : value.isEmpty ? "no default" : "default `\(value)`")
            }
            for setting in Setting<PortOverrides>.ofNodePorts { out += entry(setting, "no default") }
            out += "\n## seeds\n\n" + seedsText
        }
        out += "\n## keyspaces\n\n" + keyspacesText
        for setting in Setting<KeyspaceSettings>.ofKeyspaces {
            out += entry(setting, "default `\(setting.kind.write(KeyspaceSettings(name: "default")))`")
        }
        return out
    }

    private static func entry<Root>(
        _ setting: Setting<Root>, _ value: String, environment: String? = nil
    ) -> String {
        var out = "\n### `\(setting.name)`\n\n"
        out += "\(setting.kind.type), \(value)" + (environment.map { ", `\($0)`" } ?? "") + "\n\n"
        out += paragraph(setting.meaning)
        let points = [
            ("Allowed", setting.kind.allowed + "."), ("Choosing", setting.choosing),
            ("Raising", setting.raising),
            ("Lowering", setting.lowering),
        ]
        out += "\n"
        for (title, text) in points where !text.isEmpty {
            let lines = fold("\(title): \(text)", columns: columnsMax - 2)
            out += "- " + lines.joined(separator: "\n  ") + "\n"
        }
        return out
    }

    private static let columnsMax = 110

    private static func paragraph(_ text: String) -> String {
        fold(text, columns: columnsMax).joined(separator: "\n") + "\n"
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    // MARK: What stands around the table

    private static let introduction = """
        # Configuration

        <!-- Made from the table of settings in Sources/MartletConfig by `make docs`; a test compares. -->

        One file, cluster.yaml, describes the whole cluster, and is the same on every node. Only `nodes` is
        required. Unknown keys, wrong types and values out of range are refused with the line, what was
        found and what is allowed; `martlet config check` does the same without starting anything.

        Times are a number and one of `ms s min h d`, sizes a number and one of `B KiB MiB GiB`; both may
        have a fraction (`1.5s`), and neither goes without its unit. Words and names need no quotes;
        numbers, `true` and `false` must have none. Anchors, aliases, tags and further documents are
        refused.

        ## Precedence

        Flag, environment, file, default: the first that says something wins.

        - Flags: `--config FILE`, `--name NODE`, `--address IP`, `--data FOLDER`, and
          `--set section.key=value` for any scalar below.
        - Environment: `MARTLET_CONFIG`, `MARTLET_NAME`, `MARTLET_ADDRESS`, `MARTLET_DATA`, and
          `MARTLET_<SECTION>_<KEY>` for any scalar below, such as `MARTLET_STORAGE_BLOCK_CACHE=1GiB`. Any
          other variable that begins with `MARTLET_` is refused, since it is most likely a slip.

        """

    private static let nodesText = """
        The founding members: a list of maps. The ring forms when all of them have met; nodes that join
        later aren't listed. No two may have the same name, nor the same address unless all their ports
        differ.

        """

    private static let seedsText = """
        A list of addresses, `address` or `address:port` (`[address]:port` for IPv6), to ask for the ring at
        start. The port is `ports.peers` where none is given. Empty: the addresses of `nodes`.

        """

    private static let keyspacesText = """
        A map of names to keys, as founded: afterwards the cluster's own definitions hold, and a node logs
        where the file differs. The first is index 0 of SELECT, the second 1, and so on. Without this
        section there is one, named `default`.

        """
}
