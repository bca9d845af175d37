/// Text in columns that fits a width: where it doesn't, the least important columns are left out, and said
/// so; when all that is left is important, the widest texts are cut short with a `…`.
package struct Table {
    package struct Column: Sendable {
        let title: String
        let isRight: Bool
        /// 0: never left out; else the greatest goes first.
        let rank: Int

        package init(_ title: String, right isRight: Bool = false, rank: Int = 0) {
            self.title = title
            self.isRight = isRight
            self.rank = rank
        }
    }

    package struct Cell: Sendable, ExpressibleByStringInterpolation {
        let text: String
        let colour: Palette.Colour?

        package init(_ text: String, _ colour: Palette.Colour? = nil) {
            self.text = text
            self.colour = colour
        }

        package init(stringLiteral value: String) { self.init(value) }
    }

    package private(set) var columns: [Column]
    private var rows: [[Cell]] = []
    private let gap = "  "
    private static let cutWidthMin = 6

    package init(_ columns: [Column]) { self.columns = columns }

    /// A cell for each column.
    package mutating func add(_ row: [Cell]) {
        guard row.count == columns.count else { fatalError("\(row.count) cells, \(columns.count) columns") }
        rows.append(row)
    }

    /// Lines, each with its end.
    package func text(columnsMax: Int?, palette: Palette) -> String {
        var widths = columns.indices.map { column in
            rows.reduce(columns[column].title.count) { max($0, $1[column].text.count) }
        }
        var shown = Array(columns.indices)
        func total() -> Int { shown.reduce(0) { $0 + widths[$1] } + gap.count * (shown.count - 1) }
        while let columnsMax, total() > columnsMax,
            let last = shown.filter({ columns[$0].rank > 0 }).max(by: { columns[$0].rank < columns[$1].rank })
        {
            shown.removeAll { $0 == last }
        }
        // Half a number is a wrong number, so only texts are cut.
        while let columnsMax, total() > columnsMax,
            let widest = shown.filter({ !columns[$0].isRight }).max(by: { widths[$0] < widths[$1] }),
            widths[widest] > Self.cutWidthMin
        {
            widths[widest] = max(Self.cutWidthMin, widths[widest] - (total() - columnsMax))
        }
        func line(_ cells: [Cell]) -> String {
            var out = ""
            for (place, column) in shown.enumerated() {
                let text = truncated(cells[column].text, to: widths[column])
                let space = String(repeating: " ", count: widths[column] - text.count)
                let painted = palette.paint(text, cells[column].colour)
                if place > 0 { out += gap }
                if columns[column].isRight {
                    out += space + painted
                } else {
                    out += painted + (place == shown.count - 1 ? "" : space)
                }
            }
            return out + "\n"
        }
        var out = line(columns.map { Cell($0.title, .dim) })
        for row in rows { out += line(row) }
        let hidden = columns.indices.filter { !shown.contains($0) }.map { columns[$0].title }
        if !hidden.isEmpty {
            let note = "(too narrow for: \(hidden.joined(separator: ", ")))"
            out += palette.paint(columnsMax.map { truncated(note, to: $0) } ?? note, .dim) + "\n"
        }
        return out
    }
}
