import MartletBase
import MartletConfig

extension Command {
    static let ring = Command(
        CommandSpecification(
            "ring", "Shows who holds which part of the key space, or where one key is.",
            arguments: [ArgumentSpecification("KEY", "a key: show only its place", .optional)],
            options: [ValueOptions.base64Key, Session.keyspaceOption] + Session.options,
            examples: [
                ("martlet ring", "nodes with their shares, and the ranges of slots with their replicas"),
                ("martlet ring greeting", "slot, token and replicas of a key"),
            ])
    ) { invocation throws(Failure) in
        let key = invocation.line.arguments.isEmpty ? [] : [try ValueOptions.key(invocation)]
        let session = try Session(invocation)
        let answer = try session.json([Blob("MARTLET"), Blob("RING")] + key)
        if invocation.isJSON {
            Output.write(answer.text.bytes + [UInt8(ascii: "\n")])
        } else {
            let terminal = Terminal.output
            let text =
                invocation.line.arguments.isEmpty
                ? RingReport.text(answer.value, columnsMax: terminal.columns, palette: terminal.palette)
                : RingReport.placeText(answer.value)
            Output.write(text)
        }
        return .done
    }
}

/// What `ring` says of a keyspace.
package enum RingReport {
    package static func placeText(_ ring: JSONValue) -> String {
        let replicas = (ring["replicas"]?.elements ?? []).compactMap(\.text)
        let rows = [
            ("key", ring["key"]?.text), ("keyspace", ring["keyspace"]?.text),
            ("slot", ring["slot"].map(plain)), ("token", ring["token"].map(plain)),
            ("replicas", replicas.isEmpty ? nil : replicas.joined(separator: ", ")),
        ]
        return rows.map { name, value in
            name + String(repeating: " ", count: 10 - name.count) + (value.map(printableLine) ?? "-") + "\n"
        }.joined()
    }

    package static func text(_ ring: JSONValue, columnsMax: Int?, palette: Palette) -> String {
        let ranges = ring["ranges"]?.elements ?? []
        var out = "keyspace \(palette.paint(ring["keyspace"]?.text ?? "-", .strong))"
        out += ", replication factor \(ring["replication_factor"].map(plain) ?? "-")"
        out += ", digest \(ring["ring_digest"]?.text ?? "-")\n\n"
        out += shares(ring, ranges).text(columnsMax: columnsMax, palette: palette)
        var table = Table([.init("slots"), .init("count", right: true, rank: 1), .init("replicas")])
        for range in ranges {
            let first = range["first"]?.integer ?? 0
            let last = range["last"]?.integer ?? 0
            let replicas = (range["replicas"]?.elements ?? []).compactMap(\.text)
            table.add(["\(first)-\(last)", "\(last - first + 1)", .init(replicas.joined(separator: ", "))])
        }
        return out + "\n" + table.text(columnsMax: columnsMax, palette: palette)
    }

    /// A row a node: its tokens, and the slots that it is the first replica and any replica of.
    private static func shares(_ ring: JSONValue, _ ranges: [JSONValue]) -> Table {
        var tokens: [String: Int] = [:]
        for token in ring["tokens"]?.elements ?? [] {
            if let node = token["node"]?.text { tokens[node, default: 0] += 1 }
        }
        var firstSlots: [String: Int] = [:]
        var slots: [String: Int] = [:]
        var all = 0
        for range in ranges {
            guard let first = range["first"]?.integer, let last = range["last"]?.integer else { continue }
            all += last - first + 1
            for (place, replica) in (range["replicas"]?.elements ?? []).enumerated() {
                guard let name = replica.text else { continue }
                slots[name, default: 0] += last - first + 1
                if place == 0 { firstSlots[name, default: 0] += last - first + 1 }
            }
        }
        var table = Table([
            .init("node"), .init("tokens", right: true), .init("first", right: true),
            .init("holds", right: true),
        ])
        func percent(_ count: Int?) -> Table.Cell {
            .init(
                all == 0 ? "-" : Quantities.decimal(100 * Double(count ?? 0) / Double(all), digits: 1) + "%")
        }
        for name in Set(tokens.keys).union(slots.keys).sorted() {
            table.add([
                .init(name), "\(tokens[name] ?? 0)", percent(firstSlots[name]), percent(slots[name]),
            ])
        }
        return table
    }

    /// A text without its quotes; other values as JSON has them.
    private static func plain(_ value: JSONValue) -> String { value.text ?? value.description }
}
