import Glibc
import MartletBase
import MartletConfig
import MartletRESP

extension Command {
    static let repair = Command(
        CommandSpecification(
            "repair", "Has owners compare what they hold now, and heal what differs.",
            options: [
                OptionSpecification("--keyspace", value: "NAME", "Only this keyspace."),
                OptionSpecification(
                    "--range", value: "SLOT-SLOT", "Only owners of some of these slots, such as 0-1023."),
                OptionSpecification("--wait", "Wait until all of it is complete."),
            ] + Session.options,
            examples: [
                ("martlet repair --wait", "when it ends, all owners of every key hold the same"),
                ("martlet repair --keyspace sessions --json", "ask for it, and show how far it is"),
            ],
            notes: "It is never needed: each two owners compare what they hold at least once a\n"
                + "repair.repair_interval. Each node that is up is asked, unless --node or --host names one.")
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let (nodes, missing) = try session.nodesToAsk(invocation)
        var request = ["MARTLET", "REPAIR", "START"]
        if let keyspace = invocation.line.value("--keyspace") { request += ["KEYSPACE", keyspace] }
        if let range = invocation.line.value("--range") {
            let bounds = range.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
            guard bounds.count == 2, let first = bounds[0], let last = bounds[1], first <= last,
                last < UInt16(Limits.slots)
            else { throw .usage("--range: found \(quoted(range)), allowed: SLOT-SLOT, from 0 to 16383") }
            request += ["RANGE", "\(first)", "\(last)"]
        }
        // Asked everywhere, each pair is begun by one of its nodes.
        if nodes.count > 1 { request.append("TURNS") }
        var silent = missing.map { "\($0.name) is \($0.liveness)" }
        let asked = NodeGroup().ask(nodes, [request.map { Blob($0) }], within: Session.surveyWithin)
        for answer in asked {
            if let text = answer.problem ?? answer.replies?.first?.errorText {
                silent.append("\(answer.node): \(text)")
            }
        }
        guard silent.count < nodes.count + missing.count else {
            throw .refused("nothing is asked: \(silent[0])")
        }
        var report = try RepairReport.ask(nodes)
        let givenUpBefore = RepairReport.givenUp(report)
        var bar = ProgressBar("repairing", unit: "leaves")
        while invocation.line.has("--wait"), RepairReport.isBusy(report) {
            bar.show(RepairReport.point(report))
            usleep(200_000)
            report = try RepairReport.ask(nodes)
        }
        bar.clear()
        if invocation.isJSON {
            Output.write(report)
        } else {
            let terminal = Terminal.output
            Output.write(
                RepairReport.text(
                    report.printableTexts, columnsMax: terminal.columns, palette: terminal.palette))
        }
        for (node, count) in RepairReport.givenUp(report).sorted(by: { $0.key < $1.key }) {
            let new = count - (givenUpBefore[node] ?? 0)
            if new > 0 { silent.append("\(node) gave up \(new) of its exchanges: an owner is down") }
        }
        for reason in silent where !invocation.isJSON {
            Output.complain("martlet: \(printable(reason)): it is not repaired\n")
        }
        return .done
    }
}

/// What `repair` says.
package enum RepairReport {
    static func ask(_ nodes: [Endpoint]) throws(Failure) -> JSONValue {
        let question = [Blob("MARTLET"), Blob("REPAIR")]
        let answers = NodeGroup().ask(nodes, [question], within: Session.surveyWithin).compactMap { answer in
            answer.replies?.first?.blob.flatMap { try? JSONReader.read($0.bytes) }
        }
        guard !answers.isEmpty else { throw .refused("no node tells how far it is") }
        let all = answers.flatMap { $0["nodes"]?.elements ?? [] }
        return .object([
            ("format", .integer(1)),
            ("nodes", .array(all.sorted { ($0["node"]?.text ?? "") < ($1["node"]?.text ?? "") })),
        ])
    }

    private static func exchanges(_ report: JSONValue) -> [(node: JSONValue, exchange: JSONValue)] {
        (report["nodes"]?.elements ?? []).flatMap { node in
            (node["exchanges"]?.elements ?? []).map { (node, $0) }
        }
    }

    /// Whether something that was asked for isn't complete.
    package static func isBusy(_ report: JSONValue) -> Bool {
        (report["nodes"]?.elements ?? []).contains { ($0["waiting"]?.integer ?? 0) > 0 }
            || exchanges(report).contains { $0.exchange["purpose"]?.text == "asked" }
    }

    /// By node, how many exchanges that were asked for didn't take place since it started.
    static func givenUp(_ report: JSONValue) -> [String: Int] {
        var counts: [String: Int] = [:]
        for node in report["nodes"]?.elements ?? [] {
            counts[node["node"]?.text ?? "-"] = node["asked_failed_total"]?.integer.map { Int($0) } ?? 0
        }
        return counts
    }

    static func point(_ report: JSONValue) -> ProgressBar.Point {
        var (all, left) = (0.0, 0.0)
        for (_, exchange) in exchanges(report) {
            all += exchange["leaves"]?.double ?? 0
            left += exchange["leaves_left"]?.double ?? 0
        }
        return ProgressBar.Point(done: all - left, of: all)
    }

    package static func text(_ report: JSONValue, columnsMax: Int?, palette: Palette) -> String {
        var table = Table([
            .init("node"), .init("with"), .init("keyspace"), .init("for", rank: 4),
            .init("leaves", right: true, rank: 3), .init("left", right: true),
            .init("differ", right: true), .init("healed", right: true), .init("records", right: true),
            .init("bytes", right: true, rank: 2), .init("time left", right: true, rank: 1),
        ])
        let running = exchanges(report)
        for (node, exchange) in running {
            func count(_ name: String) -> Int { exchange[name]?.integer.map { Int($0) } ?? 0 }
            table.add([
                .init(node["node"]?.text ?? "-"), .init(exchange["peer"]?.text ?? "-"),
                .init(exchange["keyspace"]?.text ?? "-"), .init(exchange["purpose"]?.text ?? "-"),
                .init("\(count("leaves"))"), .init("\(count("leaves_left"))"),
                .init("\(count("leaves_differing"))"), .init("\(count("leaves_done"))"),
                .init("\(count("records_sent") + count("records_received"))"),
                .init(Quantities.bytes(Double(count("bytes")))),
                .init(exchange["eta_s"]?.double.map(Quantities.duration) ?? "-"),
            ])
        }
        var out = running.isEmpty ? "" : table.text(columnsMax: columnsMax, palette: palette)
        for node in report["nodes"]?.elements ?? [] {
            func count(_ name: String) -> Int { node[name]?.integer.map { Int($0) } ?? 0 }
            out +=
                "\(node["node"]?.text ?? "-"): \(count("complete_total")) exchanges complete, "
                + "\(count("records_received_total")) records received "
                + "and \(count("records_sent_total")) sent "
                + "(\(Quantities.bytes(Double(count("bytes_total"))))) since it started\n"
        }
        return out
    }
}
