import MartletConfig

extension Command {
    static let hints = Command(
        CommandSpecification(
            "hints", "Shows the writes that nodes keep for replicas that missed them.",
            options: Session.options,
            examples: [
                ("martlet hints", "how many hints wait at all nodes, for whom, and what they wait for"),
                ("martlet hints --node n2", "those that n2 keeps"),
            ],
            notes: """
                `waits for`: target down, foreground (delivery yields to clients' requests) or none. Without
                --node or --host all nodes that are up are asked.
                """)
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        var hints = try session.json(["MARTLET", "HINTS"]).value
        if invocation.line.value("--node") == nil, invocation.line.value("--host") == nil {
            let status = try session.json(["MARTLET", "STATUS"]).value
            let others = session.answersOfOthers(status, to: ["MARTLET", "HINTS"])
            hints = HintsReport.joined(hints, with: others.map(\.answer))
        }
        if invocation.isJSON {
            Output.write(hints.description + "\n")
        } else {
            let terminal = Terminal.output
            let text = HintsReport.text(hints, columnsMax: terminal.columns, palette: terminal.palette)
            Output.write(text)
        }
        return .done
    }
}

/// What `hints` says.
package enum HintsReport {
    /// One answer with the nodes of all of them, by name.
    package static func joined(_ first: JSONValue, with others: [JSONValue]) -> JSONValue {
        guard case .members(let members) = first else { return first }
        let nodes = ([first] + others).flatMap { $0["nodes"]?.elements ?? [] }
            .sorted { ($0["node"]?.text ?? "") < ($1["node"]?.text ?? "") }
        return .object(members.map { ($0.name, $0.name == "nodes" ? .array(nodes) : $0.value) })
    }

    package static func text(_ hints: JSONValue, columnsMax: Int?, palette: Palette) -> String {
        var table = Table([
            .init("node"), .init("for"), .init("hints", right: true), .init("bytes", right: true),
            .init("oldest", right: true, rank: 2), .init("rate", right: true, rank: 3),
            .init("left", right: true, rank: 1), .init("waits for"),
        ])
        var count = 0
        var dropped: [String] = []
        for node in hints["nodes"]?.elements ?? [] {
            let name = node["node"]?.text ?? "-"
            if let lost = node["overflow_total"]?.integer, lost > 0 {
                dropped.append("\(name) left \(lost) hints to repair, for lack of room or age\n")
            }
            for target in node["targets"]?.elements ?? [] {
                count += 1
                table.add([
                    .init(name), .init(target["target"]?.text ?? "-"),
                    .init(target["hints"]?.description ?? "-"),
                    .init(target["bytes"]?.double.map(Quantities.bytes) ?? "-"),
                    .init(target["oldest_age_s"]?.double.map(Quantities.duration) ?? "-"),
                    .init(target["rate_bytes_per_s"]?.double.map { Quantities.bytes($0) + "/s" } ?? "-"),
                    .init(target["eta_s"]?.double.map(Quantities.duration) ?? "-"),
                    .init((target["waits_for"]?.text ?? "-").split(separator: "_").joined(separator: " ")),
                ])
            }
        }
        let list =
            count == 0
            ? "no hints: every replica has what was written\n"
            : table.text(columnsMax: columnsMax, palette: palette)
        return list + dropped.joined()
    }
}
