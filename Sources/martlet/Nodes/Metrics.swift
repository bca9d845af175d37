import MartletBase

/// What MARTLET METRICS says: Prometheus's text format, version 0.0.4, read. Lines that aren't understood are
/// passed over, so that a newer node's metrics still show.
package struct Metrics: Sendable {
    package struct Label: Hashable, Sendable {
        package let name: String
        package let value: String
    }

    package struct Sample: Sendable {
        /// With `_bucket`, `_sum` or `_count` in a histogram.
        package let name: String
        package let labels: [Label]
        package let value: Double

        package func label(_ name: String) -> String? { labels.first { $0.name == name }?.value }
    }

    package struct Family: Sendable {
        package let name: String
        package fileprivate(set) var help = ""
        /// `counter`, `gauge`, `histogram`; `untyped` when it isn't said.
        package fileprivate(set) var kind = "untyped"
        package fileprivate(set) var samples: [Sample] = []
    }

    package private(set) var families: [Family] = []
    private var places: [String: Int] = [:]

    package init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("# HELP ") {
                let (name, help) = Self.words(line.dropFirst(7))
                families[place(name)].help = Self.unescaped(help)
            } else if line.hasPrefix("# TYPE ") {
                let (name, kind) = Self.words(line.dropFirst(7))
                families[place(name)].kind = kind
            } else if !line.hasPrefix("#"), let sample = Self.sample(line) {
                families[place(familyName(sample.name))].samples.append(sample)
            }
        }
    }

    package subscript(_ name: String) -> Family? { places[name].map { families[$0] } }

    /// The sum of a family's samples that `matches`; nil when there is no such family.
    package func total(_ name: String, where matches: (Sample) -> Bool = { _ in true }) -> Double? {
        self[name].map { $0.samples.reduce(0) { $0 + (matches($1) ? $1.value : 0) } }
    }

    // MARK: Reading

    private mutating func place(_ name: String) -> Int {
        if let place = places[name] { return place }
        places[name] = families.count
        families.append(Family(name: name))
        return families.count - 1
    }

    private func familyName(_ sample: String) -> String {
        for suffix in ["_bucket", "_sum", "_count"] where sample.hasSuffix(suffix) {
            let name = String(sample.dropLast(suffix.count))
            if let family = self[name], family.kind == "histogram" || family.kind == "summary" { return name }
        }
        return sample
    }

    private static func words(_ text: Substring) -> (String, String) {
        let name = text.prefix { $0 != " " }
        return (String(name), String(text.dropFirst(name.count + 1)))
    }

    /// `name{label="value",...} number`, where a timestamp may follow.
    private static func sample(_ line: Substring) -> Sample? {
        let name = line.prefix { $0 != "{" && $0 != " " }
        var rest = line.dropFirst(name.count)
        var labels: [Label] = []
        if rest.first == "{" {
            rest = rest.dropFirst()
            while let first = rest.first, first != "}" {
                guard let label = takeLabel(&rest) else { return nil }
                labels.append(label)
            }
            rest = rest.dropFirst()
        }
        let words = rest.split(separator: " ")
        guard !name.isEmpty, let text = words.first, let value = number(text) else { return nil }
        return Sample(name: String(name), labels: labels, value: value)
    }

    private static func takeLabel(_ rest: inout Substring) -> Label? {
        let name = rest.prefix { $0 != "=" }
        rest = rest.dropFirst(name.count + 1)
        guard rest.first == "\"" else { return nil }
        rest = rest.dropFirst()
        var value = ""
        var isEscaped = false
        while let character = rest.popFirst() {
            if isEscaped {
                value.append(character == "n" ? "\n" : character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                if rest.first == "," { rest = rest.dropFirst() }
                return Label(name: String(name), value: value)
            } else {
                value.append(character)
            }
        }
        return nil
    }

    static func number(_ text: some StringProtocol) -> Double? {
        switch text {
        case "+Inf", "Inf": .infinity
        case "-Inf": -.infinity
        default: Double(text)
        }
    }

    private static func unescaped(_ text: String) -> String {
        text.replacing("\\n", with: " ").replacing("\\\\", with: "\\")
    }
}

/// A histogram's samples, those of several label sets added up where their buckets are the same.
package struct Histogram: Sendable {
    /// Upper bounds, ascending, the last infinite; each with how many observations lie at or below it.
    package private(set) var buckets: [(bound: Double, count: Double)] = []
    package private(set) var sum = 0.0
    package private(set) var count = 0.0

    /// Nil when no sample that `matches` is there.
    package init?(_ family: Metrics.Family?, where matches: (Metrics.Sample) -> Bool = { _ in true }) {
        var isAny = false
        for sample in family?.samples ?? [] where matches(sample) {
            isAny = true
            if sample.name.hasSuffix("_bucket") {
                guard let bound = sample.label("le").flatMap({ Metrics.number($0) }) else { continue }
                if let place = buckets.firstIndex(where: { $0.bound == bound }) {
                    buckets[place].count += sample.value
                } else {
                    buckets.append((bound, sample.value))
                }
            } else if sample.name.hasSuffix("_sum") {
                sum += sample.value
            } else if sample.name.hasSuffix("_count") {
                count += sample.value
            }
        }
        guard isAny else { return nil }
        buckets.sort { $0.bound < $1.bound }
    }

    /// What was observed since an earlier reading; all of it when the node has begun anew since.
    package func since(_ earlier: Histogram?) -> Histogram {
        guard let earlier, earlier.count <= count else { return self }
        var out = self
        for place in out.buckets.indices {
            let bound = out.buckets[place].bound
            out.buckets[place].count -= earlier.buckets.first { $0.bound == bound }?.count ?? 0
        }
        out.sum -= earlier.sum
        out.count -= earlier.count
        return out
    }

    package mutating func add(_ other: Histogram) {
        for bucket in other.buckets {
            if let place = buckets.firstIndex(where: { $0.bound == bucket.bound }) {
                buckets[place].count += bucket.count
            } else {
                buckets.append(bucket)
            }
        }
        buckets.sort { $0.bound < $1.bound }
        sum += other.sum
        count += other.count
    }

    /// Below which a share of the observations lies, taken to be spread evenly within a bucket; nil when
    /// there are none. Above the last finite bound nothing is known but that bound.
    package func quantile(_ share: Double) -> Double? {
        guard let all = buckets.last?.count, all > 0 else { return nil }
        let wanted = share * all
        var below = (bound: 0.0, count: 0.0)
        for bucket in buckets {
            if bucket.count >= wanted, bucket.count > below.count {
                guard bucket.bound.isFinite else { return below.bound }
                let part = (wanted - below.count) / (bucket.count - below.count)
                return below.bound + (bucket.bound - below.bound) * max(0, part)
            }
            below = bucket
        }
        return below.bound
    }
}

/// Whether a name is meant by a pattern: `*` stands for any characters and `?` for one; without either the
/// pattern may stand anywhere in the name.
package func matches(_ name: String, pattern: String) -> Bool {
    let hasWildcard = pattern.contains { $0 == "*" || $0 == "?" }
    let text = Array(name)
    let pattern = Array(hasWildcard ? pattern : "*\(pattern)*")
    // The last star, and how much of the text it has taken: a mismatch gives it one more.
    var star: (pattern: Int, text: Int)?
    var (at, place) = (0, 0)
    while place < text.count {
        if at < pattern.count, pattern[at] == "*" {
            star = (at, place)
            at += 1
        } else if at < pattern.count, pattern[at] == "?" || pattern[at] == text[place] {
            at += 1
            place += 1
        } else if let last = star {
            star = (last.pattern, last.text + 1)
            at = last.pattern + 1
            place = last.text + 1
        } else {
            return false
        }
    }
    return pattern[at...].allSatisfy { $0 == "*" }
}
