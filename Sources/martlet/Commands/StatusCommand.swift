import MartletBase
import MartletConfig
import MartletRESP

extension Command {
    static let status = Command(
        CommandSpecification(
            "status", "Shows the nodes of the cluster as one of them sees it.",
            options: Session.options + [
                OptionSpecification(
                    "--check", "Exit with status 1 when the cluster is degraded, and say why.")
            ],
            examples: [
                ("martlet status", "a table of the nodes"),
                ("martlet status --node n2", "as n2 sees the cluster"),
                ("martlet status --check --json > status.json", "for a monitoring script"),
            ],
            notes: """
                Degraded: the ring is still forming, the nodes hold different rings, or a node is not up or
                not in its normal state. `owns` is the share of slots that a node holds a copy of; `clock` is
                its clock against that of the node asked. What only a node itself knows, such as its bytes
                and uptime, each node that is up is asked for; what nobody tells is `-`, or null with --json.
                """)
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let answer = try StatusReport.show(session, invocation)
        let problems = StatusReport.problems(answer.printableTexts)
        guard invocation.line.has("--check"), !problems.isEmpty else { return .done }
        if !invocation.isJSON {
            Output.complain(problems.map { "degraded: \($0)\n" }.joined())
        }
        return .negative
    }
}

extension StatusReport {
    /// Asks, and shows the answer with what the nodes say of themselves; returns what was asked.
    @discardableResult
    static func show(_ session: Session, _ invocation: Invocation) throws(Failure) -> JSONValue {
        let answer = try session.json(["MARTLET", "STATUS"]).raw
        let others = statusesOfOthers(answer)
        let whole = filled(answer, from: figures(others))
        if invocation.isJSON {
            Output.write(whole)
            return answer
        }
        let terminal = Terminal.output
        Output.write(text(whole.printableTexts, columnsMax: terminal.columns, palette: terminal.palette))
        let progress = ChangeProgress([answer] + others)
        if !progress.text.isEmpty { Output.write("ring changes: \(printable(progress.text))\n") }
        return answer
    }

    /// What the other nodes that are up say of themselves.
    static func ownFigures(_ status: JSONValue) -> [JSONValue] { figures(statusesOfOthers(status)) }

    /// Each node's own words, of those that it was asked for.
    private static func figures(_ statuses: [JSONValue]) -> [JSONValue] {
        statuses.flatMap { own in
            (own["nodes"]?.elements ?? []).filter { $0["name"] == own["asked"] }
        }
    }

    private static func statusesOfOthers(_ status: JSONValue) -> [JSONValue] {
        let others = KnownNode.all(in: status).filter { $0.isUp && $0.name != status["asked"]?.text }
            .compactMap(\.endpoint)
        let answers = NodeGroup().ask(
            others, [[Blob("MARTLET"), Blob("STATUS")]], within: Session.surveyWithin)
        return answers.compactMap { answer in
            guard let text = answer.replies?.first?.blob, let own = try? JSONReader.read(text.bytes),
                own["asked"]?.text == answer.node.node
            else { return nil }
            return own
        }
    }
}

/// What `status` says of a cluster.
package enum StatusReport {
    /// Why the cluster is degraded; empty when it isn't.
    package static func problems(_ status: JSONValue) -> [String] {
        var problems: [String] = []
        if status["ring"]?.text != "formed" {
            let waits = (status["waits"]?.elements ?? []).compactMap(\.text)
            problems.append(
                "the ring is forming"
                    + (waits.isEmpty ? "" : ", and waits for \(waits.joined(separator: ", "))"))
        } else if status["agreed"]?.boolean == false {
            problems.append("the nodes hold different rings")
        }
        for node in status["nodes"]?.elements ?? [] {
            let name = node["name"]?.text ?? "a node"
            let state = node["state"]?.text ?? "unknown"
            if state == "left" || state == "removed" { continue }
            let liveness = node["liveness"]?.text ?? "unknown"
            if liveness != "up" { problems.append("\(name) is \(liveness)") }
            if state != "normal" { problems.append("\(name) is \(state)") }
        }
        return problems
    }

    /// The status with what it doesn't know of a node (null) from that node's own words.
    package static func filled(_ status: JSONValue, from figures: [JSONValue]) -> JSONValue {
        let nodes = (status["nodes"]?.elements ?? []).map { node -> JSONValue in
            guard case .members(let members) = node,
                let own = figures.first(where: { $0["id"] == node["id"] })
            else { return node }
            // A clock is known only against another's.
            return .object(
                members.map { member in
                    // What it says of its rebuilding is whole or null.
                    let isUnknown = member.value == .null && member.name != "clock_offset_ms"
                    return (member.name, isUnknown ? own[member.name] ?? .null : member.value)
                })
        }
        guard case .members(let members) = status else { return status }
        return .object(members.map { ($0.name, $0.name == "nodes" ? .array(nodes) : $0.value) })
    }

    package static func text(_ status: JSONValue, columnsMax: Int?, palette: Palette) -> String {
        let nodes = status["nodes"]?.elements ?? []
        var table = Table([
            .init("name"), .init("id", rank: 5), .init("address"), .init("zone", rank: 7), .init("state"),
            .init("liveness"), .init("owns", right: true, rank: 1), .init("bytes", right: true, rank: 2),
            .init("hints", right: true, rank: 3), .init("uptime", right: true, rank: 4),
            .init("version", rank: 8), .init("clock", right: true, rank: 6),
        ])
        // Data centres are worth a mention where there are several.
        let datacenters = Set(nodes.map { $0["datacenter"]?.text })
        for node in nodes { table.add(row(node, withDatacenter: datacenters.count > 1)) }
        return head(status, nodes, palette) + table.text(columnsMax: columnsMax, palette: palette)
            + nodes.compactMap(rebuilding).joined() + nodes.map(misplaced).joined() + blockers(status)
            + balance(nodes, columnsMax)
    }

    /// How even the nodes' shares are, where there is more than one.
    private static func balance(_ nodes: [JSONValue], _ columnsMax: Int?) -> String {
        let owners = nodes.compactMap { node -> (name: String, owns: Double)? in
            guard let name = node["name"]?.text, let owns = node["owns_percent"]?.double, owns > 0 else {
                return nil
            }
            return (name, owns)
        }
        guard owners.count > 1, let fullest = owners.max(by: { $0.owns < $1.owns }) else { return "" }
        let mean = owners.reduce(0) { $0 + $1.owns } / Double(owners.count)
        let line =
            "balance: the fullest node, \(fullest.name), owns "
            + "\(Quantities.decimal(fullest.owns / mean, digits: 2)) of the mean"
        return (columnsMax.map { truncated(line, to: $0) } ?? line) + "\n"
    }

    /// Who keeps tombstones from being deleted; nothing when nobody does.
    private static func blockers(_ status: JSONValue) -> String {
        var out = ""
        for purge in status["purges"]?.elements ?? [] {
            for blocker in purge["blocked_by"]?.elements ?? [] {
                let reason = (blocker["waits_for"]?.text ?? "-").split(separator: "_").joined(separator: " ")
                out +=
                    "tombstones of \(purge["keyspace"]?.text ?? "-") wait for "
                    + "\(blocker["node"]?.text ?? "-") (\(reason)), since "
                    + "\(Quantities.duration(seconds: blocker["since_s"]?.double ?? 0)) ago\n"
            }
        }
        return out
    }

    /// How far a node is with rebuilding its disk, as a line.
    private static func rebuilding(_ node: JSONValue) -> String? {
        guard let progress = node["rebuild"], progress != .null else { return nil }
        func number(_ name: String) -> Int { Int(progress[name]?.double ?? 0) }
        var line = "\(node["name"]?.text ?? "a node") rebuilds: \(number("percent"))%"
        line += ", \(number("done")) of \(number("exchanges")) exchanges"
        line += ", \(Quantities.bytes(progress["bytes"]?.double ?? 0)) received"
        if let eta = progress["eta_s"]?.double { line += ", \(Quantities.duration(seconds: eta)) to go" }
        let waits = (progress["waits"]?.elements ?? []).compactMap(\.text)
        if !waits.isEmpty { line += ", waits for \(waits.joined(separator: ", "))" }
        return line + "\n"
    }

    /// That a node's file says that it is elsewhere than the ring does, and what to do about that.
    private static func misplaced(_ node: JSONValue) -> String {
        guard let name = node["name"]?.text, let configured = node["configured"] else { return "" }
        func line(_ what: String, _ member: String, _ remedy: (String) -> String) -> String {
            guard let file = configured[member]?.text, let ring = node[member]?.text, file != ring else {
                return ""
            }
            return "the file of \(name) says \(what) \(file), the ring \(ring), which holds: set the file "
                + "right, or \(remedy(file))\n"
        }
        return line("zone", "zone") { "`martlet move \(name) --zone \($0)`" }
            + line("data centre", "datacenter") { _ in "`martlet decommission \(name)` and let it join anew" }
    }

    private static func head(_ status: JSONValue, _ nodes: [JSONValue], _ palette: Palette) -> String {
        let asked = status["asked"]?.text ?? "the node asked"
        var out = palette.paint(status["cluster"]?.text ?? "cluster", .strong)
        if status["ring"]?.text == "formed" {
            out += ": ring formed, digest \(status["ring_digest"]?.text ?? "-"), "
            let isAgreed = status["agreed"]?.boolean ?? false
            out += palette.paint(isAgreed ? "agreed" : "not agreed", isAgreed ? .good : .doubtful)
        } else {
            let waits = (status["waits"]?.elements ?? []).compactMap(\.text)
            out += ": " + palette.paint("ring forming", .doubtful)
            if !waits.isEmpty { out += ", waits for \(waits.joined(separator: ", "))" }
        }
        let up = nodes.filter { $0["liveness"]?.text == "up" }.count
        return out + "; \(up) of \(nodes.count) nodes up, as \(asked) sees it\n"
    }

    private static func row(_ node: JSONValue, withDatacenter: Bool) -> [Table.Cell] {
        let zone = node["zone"]?.text ?? "-"
        let place = withDatacenter ? "\(node["datacenter"]?.text ?? "-")/\(zone)" : zone
        let state = node["state"]?.text ?? "-"
        let liveness = node["liveness"]?.text ?? "-"
        return [
            .init(node["name"]?.text ?? "-"), .init(node["id"]?.text.map { String($0.prefix(8)) } ?? "-"),
            .init(node["address"]?.text ?? "-"), .init(place),
            .init(state, state == "normal" ? nil : .doubtful),
            .init(liveness, liveness == "up" ? .good : liveness == "suspect" ? .doubtful : .bad),
            .init(node["owns_percent"]?.double.map { Quantities.decimal($0, digits: 1) + "%" } ?? "-"),
            .init(node["bytes"]?.double.map(Quantities.bytes) ?? "-"),
            .init(node["hint_bytes"]?.double.map(Quantities.bytes) ?? "-"),
            .init(node["uptime_s"]?.double.map(Quantities.duration) ?? "-"),
            .init(node["version"]?.text ?? "-"),
            .init(
                node["clock_offset_ms"]?.double.map {
                    ($0 > 0 ? "+" : "") + Quantities.decimal($0, digits: 1) + " ms"
                } ?? "-"),
        ]
    }
}
