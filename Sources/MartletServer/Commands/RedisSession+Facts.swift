import MartletBase
import MartletNode
import MartletRESP
import MartletVersions

/// TYPE, OBJECT, MEMORY USAGE: what a value is like.
extension RedisSession {
    /// TYPE.
    func type(_ request: Request) {
        guard let key = key(request[1]) else { return }
        startFact(key)
    }

    /// OBJECT ENCODING, FREQ, IDLETIME, REFCOUNT.
    func object(_ request: Request) {
        guard let key = key(request[2]) else { return }
        startFact(key)
    }

    func memoryUsage(_ request: Request) {
        var index = 3
        while index < request.count {
            guard equalsIgnoringCase(request[index], "SAMPLES"), index + 1 < request.count else {
                return refuseSyntax()
            }
            guard let samples = integer(request[index + 1]) else { return }
            if samples < 0 { return refuseSyntax() }
            index += 2
        }
        guard let key = key(request[2]) else { return }
        startFact(key)
    }

    private func startFact(_ key: Blob) {
        enqueue(.fact)
        start(request(key, .get, level: readLevel))
    }

    private static let encodings = ["int", "embstr", "raw"]

    /// The answer as a number; -1 when there is no live value.
    func fact(_ record: Blob?, code: CommandCode, key: Blob) -> Int64 {
        guard let record, let live = live(record) else { return -1 }
        switch code {
        case .type, .objectFreq: return 0
        case .objectRefCount: return 1
        case .objectIdleTime:
            return max(0, (backend.now.wall.milliseconds - live.stamp.time.milliseconds) / 1_000)
        case .objectEncoding:
            // As Redis stores what SET gives it.
            if parseInteger(live.value(in: record.span)) != nil { return 0 }
            return live.valueLength <= 44 ? 1 : 2
        case .memoryUsage: return Int64(key.count + live.valueLength + Limits.recordOverheadMax)
        default: invariantBroken("\(code) asks for no fact")
        }
    }

    func writeFact(_ command: PendingCommand) {
        let number = command.number
        switch table.entries[Int(command.row)].code {
        case .type: number < 0 ? writer.simpleString("none") : writer.simpleString("string")
        case .objectEncoding where number >= 0: writer.bulk(Self.encodings[Int(number)])
        case .objectFreq where number >= 0:
            writer.error(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
                    + "when switching between policies at runtime LRU and LFU data will take some time to "
                    + "adjust.")
        default: number < 0 ? writer.null() : writer.integer(number)
        }
    }
}
