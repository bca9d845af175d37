/// The rules of the text format 0.0.4, and those of `promtool check metrics` about names: a second reading of
/// what `PrometheusText` writes.
enum PrometheusRules {
    private struct Family {
        var kind = ""
        var samples = 0
        /// Of a histogram: by its labels without `le`, what the buckets had so far.
        var buckets: [String: (bound: Double, count: Double)] = [:]
        var counts: [String: Double] = [:]
        var sums: Set<String> = []
    }

    /// What is wrong, a sentence a line.
    static func broken(by text: String) -> [String] {
        var complaints: [String] = []
        var families: [String: Family] = [:]
        var current = ""
        var seen: Set<String> = []
        if !text.hasSuffix("\n") { complaints.append("the last line has no end") }
        for line in text.split(separator: "\n") {
            func complain(_ what: String) { complaints.append("\(what): \(line)") }
            if line.hasPrefix("# HELP ") {
                current = String(line.split(separator: " ")[2])
                if families[current] != nil { complain("a family twice") }
                if line.split(separator: " ").count < 4 { complain("no help") }
                families[current] = Family()
                if !isName(current) { complain("no name for a metric") }
            } else if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ").map(String.init)
                if words.count != 4 || words[2] != current { complain("TYPE of another family") }
                families[current]?.kind = words.last ?? ""
                if !["counter", "gauge", "histogram"].contains(words.last ?? "") { complain("no such type") }
                if current.hasSuffix("_total") != (words.last == "counter") { complain("_total and counter") }
                for suffix in ["_count", "_sum", "_bucket", "_info_total", "_milliseconds", "_ms", "_kb"]
                where current.hasSuffix(suffix) { complain("a name that promtool doesn't like") }
            } else if let sample = Sample(line) {
                if !seen.insert(sample.identity).inserted { complain("a sample twice") }
                guard families[current] != nil else {
                    complain("a sample before its family")
                    continue
                }
                take(sample, of: current, into: &families[current]!, complain)
            } else {
                complain("no sample")
            }
        }
        for (name, family) in families.sorted(by: { $0.key < $1.key }) where family.kind == "histogram" {
            for (labels, count) in family.counts.sorted(by: { $0.key < $1.key }) {
                let last = family.buckets[labels]
                if last?.bound != .infinity || last?.count != count || !family.sums.contains(labels) {
                    complaints.append("\(name){\(labels)}: +Inf, _sum and _count don't belong together")
                }
            }
            if family.counts.count != family.buckets.count {
                complaints.append("\(name): buckets without a count")
            }
        }
        return complaints
    }

    private static func take(
        _ sample: Sample, of name: String, into family: inout Family, _ complain: (String) -> Void
    ) {
        family.samples += 1
        let rest = sample.labels.filter { $0.name != "le" }.map { "\($0.name)=\($0.value)" }
            .joined(separator: ",")
        if Set(sample.labels.map(\.name)).count != sample.labels.count { complain("a label twice") }
        guard family.kind == "histogram" else {
            if sample.name != name { complain("a sample of another family") }
            if sample.labels.contains(where: { $0.name == "le" || $0.name == "quantile" }) {
                complain("a reserved label")
            }
            if family.kind == "counter", sample.value < 0 { complain("a counter below zero") }
            return
        }
        switch sample.name {
        case name + "_bucket":
            guard let bound = sample.labels.first(where: { $0.name == "le" }).flatMap({ Double($0.value) })
            else { return complain("a bucket without a bound") }
            if let last = family.buckets[rest], last.bound >= bound || last.count > sample.value {
                complain("buckets that don't ascend")
            }
            family.buckets[rest] = (bound, sample.value)
        case name + "_sum": family.sums.insert(rest)
        case name + "_count": family.counts[rest] = sample.value
        default: complain("no sample of a histogram")
        }
    }

    fileprivate static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.first.map { !(0x30...0x39).contains($0) } ?? false
            && text.utf8.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_")
            }
    }

    /// `name{label="value",...} number`
    private struct Sample {
        let name: String
        let labels: [(name: String, value: String)]
        let value: Double
        let identity: String

        init?(_ line: Substring) {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...])
            else { return nil }
            self.value = value
            identity = String(line[..<space])
            guard let brace = identity.firstIndex(of: "{") else {
                guard isName(identity) else { return nil }
                (name, labels) = (identity, [])
                return
            }
            name = String(identity[..<brace])
            guard isName(name), identity.hasSuffix("\"}") else { return nil }
            var labels: [(String, String)] = []
            var rest = identity[identity.index(after: brace)...].dropLast()
            while !rest.isEmpty {
                guard let equals = rest.firstIndex(of: "="), rest[rest.index(after: equals)...].first == "\""
                else { return nil }
                let label = String(rest[..<equals])
                rest = rest[rest.index(equals, offsetBy: 2)...]
                var value = ""
                var isClosed = false
                while let character = rest.first, !isClosed {
                    rest = rest.dropFirst()
                    if character == "\\" {
                        guard let escaped = rest.first, "\\n\"".contains(escaped) else { return nil }
                        value.append(escaped)
                        rest = rest.dropFirst()
                    } else if character == "\"" {
                        isClosed = true
                    } else {
                        value.append(character)
                    }
                }
                guard isClosed, isName(label) else { return nil }
                labels.append((label, value))
                if rest.first == "," { rest = rest.dropFirst() }
            }
            self.labels = labels
        }
    }
}
