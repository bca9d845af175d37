import MartletBase

/// A number with a unit, such as `1.5s` or `64KiB`: the table of units of one dimension.
package struct UnitScale: Sendable {
    /// Smallest first; each a whole multiple of the base unit.
    let units: [(name: String, factor: Int64)]

    /// Times, in nanoseconds.
    package static let time = UnitScale(units: [
        ("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000), ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ])
    /// Sizes, in bytes.
    package static let size = UnitScale(units: [
        ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30),
    ])

    var names: String { units.map(\.name).joined(separator: " ") }

    /// Nil for anything but digits, perhaps a fraction, and a unit; for a value that isn't whole in the base
    /// unit; and for one past 64 bits.
    package func parse(_ text: String) -> Int64? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = text.dropFirst(digits.count)
        guard let factor = units.first(where: { $0.name == unit })?.factor else { return nil }
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }), let whole = Int64(parts[0]) else {
            return nil
        }
        let (value, overflow) = whole.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        guard parts.count == 2 else { return value }
        guard parts[1].count <= 9, let fraction = Int64(parts[1]) else { return nil }
        let scale = parts[1].reduce(Int64(1)) { scale, _ in scale * 10 }
        let (scaled, tooLarge) = fraction.multipliedReportingOverflow(by: factor)
        guard !tooLarge, scaled.isMultiple(of: scale) else { return nil }
        let (sum, past) = value.addingReportingOverflow(scaled / scale)
        return past ? nil : sum
    }

    /// In the largest unit in which it is whole; a value below the smallest unit has a fraction of it.
    package func format(_ value: Int64) -> String {
        let zeroUnit = units.first { $0.name == "s" } ?? units[0]
        if value == 0 { return "0\(zeroUnit.name)" }
        for (name, factor) in units.reversed() where value.isMultiple(of: factor) {
            return "\(value / factor)\(name)"
        }
        let (name, factor) = units[0]
        var fraction = String(factor + value % factor).dropFirst()
        while fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(value / factor).\(fraction)\(name)"
    }

    /// What someone who wrote `text` may have meant.
    package func hint(_ text: String) -> String? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard !digits.isEmpty else { return nil }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }
        if unit.isEmpty { return "it needs a unit: \(names)" }
        if text.contains(" ") { return "no space before the unit: \(digits)\(unit)" }
        if let alike = units.first(where: { $0.name.lowercased() == unit.lowercased() }) {
            return "write \(digits)\(alike.name)"
        }
        for (written, meant) in Self.mistaken where written == unit.lowercased() {
            if units.contains(where: { $0.name == meant }) { return "write \(digits)\(meant)" }
        }
        return units.contains { $0.name == String(unit) } ? nil : "the units are \(names)"
    }

    private static let mistaken = [
        (written: "sec", meant: "s"), ("secs", "s"), ("second", "s"), ("seconds", "s"), ("m", "min"),
        ("mins", "min"), ("minute", "min"), ("minutes", "min"), ("hour", "h"), ("hours", "h"), ("hr", "h"),
        ("day", "d"), ("days", "d"), ("msec", "ms"), ("millis", "ms"), ("k", "KiB"), ("kb", "KiB"),
        ("m", "MiB"),
        ("mb", "MiB"), ("g", "GiB"), ("gb", "GiB"), ("byte", "B"), ("bytes", "B"),
    ]
}
