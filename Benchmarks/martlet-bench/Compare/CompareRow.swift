/// One line of the comparison's table.
package struct CompareRow: Hashable, Sendable {
    package var what: String
    package var martlet: String
    /// What stands beside Martlet, and what it reached.
    package var other: String
    /// Martlet over the other in each round, or another number that the aim is about.
    package var ratio: String
    package var aim: String

    package init(_ what: String, martlet: String, other: String = "", ratio: String = "", aim: String = "") {
        self.what = what
        self.martlet = martlet
        self.other = other
        self.ratio = ratio
        self.aim = aim
    }

    var json: JSON {
        .object([
            ("what", .string(what)), ("martlet", .string(martlet)), ("other", .string(other)),
            ("ratio", .string(ratio)), ("aim", .string(aim)),
        ])
    }
}

extension [CompareRow] {
    package var markdown: String {
        var out = "| load | Martlet | beside it | Martlet over it | aim |\n|---|---|---|---|---|\n"
        for row in self {
            let cells = [row.what, row.martlet, row.other, row.ratio, row.aim]
            out += "| " + cells.joined(separator: " | ") + " |\n"
        }
        return out
    }
}
