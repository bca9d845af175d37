import MartletBase

/// The text format that Prometheus scrapes, version 0.0.4: HELP and TYPE before each family's samples.
enum PrometheusText {
    static func write(_ families: [MetricFamily]) -> [UInt8] {
        var out: [UInt8] = []
        for family in families {
            append("# HELP \(family.name) ", to: &out)
            appendEscaped(family.help, quote: false, to: &out)
            append("\n# TYPE \(family.name) \(family.kind.rawValue)\n", to: &out)
            for sample in family.samples { write(sample, of: family, to: &out) }
        }
        return out
    }

    private static func write(_ sample: MetricSample, of family: MetricFamily, to out: inout [UInt8]) {
        append(family.name + sample.suffix, to: &out)
        for (i, label) in sample.labels.enumerated() {
            append(i == 0 ? "{" : ",", to: &out)
            append("\(label.name)=\"", to: &out)
            appendEscaped(label.value, quote: true, to: &out)
            append("\"", to: &out)
        }
        if !sample.labels.isEmpty { append("}", to: &out) }
        append(" \(number(sample.value))\n", to: &out)
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : value.description
    }

    private static func append(_ text: String, to out: inout [UInt8]) { out.append(contentsOf: text.utf8) }

    private static func appendEscaped(_ text: String, quote: Bool, to out: inout [UInt8]) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\", to: &out)
            case UInt8(ascii: "\n"): append("\\n", to: &out)
            case UInt8(ascii: "\"") where quote: append("\\\"", to: &out)
            default: out.append(byte)
            }
        }
    }
}
