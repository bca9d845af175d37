import Glibc
import MartletBase

/// Numbers and times as people read and write them.
package enum Quantities {
    /// With a fixed number of digits after the point, rounded half away from zero.
    package static func decimal(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        var scale: Int64 = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int64((abs(value) * Double(scale)).rounded())
        let sign = value < 0 && scaled != 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(scaled)" }
        return "\(sign)\(scaled / scale).\(String(scale + scaled % scale).dropFirst())"
    }

    /// `123 B`, `1.2 KiB`.
    package static func bytes(_ count: Double) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = count
        var unit = 0
        while abs(value) >= 1023.95, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(decimal(value, digits: unit == 0 ? 0 : 1)) \(units[unit])"
    }

    /// `0.4`, `12`, `8200`, `1.23M`: what a column of rates has room for.
    package static func count(_ value: Double) -> String {
        let size = abs(value)
        if size >= 999_500_000 { return decimal(value / 1e9, digits: 2) + "G" }
        if size >= 999_500 { return decimal(value / 1e6, digits: 2) + "M" }
        return decimal(value, digits: size < 9.95 && value != value.rounded() ? 1 : 0)
    }

    /// `0.85 ms`, `12.0 ms`, `1.20 s`.
    package static func latency(milliseconds: Double) -> String {
        let size = abs(milliseconds)
        if size >= 999.5 { return decimal(milliseconds / 1_000, digits: 2) + " s" }
        return decimal(milliseconds, digits: size < 9.95 ? 2 : size < 99.5 ? 1 : 0) + " ms"
    }

    /// `2026-11-20T18:02:11.482Z`, from milliseconds since 1970.
    package static func utc(milliseconds: Int64) -> String {
        var seconds = time_t(milliseconds / 1_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func pad(_ value: Int, _ digits: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        let day =
            "\(pad(Int(parts.tm_year) + 1900, 4))-\(pad(Int(parts.tm_mon) + 1, 2))-"
            + pad(Int(parts.tm_mday), 2)
        return "\(day)T\(pad(Int(parts.tm_hour), 2)):\(pad(Int(parts.tm_min), 2)):"
            + "\(pad(Int(parts.tm_sec), 2)).\(pad(Int(milliseconds % 1_000), 3))Z"
    }

    /// `4s`, `3min 4s`, `2h 5min`, `3d 4h`: the two largest units that count.
    package static func duration(seconds: Double) -> String {
        if seconds < 0 { return "-" + duration(seconds: -seconds) }
        guard seconds < 1e12 else { return "for ever" }
        if seconds < 10 { return "\(decimal(seconds, digits: seconds == seconds.rounded() ? 0 : 1))s" }
        let whole = Int(seconds)
        let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)]
        let first = units.firstIndex { whole >= $0.1 } ?? units.count - 1
        let (name, size) = units[first]
        let out = "\(whole / size)\(name)"
        guard first + 1 < units.count else { return out }
        let (smallName, smallSize) = units[first + 1]
        let small = whole % size / smallSize
        return small == 0 ? out : "\(out) \(small)\(smallName)"
    }

    /// `500ms`, `1.5s`, `2min`, `3h`, `1d`; a number alone is in `bare` units. Nil for anything else, and for
    /// what isn't above zero.
    package static func interval(_ text: String, bare: Interval) -> Interval? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit: Interval
        switch text.dropFirst(digits.count) {
        case "": unit = bare
        case "ms": unit = .milliseconds(1)
        case "s": unit = .seconds(1)
        case "min": unit = .minutes(1)
        case "h": unit = .hours(1)
        case "d": unit = .hours(24)
        default: return nil
        }
        guard let number = Double(digits), number * unit.seconds < 1e9 else { return nil }
        let interval = unit.scaled(by: number)
        return interval >= .milliseconds(1) ? interval : nil
    }
}

extension Invocation {
    /// The value of an option that is a time.
    func interval(_ option: String, bare: Interval) throws(Failure) -> Interval? {
        guard let text = line.value(option) else { return nil }
        guard let interval = Quantities.interval(text, bare: bare) else {
            throw .usage("\(option): found \(quoted(text)), allowed: a time in ms s min h d, such as 500ms")
        }
        return interval
    }
}
