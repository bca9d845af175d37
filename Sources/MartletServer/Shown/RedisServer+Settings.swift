import MartletBase
import MartletRESP

/// CONFIG: what is set, and what can be changed while the node runs. A change holds for this node until it
/// ends; cluster.yaml is what holds after that.
///
/// Three settings take effect at once, by Redis's name or by cluster.yaml's. Of Redis's others some are shown
/// because clients read them. They are as they are: to set one to the value that it has is answered as done,
/// anything else is refused.
extension RedisServer {
    /// A setting that CONFIG GET shows.
    private struct Shown {
        enum Kind {
            /// Redis refuses a change, too.
            case immutable
            /// Redis would take a change that Martlet has no use for.
            case fixed
            case clientsMax, clientOutputMax, logLevel
        }

        var name: String
        var value: String
        var kind: Kind
    }

    private func shown(on face: RedisFace) -> [Shown] {
        let output = settings.clientOutputMax
        var all = [
            Shown(
                name: "appendfsync", value: settings.syncsBeforeReply ? "always" : "everysec", kind: .fixed),
            Shown(name: "appendonly", value: "yes", kind: .fixed),
            Shown(name: "bind", value: "\(settings.address.ip)", kind: .immutable),
            Shown(
                name: "client-output-buffer-limit", value: "normal \(output) 0 0", kind: .clientOutputMax),
            Shown(name: "cluster-enabled", value: face == .cluster ? "yes" : "no", kind: .immutable),
            Shown(name: "databases", value: "\(keyspaces.count)", kind: .immutable),
            Shown(name: "maxclients", value: "\(settings.clientsMax)", kind: .clientsMax),
            Shown(name: "maxmemory", value: "0", kind: .fixed),
            Shown(name: "maxmemory-policy", value: "noeviction", kind: .fixed),
            Shown(name: "notify-keyspace-events", value: "", kind: .fixed),
            Shown(name: "port", value: "\(settings.port(of: face))", kind: .immutable),
            Shown(name: "proto-max-bulk-len", value: "\(Limits.bulkBytesMax)", kind: .fixed),
            Shown(name: "replica-read-only", value: "yes", kind: .fixed),
            Shown(name: "requirepass", value: "", kind: .fixed),
            Shown(name: "save", value: "", kind: .fixed),
            Shown(name: "slave-read-only", value: "yes", kind: .fixed),
            Shown(name: "timeout", value: "0", kind: .fixed),
        ]
        if let level = logLevel?.get() {
            all.insert(
                Shown(name: "loglevel", value: Self.redisLogLevels[level] ?? level, kind: .logLevel), at: 6)
        }
        for setting in settings.configuration {
            switch setting.name {
            case "requests.clients_max":
                all.append(Shown(name: setting.name, value: "\(settings.clientsMax)", kind: .clientsMax))
            case "requests.client_output_max":
                let value = output == configuredOutputMax ? setting.value : "\(output)B"
                all.append(Shown(name: setting.name, value: value, kind: .clientOutputMax))
            case "log.level":
                all.append(
                    Shown(name: setting.name, value: logLevel?.get() ?? setting.value, kind: .logLevel))
            default: all.append(Shown(name: setting.name, value: setting.value, kind: .immutable))
            }
        }
        return all
    }

    /// Redis's settings as far as they have a meaning here, then the node's own.
    func configuration(on face: RedisFace) -> [RedisSettings.ConfigurationValue] {
        shown(on: face).map { RedisSettings.ConfigurationValue($0.name, $0.value) }
    }

    // MARK: Changing

    /// Changes all of them or none; returns the error.
    func change(_ pairs: [(name: String, value: String)], on face: RedisFace) -> String? {
        let shown = shown(on: face)
        var known: [Shown] = []
        var refusal: String?
        for pair in pairs {
            let name = pair.name.lowercased()
            guard let setting = shown.first(where: { $0.name == name }) else {
                return "ERR Unknown option or number of arguments for CONFIG SET - '\(pair.name)'"
            }
            if refusal != nil { continue }
            if setting.kind == .immutable {
                refusal = Self.refused(setting.name, "can't set immutable config")
            } else if known.contains(where: { $0.name == setting.name }) {
                refusal = Self.refused(setting.name, "duplicate parameter")
            }
            known.append(setting)
        }
        if let refusal { return refusal }
        let before = (settings, logLevel?.get())
        for (setting, pair) in zip(known, pairs) {
            guard let text = apply(setting, pair.value) else { continue }
            settings = before.0
            if let level = before.1 { logLevel?.set(level) }
            return Self.refused(setting.name, text)
        }
        return nil
    }

    private static func refused(_ name: String, _ text: String) -> String {
        "ERR CONFIG SET failed (possibly related to argument '\(name)') - \(text)"
    }

    /// What is wrong with the value; nil when it holds now.
    private func apply(_ setting: Shown, _ value: String) -> String? {
        switch setting.kind {
        case .immutable: return "can't set immutable config"
        case .fixed:
            return value.lowercased() == setting.value ? nil : "Martlet has it fixed at '\(setting.value)'"
        case .clientsMax:
            guard let number = parseInteger(Blob(value).span) else {
                return "argument couldn't be parsed into an integer"
            }
            guard number > 0, number < 1 << 32 else {
                return "argument must be between 1 and 4294967295 inclusive"
            }
            settings.clientsMax = Int(number)
            return nil
        case .clientOutputMax:
            return setting.name.contains(".") ? applyOutputMax(value) : applyOutputLimits(value)
        case .logLevel: return applyLogLevel(setting.name, value)
        }
    }

    private func applyOutputMax(_ value: String) -> String? {
        guard let bytes = Self.bytes(value), Limits.clientOutputMaxRange.contains(bytes) else {
            let range = Limits.clientOutputMaxRange
            return "argument must be a memory value between \(range.lowerBound) and \(range.upperBound) bytes"
        }
        settings.clientOutputMax = bytes
        return nil
    }

    /// Redis's list of class, hard limit, soft limit and its seconds. Only the hard limit of normal clients
    /// is one here, and there is no doing without it.
    private func applyOutputLimits(_ value: String) -> String? {
        let words = value.split(separator: " ", omittingEmptySubsequences: false).map { $0.lowercased() }
        guard words.count.isMultiple(of: 4) else {
            return "Wrong number of arguments in buffer limit configuration."
        }
        let places = Array(stride(from: 0, to: words.count, by: 4))
        guard places.allSatisfy({ ["normal", "slave", "replica", "pubsub"].contains(words[$0]) }) else {
            return "Invalid client class specified in buffer limit configuration."
        }
        for place in places {
            guard let hard = Self.bytes(words[place + 1]), let soft = Self.bytes(words[place + 2]),
                Int(words[place + 3]) != nil
            else { return "Error in hard, soft or soft_seconds setting in buffer limit configuration." }
            if words[place] != "normal" { continue }
            guard soft == 0 else { return "Martlet has no soft limit: it must be 0" }
            if let text = applyOutputMax("\(hard)") { return text }
        }
        return nil
    }

    /// Redis's words for Martlet's levels.
    private static let redisLogLevels = [
        "debug": "debug", "info": "notice", "warn": "warning", "error": "warning",
    ]

    private func applyLogLevel(_ name: String, _ value: String) -> String? {
        let isOwn = name.contains(".")
        let words =
            isOwn ? ["debug", "info", "warn", "error"] : ["debug", "verbose", "notice", "warning"]
        guard let index = words.firstIndex(of: value.lowercased()) else {
            return "argument(s) must be one of the following: \(words.joined(separator: ", "))"
        }
        logLevel?.set(isOwn ? words[index] : ["debug", "debug", "info", "warn"][index])
        return nil
    }

    /// A size as Redis or cluster.yaml writes it.
    private static func bytes(_ text: String) -> Int? {
        let digits = text.prefix { ("0"..."9").contains($0) }
        let factor: Int? =
            switch text.dropFirst(digits.count).lowercased() {
            case "", "b": 1
            case "k": 1_000
            case "kb", "kib": 1 << 10
            case "m": 1_000_000
            case "mb", "mib": 1 << 20
            case "g": 1_000_000_000
            case "gb", "gib": 1 << 30
            default: nil
            }
        guard let factor, let number = Int(digits) else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : product
    }
}
