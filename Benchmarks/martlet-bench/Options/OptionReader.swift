import MartletBase
import MartletConfig

/// Option values as numbers and times; what can't be is refused with what was found and what is allowed.
package struct OptionReader {
    private let line: ParsedCommandLine

    package init(_ line: ParsedCommandLine) { self.line = line }

    package func whole(_ option: String, _ allowed: ClosedRange<Int>) throws(Failure) -> Int? {
        guard let text = line.value(option) else { return nil }
        guard let value = Self.whole(text), allowed ~= value else {
            throw refuse(option, text, "\(allowed.lowerBound) to \(allowed.upperBound)")
        }
        return value
    }

    /// Several, separated by commas.
    package func wholes(_ option: String, _ allowed: ClosedRange<Int>) throws(Failure) -> [Int]? {
        guard let text = line.value(option) else { return nil }
        let values = text.split(separator: ",", omittingEmptySubsequences: false).map {
            Self.whole(String($0))
        }
        let found = values.compactMap { $0 }
        guard found.count == values.count, found.allSatisfy({ allowed ~= $0 }) else {
            throw refuse(
                option, text, "\(allowed.lowerBound) to \(allowed.upperBound), several separated by commas")
        }
        return found
    }

    /// `A` or `A-B`.
    package func range(_ option: String, _ allowed: ClosedRange<Int>) throws(Failure) -> ClosedRange<Int>? {
        guard let text = line.value(option) else { return nil }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Self.whole(String($0)) }
        guard 1...2 ~= ends.count, let first = ends[0], let last = ends[ends.count - 1], first <= last,
            allowed ~= first, allowed ~= last
        else {
            throw refuse(
                option, text, "a number or A-B, from \(allowed.lowerBound) to \(allowed.upperBound)")
        }
        return first...last
    }

    package func number(_ option: String, _ allowed: ClosedRange<Double>) throws(Failure) -> Double? {
        guard let text = line.value(option) else { return nil }
        guard let value = Double(text), allowed ~= value else {
            throw refuse(option, text, "\(allowed.lowerBound) to \(allowed.upperBound)")
        }
        return value
    }

    package func time(_ option: String, isZeroAllowed: Bool = false) throws(Failure) -> Interval? {
        guard let text = line.value(option) else { return nil }
        let digits = text.prefix { $0.isNumber || $0 == "." }
        let units: [Substring: Double] = ["ms": 1e-3, "s": 1, "": 1, "min": 60, "h": 3_600]
        guard let unit = units[text.dropFirst(digits.count)], let number = Double(digits),
            number * unit < 1e6, number > 0 || isZeroAllowed
        else { throw refuse(option, text, "a time in ms s min h, such as 500ms") }
        return Interval(nanoseconds: Int64(number * unit * 1e9))
    }

    /// `64MiB`.
    package func size(_ option: String, _ allowed: ClosedRange<Int>) throws(Failure) -> Int? {
        guard let text = line.value(option) else { return nil }
        guard let bytes = UnitScale.size.parse(text).map({ Int($0) }), allowed ~= bytes else {
            let ends = [allowed.lowerBound, allowed.upperBound].map { UnitScale.size.format(Int64($0)) }
            throw refuse(option, text, "a size from \(ends[0]) to \(ends[1]), such as 64MiB")
        }
        return bytes
    }

    /// Of an option that repeats: the cases that are named, in their own order.
    package func choices<Choice: RawRepresentable & Hashable>(
        _ option: String, _ all: [Choice]
    ) throws(Failure) -> [Choice]? where Choice.RawValue == String {
        let names = line.values(option)
        if let odd = names.first(where: { Choice(rawValue: $0) == nil }) {
            throw refuse(option, odd, all.map(\.rawValue).joined(separator: ", "))
        }
        return names.isEmpty ? nil : all.filter { names.contains($0.rawValue) }
    }

    /// `1000`, `1_000`, `10k`, `1M`.
    private static func whole(_ text: String) -> Int? {
        let scale = text.hasSuffix("k") ? 1_000 : text.hasSuffix("M") ? 1_000_000 : 1
        let digits = (scale == 1 ? text[...] : text.dropLast()).filter { $0 != "_" }
        guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let value = Int(digits)
        else { return nil }
        let (out, isTooLarge) = value.multipliedReportingOverflow(by: scale)
        return isTooLarge ? nil : out
    }

    private func refuse(_ option: String, _ text: String, _ allowed: String) -> Failure {
        .usage("\(option): found \"\(text)\", allowed: \(allowed)")
    }
}
