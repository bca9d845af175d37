/// The table of a report: as text, a line for each row as soon as it is known, and as Markdown.
package struct ReportTable<Row>: Sendable {
    package struct Column: Sendable {
        let title: String
        let width: Int
        let cell: @Sendable (Row) -> String

        package init(_ title: String, _ width: Int, _ cell: @escaping @Sendable (Row) -> String) {
            self.title = title
            self.width = width
            self.cell = cell
        }
    }

    /// Words, on the left: what the row is of.
    private let label: Column?
    /// Numbers, set to the right.
    private let columns: [Column]

    /// Widths count characters, with what parts a column from the one before it.
    package init(label: Column? = nil, _ columns: [Column]) {
        self.label = label
        self.columns = columns
    }

    package var header: String { line(\.title) }

    package func row(_ row: Row) -> String { line { $0.cell(row) } }

    private func line(_ text: (Column) -> String) -> String {
        (label.map { padAfter(text($0), $0.width) } ?? "")
            + columns.map { pad(text($0), $0.width) }.joined()
    }

    package func markdown(_ rows: [Row]) -> String {
        let all = (label.map { [$0] } ?? []) + columns
        func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |\n" }
        let rules = (label == nil ? "" : "|---") + String(repeating: "|---:", count: columns.count) + "|\n"
        return line(all.map(\.title)) + rules + rows.map { row in line(all.map { $0.cell(row) }) }.joined()
    }
}
