import MartletBase
import MartletNode
import MartletRESP
import MartletRing
import MartletVersions

/// GET, SET, MGET, MSET.
extension RedisSession {
    func get(_ request: Request) {
        guard let key = key(request[1]) else { return }
        enqueue(.value)
        start(self.request(key, .get, level: readLevel))
    }

    func set(_ request: Request) {
        guard request.count > 3 else { return setPlain(request) }
        guard let options = expiryOptions(request, from: 3, of: .set), let key = key(request[1]),
            let value = value(request[2])
        else { return }
        var expiry = defaultExpiry
        if let given = options.expiry {
            guard let milliseconds = absoluteExpiry(given) else { return }
            expiry = milliseconds
        }
        if let condition = options.condition {
            return refuse(
                "ERR SET \(condition) needs agreement among replicas, which this version does not have")
        }
        if options.keepsExpiry || options.getsPrevious {
            enqueue(options.getsPrevious ? .value : .ok)
            let replacement = Replacement(
                content: .value(value), expiry: expiry, keepsExpiry: options.keepsExpiry)
            return start(
                .replace(replacement), self.request(key, .get, level: readLevel), writeLevel: writeLevel)
        }
        enqueue(.ok)
        start(self.request(key, .put(Put(.value(value, expiry: expiry))), level: writeLevel))
    }

    private func setPlain(_ request: Request) {
        guard let key = key(request[1]), let value = value(request[2]) else { return }
        enqueue(.ok)
        start(self.request(key, .put(Put(.value(value, expiry: defaultExpiry))), level: writeLevel))
    }

    func mget(_ request: Request) {
        guard let keys = keys(request, step: 1) else { return }
        let parts = CommandParts(keys: keys)
        parts.records = Array(repeating: nil, count: keys.count)
        startAll(.values, parts, template(.read))
    }

    func mset(_ request: Request) {
        guard request.count.isMultiple(of: 2) == false else {
            return refuse("ERR wrong number of arguments for 'mset' command")
        }
        guard let keys = keys(request, step: 2) else { return }
        var values: [Blob] = []
        values.reserveCapacity(keys.count)
        for index in stride(from: 2, to: request.count, by: 2) {
            guard let value = value(request[index]) else { return }
            values.append(value)
        }
        startAll(.ok, CommandParts(keys: keys, values: values), template(.write(expiry: defaultExpiry)))
    }

    /// The arguments from 1 on, each `step`th; nil when one is too long, which is then answered.
    func keys(_ request: Request, step: Int) -> [Blob]? {
        var keys: [Blob] = []
        keys.reserveCapacity((request.count - 1) / step)
        for index in stride(from: 1, to: request.count, by: step) {
            guard let key = key(request[index]) else { return nil }
            keys.append(key)
        }
        return keys
    }

    func template(_ kind: OperationTemplate.Kind) -> OperationTemplate {
        OperationTemplate(kind: kind, keyspace: keyspace, readLevel: readLevel, writeLevel: writeLevel)
    }

    // MARK: Expiries

    /// Of values that don't say theirs: the keyspace's.
    var defaultExpiry: Int64? {
        let ttl = server.timeToLive(keyspace, near: keyspaceIndex)
        if ttl == .zero { return nil }
        return backend.now.wall.milliseconds + max(1, ttl.milliseconds)
    }

    /// In milliseconds since 1970, by the rules of SET; nil when it can't be, which is then answered.
    func absoluteExpiry(_ given: GivenExpiry) -> Int64? {
        switch given.expiry(now: backend.now.wall, of: table.rows[row].name) {
        case .at(let milliseconds): return milliseconds
        case .refused(let text):
            refuse(text)
            return nil
        }
    }

    // MARK: Options

    struct SetOptions {
        var expiry: GivenExpiry?
        var keepsExpiry = false
        var getsPrevious = false
        /// NX or XX.
        var condition: String?
    }

    /// The options of SET and of GETEX; nil when they make no sense, which is then answered.
    func expiryOptions(_ request: Request, from start: Int, of code: CommandCode) -> SetOptions? {
        var options = SetOptions()
        var expiryWord: String?
        var persists = false
        var expiryIndex = 0
        var index = start
        while index < request.count {
            let word = text(request[index]).uppercased()
            switch word {
            case "NX" where code == .set && options.condition != "XX",
                "XX" where code == .set && options.condition != "NX":
                options.condition = word
            case "GET" where code == .set: options.getsPrevious = true
            case "KEEPTTL" where code == .set && expiryWord == nil: options.keepsExpiry = true
            case "PERSIST" where code == .getEx && expiryWord == nil: persists = true
            case "EX", "PX", "EXAT", "PXAT":
                guard !options.keepsExpiry, !persists, expiryWord == nil || expiryWord == word,
                    index + 1 < request.count
                else {
                    refuseSyntax()
                    return nil
                }
                expiryWord = word
                index += 1
                expiryIndex = index
            default:
                refuseSyntax()
                return nil
            }
            index += 1
        }
        if let expiryWord {
            options.expiry = GivenExpiry(
                number: parseInteger(request[expiryIndex]), isInSeconds: expiryWord.hasPrefix("E"),
                isAbsolute: expiryWord.hasSuffix("AT"))
        }
        return options
    }
}
