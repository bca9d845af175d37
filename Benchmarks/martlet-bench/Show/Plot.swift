import Glibc

/// A line chart as an SVG document of its own: no script, no font of its own, readable on light and dark.
package struct Plot: Sendable {
    package struct Series: Sendable {
        package var name: String
        package var points: [(x: Double, y: Double)]

        package init(_ name: String, _ points: [(x: Double, y: Double)]) {
            self.name = name
            self.points = points
        }
    }

    package enum Scale: Sendable {
        case linear
        case logarithmic
    }

    package struct Axis: Sendable {
        package var label: String
        package var scale: Scale
        /// Where a line and a label stand; empty: chosen by the values.
        package var marks: [(value: Double, text: String)] = []

        package init(_ label: String, _ scale: Scale, marks: [(value: Double, text: String)] = []) {
            self.label = label
            self.scale = scale
            self.marks = marks
        }
    }

    package var title: String
    package var x: Axis
    package var y: Axis
    package var series: [Series]

    package init(_ title: String, x: Axis, y: Axis, _ series: [Series]) {
        self.title = title
        self.x = x
        self.y = y
        self.series = series
    }

    private static let width = 760.0
    private static let height = 440.0
    private static let left = 74.0
    private static let right = 24.0
    private static let top = 44.0
    private static let bottom = 84.0
    // Told apart in every common kind of colour blindness (Okabe, Ito).
    private static let colours = [
        "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
    ]

    package var svg: String {
        let across = range(of: x, series.flatMap { $0.points.map(\.x) })
        let up = range(of: y, series.flatMap { $0.points.map(\.y) })
        func place(_ point: (x: Double, y: Double)) -> (x: Double, y: Double) {
            let inner = (Self.width - Self.left - Self.right, Self.height - Self.top - Self.bottom)
            return (
                Self.left + inner.0 * share(point.x, across, x.scale),
                Self.height - Self.bottom - inner.1 * share(point.y, up, y.scale)
            )
        }
        var out = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" \
            font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="#ffffff"/>
            <text x="\(text(Self.left))" y="24" font-size="15">\(escaped(title))</text>

            """
        for mark in marks(x, across) {
            let at = place((mark.value, up.lowerBound)).x
            out += line((at, Self.top), (at, Self.height - Self.bottom))
            out += label(mark.text, at, Self.height - Self.bottom + 18, "middle")
        }
        for mark in marks(y, up) {
            let at = place((across.lowerBound, mark.value)).y
            out += line((Self.left, at), (Self.width - Self.right, at))
            out += label(mark.text, Self.left - 8, at + 4, "end")
        }
        out += label(x.label, (Self.left + Self.width - Self.right) / 2, Self.height - 46, "middle")
        out += label(y.label, Self.left - 8, Self.top - 8, "end")
        var keyAt = Self.left
        for (index, one) in series.enumerated() {
            let colour = Self.colours[index % Self.colours.count]
            let points = one.points.map(place).map { "\(text($0.x)),\(text($0.y))" }.joined(separator: " ")
            out += "<polyline fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\" points=\"\(points)\"/>\n"
            let row = Self.height - 16
            out += "<rect x=\"\(text(keyAt))\" y=\"\(text(row - 9))\" width=\"12\" height=\"10\""
            out += " fill=\"\(colour)\"/>\n"
            out += label(one.name, keyAt + 18, row, "start")
            keyAt += 40 + 7 * Double(one.name.count)
        }
        return out + "</svg>\n"
    }

    // MARK: Scales

    private func range(of axis: Axis, _ values: [Double]) -> ClosedRange<Double> {
        let usable = axis.scale == .logarithmic ? values.filter { $0 > 0 } : values + [0]
        let low = usable.min() ?? 1
        let high = usable.max() ?? 1
        switch axis.scale {
        case .linear: return low...(high > low ? high * 1.05 : low + 1)
        case .logarithmic: return low...(high > low ? high : low * 10)
        }
    }

    private func share(_ value: Double, _ range: ClosedRange<Double>, _ scale: Scale) -> Double {
        let held = Swift.min(Swift.max(value, range.lowerBound), range.upperBound)
        switch scale {
        case .linear: return (held - range.lowerBound) / (range.upperBound - range.lowerBound)
        case .logarithmic: return log(held / range.lowerBound) / log(range.upperBound / range.lowerBound)
        }
    }

    private func marks(_ axis: Axis, _ range: ClosedRange<Double>) -> [(value: Double, text: String)] {
        if !axis.marks.isEmpty { return axis.marks.filter { range ~= $0.value } }
        switch axis.scale {
        case .linear:
            let rough = (range.upperBound - range.lowerBound) / 6
            let power = pow(10, log10(rough).rounded(.down))
            let step = ([1, 2, 5, 10].first { $0 * power >= rough } ?? 10) * power
            return stride(
                from: (range.lowerBound / step).rounded(.up) * step, through: range.upperBound, by: step
            )
            .map { ($0, $0 >= 1_000 ? grouped($0) : short($0)) }
        case .logarithmic:
            var out: [(value: Double, text: String)] = []
            var power = pow(10, log10(range.lowerBound).rounded(.down))
            while power <= range.upperBound {
                for factor in [1.0, 2, 5] where range ~= factor * power {
                    let value = factor * power
                    out.append((value, value >= 1 ? grouped(value) : short(value)))
                }
                power *= 10
            }
            return out
        }
    }

    // MARK: Elements

    private func line(_ from: (x: Double, y: Double), _ to: (x: Double, y: Double)) -> String {
        "<line x1=\"\(text(from.x))\" y1=\"\(text(from.y))\" x2=\"\(text(to.x))\" y2=\"\(text(to.y))\""
            + " stroke=\"#dddddd\"/>\n"
    }

    private func label(_ words: String, _ x: Double, _ y: Double, _ anchor: String) -> String {
        "<text x=\"\(text(x))\" y=\"\(text(y))\" text-anchor=\"\(anchor)\">\(escaped(words))</text>\n"
    }

    private func text(_ value: Double) -> String { decimal(value, digits: 1) }

    private func escaped(_ words: String) -> String {
        var out = ""
        for character in words {
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            default: out.append(character)
            }
        }
        return out
    }
}

extension Plot {
    /// Latencies over percentiles, as far out as there are requests: each step to the right leaves a tenth.
    package static func percentiles(_ title: String, _ histograms: [(name: String, Histogram)]) -> Plot {
        let marks = [
            (1.0, "0%"), (2, "50%"), (10, "90%"), (100, "99%"), (1_000, "99.9%"), (10_000, "99.99%"),
            (100_000, "99.999%"), (1_000_000, "99.9999%"),
        ]
        let series = histograms.map { name, histogram in
            var points: [(x: Double, y: Double)] = []
            var before = 0.0
            for step in histogram.cumulative {
                let count = Double(histogram.count)
                // The last has no place on this axis: it stands where the one before it would be.
                let x = 1 / max(1 - Double(step.count) / count, 1 / count)
                // A point for each 2% of a step: what is nearer can't be told apart.
                if x < before * 1.02, step.count < histogram.count { continue }
                before = x
                points.append((x, max(1e-3, Double(step.value) / 1e6)))
            }
            return Series(name, points)
        }
        return Plot(
            title, x: Axis("requests at or below", .logarithmic, marks: marks), y: Axis("ms", .logarithmic),
            series)
    }
}
