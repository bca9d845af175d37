import MartletBase
import MartletNode
import MartletRESP
import MartletVersions

/// SETEX, PSETEX, GETSET, GETDEL, GETEX, APPEND, GETRANGE, SETRANGE, STRLEN.
extension RedisSession {
    /// SETEX, PSETEX.
    func setWithExpiry(_ code: CommandCode, _ request: Request) {
        guard let key = key(request[1]), let value = value(request[3]), let number = integer(request[2])
        else { return }
        let given = GivenExpiry(number: number, isInSeconds: code == .setEx, isAbsolute: false)
        guard let expiry = absoluteExpiry(given) else { return }
        enqueue(.ok)
        start(self.request(key, .put(Put(.value(value, expiry: expiry))), level: writeLevel))
    }

    func getSet(_ request: Request) {
        guard let key = key(request[1]), let value = value(request[2]) else { return }
        replace(key, .value, Replacement(content: .value(value), expiry: defaultExpiry))
    }

    func getDel(_ request: Request) {
        guard let key = key(request[1]) else { return }
        replace(key, .value, Replacement(content: .removed))
    }

    func append(_ request: Request) {
        guard let key = key(request[1]), let value = value(request[2]) else { return }
        replace(
            key, .number,
            Replacement(content: .appended(value), expiry: defaultExpiry, keepsExpiry: true))
    }

    func setRange(_ request: Request) {
        guard let offset = integer(request[2]) else { return }
        guard offset >= 0 else { return refuse("ERR offset is out of range") }
        guard let key = key(request[1]), let value = value(request[3]) else { return }
        if value.isEmpty {
            // Nothing is written: the answer is the length as it is.
            enqueue(.number)
            return start(self.request(key, .get, level: readLevel))
        }
        let (length, overflow) = Int(offset).addingReportingOverflow(value.count)
        if let text = refusal(length: overflow ? .max : length, key: key) { return refuse(text) }
        replace(
            key, .number,
            Replacement(
                content: .overlaid(value, offset: Int(offset)), expiry: defaultExpiry, keepsExpiry: true))
    }

    private func replace(_ key: Blob, _ shape: PendingCommand.Shape, _ replacement: Replacement) {
        enqueue(shape)
        start(.replace(replacement), request(key, .get, level: readLevel), writeLevel: writeLevel)
    }

    /// GETRANGE, SUBSTR.
    func getRange(_ request: Request) {
        guard let first = integer(request[2]), let last = integer(request[3]), let key = key(request[1])
        else { return }
        enqueue(.part)
        start(
            .part(ValuePart(first: first, last: last)), self.request(key, .get, level: readLevel))
    }

    func strlen(_ request: Request) {
        guard let key = key(request[1]) else { return }
        enqueue(.number)
        start(self.request(key, .get, level: readLevel))
    }

    func getEx(_ request: Request) {
        guard request.count > 2 else { return get(request) }
        guard let options = expiryOptions(request, from: 2, of: .getEx), let key = key(request[1])
        else { return }
        var change = ExpiryChange(expiry: nil)
        if let given = options.expiry {
            switch given.expiry(now: backend.now.wall, of: "getex") {
            case .at(let milliseconds): change.expiry = milliseconds
            case .refused(let text): change.refusal = text
            }
        }
        enqueue(.value)
        start(.expire(change), self.request(key, .get, level: readLevel), writeLevel: writeLevel)
    }
}
