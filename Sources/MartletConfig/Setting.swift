import MartletBase

/// One key of cluster.yaml: the row from which it is read, checked, overridden, written and documented.
/// `Root` is what the key is a part of: the configuration, one node or one keyspace.
package struct Setting<Root>: Sendable {
    /// The section, as `requests`; for the keys of nodes and keyspaces their path, as `nodes[]`.
    package let section: String
    package let key: String
    package let kind: SettingKind<Root>
    /// What it means.
    package let meaning: String
    /// What a greater and a smaller value do; empty for what isn't an amount.
    package let raising: String
    package let lowering: String
    /// What the words do, of which it is one.
    package let choosing: String

    init(
        _ section: String, _ key: String, _ kind: SettingKind<Root>, _ meaning: String, raising: String = "",
        lowering: String = "", choosing: String = ""
    ) {
        self.section = section
        self.key = key
        self.kind = kind
        self.meaning = meaning
        self.raising = raising
        self.lowering = lowering
        self.choosing = choosing
    }

    /// `requests.timeout`.
    package var name: String { "\(section).\(key)" }

    /// The variable that overrides it, `MARTLET_REQUESTS_TIMEOUT`.
    package var environmentName: String { "MARTLET_\(section)_\(key)".uppercased() }
}

/// Why a node of the file isn't a value of a kind.
struct Refusal {
    var found: String
    var allowed: String
    var hint: String?
}

/// A kind of value: how it is read from YAML and written back, bound to its place in `Root`.
package struct SettingKind<Root>: Sendable {
    typealias Path<Value> = WritableKeyPath<Root, Value> & Sendable

    /// In a word or two: `time`, `size`, `whole number`.
    package let type: String
    /// What an error says is allowed.
    package let allowed: String
    /// Nil when it was read into the root.
    let read: @Sendable (YAMLNode, inout Root) -> Refusal?
    /// As the file has it.
    package let write: @Sendable (Root) -> String

    /// A scalar that `parse` makes a value of.
    private static func scalar<Value>(
        _ type: String, _ allowed: String, _ path: Path<Value>,
        hint: @escaping @Sendable (String) -> String? = { _ in nil },
        write: @escaping @Sendable (Value) -> String,
        parse: @escaping @Sendable (_ text: String, _ isPlain: Bool) -> Value?
    ) -> Self {
        SettingKind(
            type: type, allowed: allowed,
            read: { node, root in
                guard case .scalar(let text, let isPlain, _) = node, !node.isNull else {
                    return Refusal(found: node.found, allowed: allowed)
                }
                guard let value = parse(text, isPlain) else {
                    return Refusal(found: node.found, allowed: allowed, hint: hint(text))
                }
                root[keyPath: path] = value
                return nil
            },
            write: { write($0[keyPath: path]) })
    }

    static func time(_ path: Path<Interval>, _ range: ClosedRange<Interval>) -> Self {
        let scale = UnitScale.time
        let low = scale.format(range.lowerBound.nanoseconds)
        let high = scale.format(range.upperBound.nanoseconds)
        return .scalar(
            "time", "a time from \(low) to \(high), in \(scale.names)", path, hint: scale.hint,
            write: { scale.format($0.nanoseconds) },
            parse: { text, _ in
                guard let value = scale.parse(text) else { return nil }
                return range.contains(Interval(nanoseconds: value)) ? Interval(nanoseconds: value) : nil
            })
    }

    static func size(_ path: Path<Int>, _ range: ClosedRange<Int>) -> Self {
        let scale = UnitScale.size
        let low = scale.format(Int64(range.lowerBound))
        let high = scale.format(Int64(range.upperBound))
        return .scalar(
            "size", "a size from \(low) to \(high), in \(scale.names)", path, hint: scale.hint,
            write: { scale.format(Int64($0)) },
            parse: { text, _ in
                guard let value = scale.parse(text).map(Int.init) else { return nil }
                return range.contains(value) ? value : nil
            })
    }

    /// `what` is counted.
    static func count(_ path: Path<Int>, _ range: ClosedRange<Int>, _ what: String) -> Self {
        .scalar(
            what, "a whole number from \(range.lowerBound) to \(range.upperBound)", path, hint: numberHint,
            write: String.init,
            parse: { text, isPlain in
                guard isPlain, let value = wholeNumber(text) else { return nil }
                return range.contains(value) ? value : nil
            })
    }

    static func port(_ path: Path<UInt16>) -> Self {
        .scalar("port", portAllowed, path, hint: numberHint, write: { "\($0)" }, parse: readPort)
    }

    static func optionalPort(_ path: Path<UInt16?>) -> Self {
        .scalar(
            "port", portAllowed, path, hint: numberHint, write: { $0.map(String.init) ?? "" }, parse: readPort
        )
    }

    static func flag(_ path: Path<Bool>) -> Self {
        .scalar(
            "true or false", "true or false", path,
            hint: {
                ["yes", "on", "no", "off", "True", "False"].contains($0) ? "only these two words" : nil
            },
            write: { $0 ? "true" : "false" },
            parse: { text, isPlain in isPlain ? ["true": true, "false": false][text] : nil })
    }

    /// One of a few words. A word in another case is taken when `ignoringCase`.
    static func choice<Value: RawRepresentable<String> & CaseIterable & Sendable & Hashable>(
        _ path: Path<Value>, without excluded: Value? = nil, ignoringCase: Bool = false
    ) -> Self {
        let values = Value.allCases.filter { $0 != excluded }
        let words = values.map(\.rawValue)
        return .scalar(
            "word", "one of \(words.joined(separator: ", "))", path,
            hint: { nearestHint($0, in: words) },
            write: \.rawValue,
            parse: { text, _ in
                let wanted = ignoringCase ? text.uppercased() : text
                return values.first { $0.rawValue == wanted }
            })
    }

    /// A name within `Limits.nameBytesMax`, of characters that are safe in folders, logs and lists.
    static func name(_ path: Path<String>, _ rule: NameRule) -> Self {
        .scalar(
            "name", rule.allowed, path, write: yamlText, parse: { text, _ in rule.accepts(text) ? text : nil }
        )
    }

    static func folder(_ path: Path<String>) -> Self {
        .scalar("folder", folderAllowed, path, write: yamlText, parse: { text, _ in folder(text) })
    }

    static func optionalFolder(_ path: Path<String?>) -> Self {
        .scalar(
            "folder", folderAllowed, path, write: { $0.map(yamlText) ?? "" },
            parse: { text, _ in folder(text) })
    }

    private static var folderAllowed: String {
        "a path of 1 to \(Limits.pathBytesMax) bytes without control characters"
    }

    private static func folder(_ text: String) -> String? {
        let isPath =
            !text.isEmpty && text.utf8.count <= Limits.pathBytesMax
            && text.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 }
        return isPath ? text : nil
    }

    /// An address to bind and to advertise: neither a name, nor "any", nor a group.
    static func address(_ path: Path<IPAddress>) -> Self {
        .scalar(
            "IP address", "an IP address of this node alone, such as 192.0.2.7", path,
            hint: {
                IPAddress($0) == nil ? "a literal: no host name, no port" : "others must reach the node by it"
            },
            write: { yamlText($0.description) },
            parse: { text, _ in IPAddress(text).flatMap { $0.isOneHost ? $0 : nil } })
    }

    static func speculation(_ path: Path<Speculation>) -> Self {
        let range: ClosedRange<Interval> = .milliseconds(1)...(.minutes(10))
        return .scalar(
            "word or time", "off, p50 to p99, or a time from 1ms to 10min", path, hint: UnitScale.time.hint,
            write: {
                switch $0 {
                case .off: "off"
                case .percentile(let percentile): "p\(percentile)"
                case .after(let time): UnitScale.time.format(time.nanoseconds)
                }
            },
            parse: { text, _ in
                if text == "off" { return .off }
                if text.hasPrefix("p") {
                    guard let number = wholeNumber(text.dropFirst()), (50...99).contains(number) else {
                        return nil
                    }
                    return .percentile(number)
                }
                guard let time = UnitScale.time.parse(text).map(Interval.init) else { return nil }
                return range.contains(time) ? .after(time) : nil
            })
    }

    /// A number of copies, or a map of them by data centre.
    static func copies(_ path: Path<Copies>) -> Self {
        let copiesMax = Limits.replicationFactorMax
        let allowed = "1 to \(copiesMax), or {datacenter: copies, ...} with 1 to \(copiesMax) in all"
        return SettingKind(
            type: "whole number or map", allowed: allowed,
            read: { node, root in
                guard let copies = readCopies(node), (1...copiesMax).contains(copies.sum) else {
                    return Refusal(found: node.found, allowed: allowed)
                }
                root[keyPath: path] = copies
                return nil
            },
            write: {
                switch $0[keyPath: path] {
                case .total(let copies):
                    "\(copies)"
                case .perDatacenter(let list):
                    "{\(list.map { "\(yamlText($0.datacenter)): \($0.copies)" }.joined(separator: ", "))}"
                }
            })
    }
}

private func readCopies(_ node: YAMLNode) -> Copies? {
    func number(_ node: YAMLNode) -> Int? {
        guard case .scalar(let text, isPlain: true, _) = node, let copies = wholeNumber(text) else {
            return nil
        }
        return (1...Limits.replicationFactorMax).contains(copies) ? copies : nil
    }
    guard case .mapping(let entries, _) = node else { return number(node).map(Copies.total) }
    var list: [DatacenterCopies] = []
    for entry in entries {
        guard NameRule.place.accepts(entry.key), let copies = number(entry.value) else { return nil }
        list.append(DatacenterCopies(datacenter: entry.key, copies: copies))
    }
    return .perDatacenter(list.sorted { $0.datacenter < $1.datacenter })
}

/// Digits only: no sign, no underscore, no other script, and in its shortest spelling.
func wholeNumber(_ text: some StringProtocol) -> Int? {
    guard text.utf8.allSatisfy({ (48...57).contains($0) }), text.utf8.count == 1 || text.utf8.first != 48
    else {
        return nil
    }
    return Int(text)
}

private let portAllowed = "a port from 1 to 65535, or 0 for off"

private func readPort(_ text: String, isPlain: Bool) -> UInt16? {
    isPlain ? wholeNumber(text).flatMap { UInt16(exactly: $0) } : nil
}

private func numberHint(_ text: String) -> String? {
    wholeNumber(text) == nil ? "digits only, without quotes, units or separators" : nil
}

extension IPAddress {
    /// Neither "any" (0.0.0.0, ::) nor a multicast group nor broadcast.
    fileprivate var isOneHost: Bool {
        if let v4 { return v4 >> 24 != 0 && v4 >> 28 != 0xE && v4 != .max }
        return !(high == 0 && low == 0) && high >> 56 != 0xFF
    }
}

extension Setting where Root == ClusterConfiguration {
    /// The value that a configuration has, as the file would spell it.
    package func text(in configuration: ClusterConfiguration) -> String { kind.write(configuration) }
}
