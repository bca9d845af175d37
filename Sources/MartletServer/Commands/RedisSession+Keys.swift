import MartletBase
import MartletNode
import MartletRESP
import MartletVersions

/// DEL, EXISTS and the expiry of keys.
extension RedisSession {
    func del(_ request: Request) {
        guard let keys = keys(request, step: 1) else { return }
        startAll(.number, CommandParts(keys: keys), template(.delete))
    }

    func exists(_ request: Request) {
        guard let keys = keys(request, step: 1) else { return }
        startAll(.number, CommandParts(keys: keys), template(.read))
    }

    /// TTL, PTTL, EXPIRETIME, PEXPIRETIME: the row tells which when the record has come.
    func timeToLive(_ request: Request) {
        guard let key = key(request[1]) else { return }
        enqueue(.number)
        start(self.request(key, .get, level: readLevel))
    }

    func persist(_ request: Request) {
        guard let key = key(request[1]) else { return }
        changeExpiry(key, ExpiryChange(expiry: nil))
    }

    func expire(_ code: CommandCode, _ request: Request) {
        guard var change = expireConditions(request), let number = integer(request[2]),
            let key = key(request[1])
        else { return }
        let isInSeconds = code == .expire || code == .expireAt
        let base = code == .expireAt || code == .pexpireAt ? 0 : backend.now.wall.milliseconds
        let (scaled, overflow) =
            isInSeconds ? number.multipliedReportingOverflow(by: 1_000) : (number, false)
        guard !overflow, scaled <= Int64.max - base else {
            return refuse("ERR invalid expire time in '\(table.rows[row].name)' command")
        }
        // One that has passed expires the key at once, without reviving or removing what a later write puts
        // there.
        change.expiry = max(1, scaled + base)
        changeExpiry(key, change)
    }

    private func changeExpiry(_ key: Blob, _ change: ExpiryChange) {
        enqueue(.number)
        start(.expire(change), request(key, .get, level: readLevel), writeLevel: writeLevel)
    }

    /// NX, XX, GT, LT; nil when they make no sense, which is then answered.
    private func expireConditions(_ request: Request) -> ExpiryChange? {
        var change = ExpiryChange(expiry: nil)
        for index in 3..<max(3, request.count) {
            switch text(request[index]).uppercased() {
            case "NX": change.isOnlyIfNone = true
            case "XX": change.isOnlyIfSome = true
            case "GT": change.isOnlyIfGreater = true
            case "LT": change.isOnlyIfLess = true
            default:
                refuse(Array("ERR Unsupported option ".utf8) + cText(request[index]))
                return nil
            }
        }
        if change.isOnlyIfNone, change.isOnlyIfSome || change.isOnlyIfGreater || change.isOnlyIfLess {
            refuse("ERR NX and XX, GT or LT options at the same time are not compatible")
            return nil
        }
        if change.isOnlyIfGreater && change.isOnlyIfLess {
            refuse("ERR GT and LT options at the same time are not compatible")
            return nil
        }
        return change
    }
}
