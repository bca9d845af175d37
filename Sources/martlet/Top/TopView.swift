import MartletBase

/// How `top` shows a sample: two tables in one order, and in the live view a line about the keys.
package struct TopView: Sendable {
    /// Nil at first: nodes by name, commands by how many there are.
    package private(set) var column: TopSample.Column?
    package private(set) var isReversed = false

    package init() {}

    /// One key a column; nil for other keys.
    package static func column(ofKey key: Character) -> TopSample.Column? {
        TopSample.Column.allCases.first { Self.key(of: $0) == key }
    }

    /// Sorts by a column; the other way round when it is chosen again.
    package mutating func choose(_ column: TopSample.Column) {
        isReversed = column == self.column && !isReversed
        self.column = column
    }

    package static func key(of column: TopSample.Column) -> Character {
        switch column {
        case .name: "n"
        case .liveness: "l"
        case .operations: "o"
        case .reads: "r"
        case .writes: "w"
        case .errors: "e"
        case .p50: "5"
        case .p99: "9"
        case .inFlight: "i"
        case .clients: "c"
        case .compaction: "k"
        case .sync: "s"
        case .hits: "h"
        case .memory: "m"
        case .stored: "b"
        case .uptime: "u"
        case .total: "t"
        }
    }

    private static func title(_ column: TopSample.Column, _ name: String) -> String {
        switch column {
        case .name: name
        case .liveness: "liveness"
        case .operations: "ops/s"
        case .reads: "reads/s"
        case .writes: "writes/s"
        case .errors: "errors/s"
        case .p50: "p50"
        case .p99: "p99"
        case .inFlight: "in flight"
        case .clients: "clients"
        case .compaction: "compaction"
        case .sync: "sync p99"
        case .hits: "cache"
        case .memory: "memory"
        case .stored: "bytes"
        case .uptime: "uptime"
        case .total: "total"
        }
    }

    /// What goes first where the terminal is too narrow.
    private static func rank(_ column: TopSample.Column) -> Int {
        switch column {
        case .name, .liveness, .operations: 0
        case .p99: 1
        case .p50: 2
        case .errors: 3
        case .inFlight: 4
        case .clients: 5
        case .compaction: 6
        case .memory: 7
        case .reads: 8
        case .writes: 9
        case .stored: 10
        case .sync: 11
        case .hits: 12
        case .total: 13
        case .uptime: 14
        }
    }

    // MARK: Text

    /// Both tables, each line with its end.
    package func text(_ sample: TopSample, columnsMax: Int?, palette: Palette) -> String {
        let up = sample.nodes.filter { $0.liveness == "up" }.count
        var facts = ": \(up) of \(sample.nodes.count) nodes up"
        if let asked = sample.asked { facts += ", as \(asked) sees it" }
        facts += "; over \(Quantities.duration(seconds: (sample.interval.seconds * 10).rounded() / 10))"
        if let columnsMax { facts = truncated(facts, to: columnsMax - sample.cluster.count) }
        let head = palette.paint(sample.cluster, .strong) + facts + "\n"
        return head + table("node", sample.nodes, TopSample.Column.ofNodes, columnsMax, palette) + "\n"
            + table("command", sample.commands, TopSample.Column.ofCommands, columnsMax, palette)
    }

    /// The lines of the live view.
    package func lines(_ sample: TopSample, columns: Int, rows: Int, palette: Palette) -> [String] {
        var lines = text(sample, columnsMax: columns, palette: palette)
            .split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
        let help = keyLines(columns: columns, rows: rows)
        let room = max(1, rows - help.count)
        lines = Array(lines.prefix(room))
        lines += Array(repeating: "", count: room - lines.count)
        return lines + help.map { palette.paint($0, .dim) }
    }

    /// Which key does what, on as many lines as a window can spare.
    private func keyLines(columns: Int, rows: Int) -> [String] {
        var lines = ["q quits; sort by:"]
        for (place, column) in TopSample.Column.allCases.enumerated() {
            let isLast = place == TopSample.Column.allCases.count - 1
            let word = "\(Self.key(of: column)) \(Self.title(column, "name"))" + (isLast ? "" : ",")
            if lines[lines.count - 1].count + 1 + word.count <= columns {
                lines[lines.count - 1] += " " + word
            } else {
                lines.append(word)
            }
        }
        let shown = lines.prefix(max(1, rows / 6))
        return shown.enumerated().map { place, line in
            place == shown.count - 1 && shown.count < lines.count ? truncated(line + "…", to: columns) : line
        }.map { truncated($0, to: columns) }
    }

    private func table(
        _ name: String, _ rows: [TopSample.Row], _ columns: [TopSample.Column], _ columnsMax: Int?,
        _ palette: Palette
    ) -> String {
        // A column that this table lacks leaves it in its first order.
        let chosen = column.flatMap { columns.contains($0) ? $0 : nil }
        let order = chosen ?? (columns.contains(.liveness) ? .name : .operations)
        var table = Table(
            columns.map { column in
                let arrow = column == order ? (isReversed && chosen != nil ? "↑" : "↓") : ""
                return .init(
                    Self.title(column, name) + arrow, right: column != .name && column != .liveness,
                    rank: column == order ? 0 : Self.rank(column))
            })
        for row in TopSample.sorted(rows, by: order, isReversed: isReversed && chosen != nil) {
            table.add(columns.map { Self.cell(row, $0) })
        }
        return table.text(columnsMax: columnsMax, palette: palette)
    }

    private static func cell(_ row: TopSample.Row, _ column: TopSample.Column) -> Table.Cell {
        switch column {
        case .name: return .init(printableLine(row.name))
        case .liveness:
            let liveness = row.liveness ?? "-"
            if liveness == "up", let state = row.state, state != "normal" { return .init(state, .doubtful) }
            return .init(liveness, liveness == "up" ? .good : liveness == "suspect" ? .doubtful : .bad)
        default: break
        }
        guard let value = row.figures[column] else { return "-" }
        return switch column {
        case .p50, .p99, .sync: .init(Quantities.latency(milliseconds: value))
        case .compaction, .memory, .stored: .init(Quantities.bytes(value))
        case .hits: .init(Quantities.decimal(value, digits: 1) + "%")
        case .uptime: .init(Quantities.duration(seconds: value))
        case .errors: .init(Quantities.count(value), value > 0 ? .bad : nil)
        default: .init(Quantities.count(value))
        }
    }
}
