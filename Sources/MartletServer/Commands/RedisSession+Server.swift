import MartletBase
import MartletRESP

/// CONFIG, INFO and MARTLET.
extension RedisSession {
    // MARK: CONFIG

    func configGet(_ request: Request) {
        let patterns = (2..<request.count).map {
            GlobPattern(Blob(copying: request[$0]).bytes, ignoringCase: true)
        }
        let values = server.configuration(on: face).filter { value in
            patterns.contains { $0.matches(value.name.utf8) }
        }
        answer { writer in
            writer.map(count: values.count)
            for value in values {
                writer.bulk(value.name)
                writer.bulk(value.value)
            }
        }
    }

    func configSet(_ request: Request) {
        guard request.count.isMultiple(of: 2) else { return refuseSyntax() }
        let pairs = stride(from: 2, to: request.count, by: 2).map {
            (name: text(request[$0]), value: text(request[$0 + 1]))
        }
        if let error = server.change(pairs, on: face) { return refuse(error) }
        answerOK()
    }

    func configResetStat() {
        server.resetStatistics()
        answerOK()
    }

    // MARK: INFO

    func info(_ request: Request) {
        let sections = (1..<max(1, request.count)).map { text(request[$0]).lowercased() }
        let report = ServerReport(server: server, face: face).text(sections: sections)
        answer { $0.verbatim(Blob(report)) }
    }

    // MARK: MARTLET

    func martletStatus() {
        let json = ClusterJSON.status(
            backend.status(), own: server.settings.nodeID, usage: backend.usage())
        answer { $0.bulk(json) }
    }

    func martletRing(_ request: Request) {
        guard request.count <= 3 else {
            return refuse("ERR wrong number of arguments for 'martlet|ring' command")
        }
        var key: Blob?
        if request.count == 3 {
            guard let given = self.key(request[2]) else { return }
            key = given
        }
        let status = backend.status()
        guard let placement = backend.placement(keyspace: keyspace) else {
            let parts = CommandParts()
            return refuse(
                FailureText.text(.loading(waits: status.waits), parts, named: server.settings.nodeName))
        }
        let json = ClusterJSON.ring(placement, digest: status.ringDigest, key: key)
        answer { $0.bulk(json) }
    }

    func martletHints() {
        let json = ClusterJSON.hints(node: server.settings.nodeName, server.backend.hintStatus())
        answer { $0.bulk(json) }
    }

    func martletRepair(_ request: Request) {
        guard request.count > 2 else {
            let json = ClusterJSON.repair(
                node: server.settings.nodeName, backend.repairStatus(), backend.nodeMetrics())
            return answer { $0.bulk(json) }
        }
        guard text(request[2]).uppercased() == "START" else { return refuseSyntax() }
        var names: [String]?
        var slots: ClosedRange<UInt16> = 0...UInt16(Limits.slots - 1)
        var inTurns = false
        var next = 3
        while next < request.count {
            switch text(request[next]).uppercased() {
            case "KEYSPACE" where next + 1 < request.count && names == nil:
                names = [text(request[next + 1])]
                next += 2
            case "RANGE" where next + 2 < request.count:
                guard let first = UInt16(text(request[next + 1])), let last = UInt16(text(request[next + 2])),
                    first <= last, last < UInt16(Limits.slots)
                else { return refuse("ERR a range is two slots from 0 to \(Limits.slots - 1)") }
                slots = first...last
                next += 3
            case "TURNS" where !inTurns:
                inTurns = true
                next += 1
            default: return refuseSyntax()
            }
        }
        var count = 0
        let chosen = backend.keyspaces.filter { names?.contains($0.name) ?? true }
        guard !chosen.isEmpty else { return refuse("ERR no such keyspace") }
        for keyspace in chosen {
            count += backend.repair(keyspace: keyspace.id, slots: slots, inTurns: inTurns) ?? 0
        }
        answer { $0.integer(Int64(count)) }
    }

    func martletMetrics() {
        let text = PrometheusText.write(server.metricFamilies())
        answer { $0.bulk(text) }
    }

    /// All commands, or one with all that is known of it.
    func martletHelp(_ request: Request) {
        var lines: [String] = []
        if request.count == 2 {
            for row in table.commands {
                let rows = table.rows[row].subcommands
                for each in rows.isEmpty ? [table.rows[row]] : rows { lines += helpLines(each) }
            }
        } else {
            guard request.count == 3, let row = table.row(fullName: request[2]) else {
                return refuse("ERR no such command: MARTLET HELP lists all")
            }
            lines = helpLines(table.rows[row])
            for subcommand in table.rows[row].subcommands { lines += helpLines(subcommand) }
        }
        let text = lines.joined(separator: "\n") + "\n"
        answer { $0.bulk(text) }
    }

    private func helpLines(_ row: CommandSpecification) -> [String] {
        let name = row.name.uppercased().replacing("|", with: " ")
        return [row.usage.isEmpty ? name : "\(name) \(row.usage)", "    \(row.summary)."]
    }
}
