import MartletConfig

extension Command {
    static let config = Command(group: "config", "Works on cluster.yaml.", [check])

    private static let check = Command(
        CommandSpecification(
            "check", "Checks a cluster.yaml without starting anything.",
            arguments: [ArgumentSpecification("FILE", "the file, cluster.yaml if none is said", .optional)],
            examples: [
                ("martlet config check", "exit status 1 and the lines to mend when a node would refuse it"),
                ("martlet config check /etc/martlet/cluster.yaml --json", "for scripts"),
            ],
            notes: "MARTLET_ variables count as they would for a node.")
    ) { invocation throws(Failure) in
        if let file = invocation.line.arguments.first, let named = invocation.line.value("--config") {
            throw .usage("one file, please: \(file) or --config \(named)")
        }
        var inputs = ConfigurationInputs()
        inputs.environment = invocation.environment
        inputs.config = invocation.line.arguments.first ?? invocation.line.value("--config")
        do throws(ConfigurationError) {
            let loaded = try ConfigurationLoader.load(inputs)
            Output.write(
                invocation.isJSON ? ConfigReport.json(loaded).description + "\n" : ConfigReport.text(loaded))
            return .done
        } catch {
            if invocation.isJSON {
                Output.write(ConfigReport.json(error))
            } else {
                Output.complain(printable(error.description) + "\n")
            }
            return .negative
        }
    }
}

/// What `config check` says of a file.
package enum ConfigReport {
    package static func text(_ loaded: LoadedConfiguration) -> String {
        let configuration = loaded.configuration
        let keyspaces = configuration.keyspaces.map { keyspace in
            "\(keyspace.name) (\(Quantities.counted(keyspace.replicationFactor.sum, "copy", "copies")), "
                + "\(keyspace.conflict.rawValue))"
        }
        var out = "\(loaded.path): good: cluster \(configuration.cluster.name), "
        out += "\(Quantities.counted(configuration.nodes.count, "node", "nodes")), "
        out += "keyspace\(keyspaces.count == 1 ? "" : "s") \(keyspaces.joined(separator: ", "))\n"
        for warning in loaded.warnings { out += "warning: \(warning)\n" }
        return out
    }

    package static func json(_ loaded: LoadedConfiguration) -> JSONValue {
        let configuration = loaded.configuration
        return .object([
            ("format", .integer(1)), ("file", .string(loaded.path)), ("accepted", .boolean(true)),
            ("cluster", .string(configuration.cluster.name)),
            ("nodes", .strings(configuration.nodes.map(\.name))),
            ("keyspaces", .strings(configuration.keyspaces.map(\.name))),
            ("warnings", .strings(loaded.warnings)),
        ])
    }

    package static func json(_ error: ConfigurationError) -> JSONValue {
        let issues = error.issues.map { issue -> JSONValue in
            var line = JSONValue.null
            if case .file(let number) = issue.source { line = .integer(number) }
            return .object([
                ("line", line), ("key", .optional(issue.name.isEmpty ? nil : issue.name)),
                ("found", .string(issue.found)), ("allowed", .string(issue.allowed)),
                ("hint", .optional(issue.hint)), ("text", .string(issue.text(path: error.path))),
            ])
        }
        return .object([
            ("format", .integer(1)), ("file", .string(error.path)), ("accepted", .boolean(false)),
            ("issues", .array(issues)),
        ])
    }
}
