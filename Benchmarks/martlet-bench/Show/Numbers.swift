/// With a fixed number of digits after the point, rounded half away from zero.
package func decimal(_ value: Double, digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    if digits > 9 {
        // Scaled whole numbers would overflow: the fraction is written apart.
        let whole = value.rounded(.towardZero)
        var rest = abs(value - whole)
        var out = value < 0 && whole == 0 ? "-0." : "\(Int64(whole))."
        for _ in 0..<digits {
            rest *= 10
            let digit = Int(rest)
            out += String(Swift.min(9, digit))
            rest -= Double(digit)
        }
        return out
    }
    var scale: Int64 = 1
    for _ in 0..<digits { scale *= 10 }
    guard abs(value) * Double(scale) < 9e18 else { return "\(value)" }
    let scaled = Int64((abs(value) * Double(scale)).rounded())
    let sign = value < 0 && scaled != 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    return "\(sign)\(scaled / scale).\(String(scale + scaled % scale).dropFirst())"
}

/// A whole number with commas between thousands.
package func grouped(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    var digits = String(Int64(abs(value).rounded()))
    var parts: [String] = []
    while digits.count > 3 {
        parts.insert(String(digits.suffix(3)), at: 0)
        digits.removeLast(3)
    }
    return (value <= -0.5 ? "-" : "") + ([digits] + parts).joined(separator: ",")
}

/// Two digits that count, as ratios and small amounts are told.
package func short(_ value: Double) -> String {
    let size = abs(value)
    return decimal(value, digits: size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3)
}

/// Spaces before the text up to `columns`.
package func pad(_ text: String, _ columns: Int) -> String {
    String(repeating: " ", count: max(0, columns - text.count)) + text
}

/// Spaces after the text up to `columns`.
package func padAfter(_ text: String, _ columns: Int) -> String {
    text + String(repeating: " ", count: max(0, columns - text.count))
}
