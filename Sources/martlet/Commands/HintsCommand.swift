import MartletConfig

extension Command {
    static let hints = Command(
        CommandSpecification(
            "hints", "Shows the writes that nodes keep for replicas that missed them.",
            options: Session.options,
            examples: [("martlet hints", "how many hints wait, for whom, and what they wait for")])
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let answer = try session.json(["MARTLET", "HINTS"])
        if invocation.isJSON {
            Output.write(answer.text.bytes + [UInt8(ascii: "\n")])
        } else {
            let terminal = Terminal.output
            let text = HintsReport.text(
                answer.value, columnsMax: terminal.columns, palette: terminal.palette)
            Output.write(text)
        }
        return .done
    }
}

/// What `hints` says.
package enum HintsReport {
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
