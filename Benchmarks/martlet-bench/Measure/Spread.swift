/// What several rounds of one measurement gave: the median, and how far they lie apart.
package struct Spread: Hashable, Sendable {
    package let values: [Double]

    /// At least one value.
    package init(_ values: [Double]) { self.values = values.sorted() }

    /// Of each round's own pair, so that a drift of the machine's speed hits both and cancels out. Rounds in
    /// which the lower is zero are left out.
    package init(ratiosOf upper: [Double], over lower: [Double]) {
        self.init(zip(upper, lower).filter { $0.1 != 0 }.map { $0.0 / $0.1 })
    }

    package var isEmpty: Bool { values.isEmpty }
    package var min: Double { values.first ?? .nan }
    package var max: Double { values.last ?? .nan }

    /// The middle one; of an even number the mean of the two in the middle.
    package var median: Double {
        if values.isEmpty { return .nan }
        let middle = values.count / 2
        return values.count.isMultiple(of: 2) ? (values[middle - 1] + values[middle]) / 2 : values[middle]
    }

    /// `0.52 (0.50-0.55)`; the median alone when there was one round.
    package func text(_ show: (Double) -> String = short) -> String {
        if values.isEmpty { return "-" }
        if values.count == 1 { return show(median) }
        return "\(show(median)) (\(show(min))-\(show(max)))"
    }
}
