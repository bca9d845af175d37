import MartletBase
import MartletConfig
import MartletRESP

extension Command {
    static let hints = Command(
        CommandSpecification(
            "hints", "Shows the writes that nodes keep for replicas that missed them.",
            options: Session.options,
            examples: [
                ("martlet hints", "how many hints wait, for whom, and what they wait for"),
                ("martlet hints --node n2 --json", "those of one node, for scripts"),
            ],
            notes: "Each node that is up is asked, unless --node or --host names one.")
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let (nodes, missing) = try session.nodesToAsk(invocation)
        var answers: [JSONValue] = []
        var silent = missing.map { "\($0.name) is \($0.liveness)" }
        let within = Session.surveyWithin
        for answer in NodeGroup().ask(nodes, [[Blob("MARTLET"), Blob("HINTS")]], within: within) {
            if let text = answer.replies?.first?.blob, let json = try? JSONReader.read(text.bytes) {
                answers.append(json)
            } else {
                let reason = answer.problem ?? answer.replies?.first?.errorText ?? "no answer"
                silent.append("\(answer.node): \(reason)")
            }
        }
        guard !answers.isEmpty else { throw .refused("no node tells its hints: \(silent[0])") }
        let hints = HintsReport.joined(answers)
        if invocation.isJSON {
            Output.write(hints)
        } else {
            let terminal = Terminal.output
            Output.write(
                HintsReport.text(
                    hints.printableTexts, columnsMax: terminal.columns, palette: terminal.palette))
        }
        for reason in silent where !invocation.isJSON {
            Output.complain("martlet: \(printable(reason)): what it keeps isn't known\n")
        }
        return .done
    }
}

/// What `hints` says.
package enum HintsReport {
    /// The answers of several nodes as one, the nodes by name.
    package static func joined(_ answers: [JSONValue]) -> JSONValue {
        let nodes = answers.flatMap { $0["nodes"]?.elements ?? [] }
        return .object([
            ("format", .integer(1)),
            ("nodes", .array(nodes.sorted { ($0["node"]?.text ?? "") < ($1["node"]?.text ?? "") })),
        ])
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
            ? noHints(hints)
            : table.text(columnsMax: columnsMax, palette: palette)
        return list + dropped.joined()
    }

    private static func noHints(_ hints: JSONValue) -> String {
        let names = (hints["nodes"]?.elements ?? []).compactMap { $0["node"]?.text }
        let by = names.isEmpty ? "" : " on \(names.joined(separator: ", "))"
        return "no hints wait\(by)\n"
    }
}
