import MartletBase
import MartletNode
import MartletRESP
import MartletRing
import MartletVersions

/// CONSISTENCY, VGET, VSET, VDEL: what Redis lacks.
extension RedisSession {
    func consistency(_ request: Request) {
        switch request.count {
        case 1:
            let definition = server.keyspace(keyspace, near: keyspaceIndex)
            let read = readLevel ?? definition?.read ?? .quorum
            let write = writeLevel ?? definition?.write ?? .quorum
            answer { writer in
                writer.fields(count: 2)
                writer.field("read") { $0.bulk(read.description) }
                writer.field("write") { $0.bulk(write.description) }
            }
        case 2 where equalsIgnoringCase(request[1], "DEFAULT"):
            readLevel = nil
            writeLevel = nil
            answerOK()
        case 2:
            guard let level = level(request[1], forReads: true) else { return }
            readLevel = level
            writeLevel = level
            answerOK()
        case 3:
            guard let read = level(request[1], forReads: true),
                let write = level(request[2], forReads: false)
            else { return }
            readLevel = read
            writeLevel = write
            answerOK()
        default: refuse("ERR wrong number of arguments for 'consistency' command")
        }
    }

    /// Nil when the argument names no level, or not one for reads; which is then answered.
    private func level(_ argument: RawSpan, forReads: Bool) -> ConsistencyLevel? {
        let name = text(argument)
        guard let level = ConsistencyLevel(name), !(forReads && level.isForWritesOnly) else {
            refuse(FailureText.badLevel(name, forReads: forReads))
            return nil
        }
        return level
    }

    func vget(_ request: Request) {
        guard let options = VersionOptions(self, request, from: 2, of: .vget), let key = key(request[1])
        else {
            return
        }
        let parts = CommandParts(keys: [key])
        parts.showsMeta = options.isGiven(.meta)
        enqueue(.versions, parts: parts)
        let isLocal = options.isGiven(.local)
        start(
            self.request(
                key, isLocal ? .getLocal : .get, level: isLocal ? nil : options.level ?? readLevel,
                timeout: options.timeout))
    }

    func vset(_ request: Request) {
        guard let options = VersionOptions(self, request, from: 3, of: .vset), let key = key(request[1]),
            let value = value(request[2]), let given = stamps(options, key)
        else { return }
        var expiry = defaultExpiry
        if let given = options.expiry {
            guard let milliseconds = absoluteExpiry(given) else { return }
            expiry = milliseconds
        }
        let parts = CommandParts(keys: [key])
        parts.context = given.context
        enqueue(.version, parts: parts)
        let level = options.level ?? writeLevel
        if options.isGiven(.keepTTL) {
            let replacement = Replacement(
                content: .value(value), expiry: expiry, keepsExpiry: true, above: given.above,
                context: given.context, version: given.version)
            start(
                .replace(replacement),
                self.request(key, .get, level: readLevel, timeout: options.timeout), writeLevel: level)
        } else {
            let put = Put(
                .value(value, expiry: expiry), above: given.above, context: given.context ?? .empty,
                version: given.version)
            start(self.request(key, .put(put), level: level, timeout: options.timeout))
        }
    }

    func vdel(_ request: Request) {
        guard let options = VersionOptions(self, request, from: 2, of: .vdel), let key = key(request[1]),
            let given = stamps(options, key)
        else { return }
        let parts = CommandParts(keys: [key])
        parts.context = given.context
        enqueue(.version, parts: parts)
        if keepsSiblings, !options.isGiven(.context) {
            // Without a context it deletes what a read finds, as DEL does.
            return start(
                .delete, self.request(key, .get, level: readLevel, timeout: options.timeout),
                writeLevel: options.level ?? writeLevel)
        }
        let put = Put(
            .tombstone, above: given.above, context: given.context ?? .empty, version: given.version)
        start(
            self.request(key, .put(put), level: options.level ?? writeLevel, timeout: options.timeout))
    }

    /// CONTEXT and VERSION, decoded; nil when one is refused, which is then answered.
    private func stamps(_ options: VersionOptions, _ key: Blob) -> GivenVersions? {
        // A stamp issued by now is ahead of this clock by the clocks' skew at most, and by what a node that
        // restarted with its clock set back must keep above.
        let latest = HybridTime(
            backend.now.wall + server.settings.clockSkewMax * 2 + HybridClock.reserveAhead
                + HybridClock.reserveMargin)
        func decode(_ token: Blob?) throws(VersionToken.Refusal) -> Stamp? {
            guard let token else { return nil }
            return try VersionToken.decode(token.span, key: key.span, latest: latest)
        }
        do {
            var given = GivenVersions(version: try decode(options.version))
            if keepsSiblings {
                given.context = .empty
                if let context = options.context {
                    given.context = try VersionToken.decodeContext(
                        context.span, key: key.span, latest: latest)
                }
            } else {
                given.above = try decode(options.context)
            }
            return given
        } catch {
            refuse(FailureText.badContext(error))
            return nil
        }
    }

    /// Whether the selected keyspace keeps concurrent versions.
    private var keepsSiblings: Bool {
        server.keyspace(keyspace, near: keyspaceIndex)?.conflict == .siblings
    }

    /// Used by `VersionOptions`.
    func levelOption(_ argument: RawSpan, forReads: Bool) -> ConsistencyLevel? {
        level(argument, forReads: forReads)
    }
}

/// What CONTEXT and VERSION have said.
private struct GivenVersions {
    var above: Stamp?
    /// Of siblings; empty when none was given.
    var context: CausalContext?
    var version: Stamp?
}

/// The options of VGET, VSET and VDEL.
struct VersionOptions {
    enum Option: String, CaseIterable {
        case consistency = "CONSISTENCY"
        case timeout = "TIMEOUT"
        case local = "LOCAL"
        case meta = "META"
        case context = "CONTEXT"
        case version = "VERSION"
        case ex = "EX"
        case px = "PX"
        case exAt = "EXAT"
        case pxAt = "PXAT"
        case keepTTL = "KEEPTTL"

        var isExpiry: Bool { [.ex, .px, .exAt, .pxAt, .keepTTL].contains(self) }
        var takesArgument: Bool { ![.local, .meta, .keepTTL].contains(self) }

        func isAllowed(_ code: CommandCode) -> Bool {
            switch self {
            case .consistency, .timeout: true
            case .local, .meta: code == .vget
            case .context, .version: code != .vget
            case .ex, .px, .exAt, .pxAt, .keepTTL: code == .vset
            }
        }
    }

    private(set) var level: ConsistencyLevel?
    private(set) var timeout: Interval?
    private(set) var context: Blob?
    private(set) var version: Blob?
    private(set) var expiry: GivenExpiry?
    private var given: Set<Option> = []

    func isGiven(_ option: Option) -> Bool { given.contains(option) }

    /// Nil when they make no sense, which the session then answers.
    init?(_ session: RedisSession, _ request: Request, from start: Int, of code: CommandCode) {
        var index = start
        while index < request.count {
            guard let option = Option(rawValue: session.text(request[index]).uppercased()),
                option.isAllowed(code), given.insert(option).inserted,
                !option.takesArgument || index + 1 < request.count
            else {
                session.refuseSyntax()
                return nil
            }
            index += 1
            if option.takesArgument {
                guard take(option, request[index], session, code) else { return nil }
                index += 1
            }
        }
        if given.filter(\.isExpiry).count > 1 || given.isSuperset(of: [.local, .consistency]) {
            session.refuseSyntax()
            return nil
        }
    }

    private mutating func take(
        _ option: Option, _ argument: RawSpan, _ session: RedisSession, _ code: CommandCode
    ) -> Bool {
        switch option {
        case .consistency:
            level = session.levelOption(argument, forReads: code == .vget)
            return level != nil
        case .timeout:
            guard let number = parseInteger(argument), number > 0,
                number <= Limits.clientTimeoutMax.milliseconds
            else {
                session.refuse("ERR timeout is not an integer or out of range")
                return false
            }
            timeout = .milliseconds(number)
        case .context: context = Blob(copying: argument)
        case .version: version = Blob(copying: argument)
        case .ex, .px, .exAt, .pxAt:
            guard let number = session.integer(argument) else { return false }
            expiry = GivenExpiry(
                number: number, isInSeconds: option == .ex || option == .exAt,
                isAbsolute: option == .exAt || option == .pxAt)
        case .local, .meta, .keepTTL: break
        }
        return true
    }
}
