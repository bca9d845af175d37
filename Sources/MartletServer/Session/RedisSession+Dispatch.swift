import MartletBase
import MartletNode
import MartletRESP

/// From a request to the code that carries it out.
extension RedisSession {
    func execute(_ request: Request) {
        isMuted = isReplyOff || skipsNextReply
        skipsNextReply = false
        guard let command = table.row(request[0]) else {
            row = CommandCounters.noRow
            return endHTTP(request) ? () : refuse(unknownCommand(request))
        }
        row = command
        let entry = table.entries[command]
        if entry.hasSubcommands, request.count > 1 {
            guard let subcommand = table.row(ofSubcommand: request[1], of: command) else {
                return refuse(unknownSubcommand(request))
            }
            row = subcommand
        }
        let chosen = table.entries[row]
        guard chosen.takes(request.count) else {
            server.counters.countRejected(row)
            if endHTTP(request) { return }
            return refuse("ERR wrong number of arguments for '\(table.rows[row].name)' command")
        }
        switch chosen.code {
        case .get: get(request)
        case .set: set(request)
        default: executeOther(chosen.code, request)
        }
    }

    private func executeOther(_ code: CommandCode, _ request: Request) {
        switch code {
        case .get, .set: break
        case .mget: mget(request)
        case .mset: mset(request)
        case .del: del(request)
        case .exists: exists(request)
        case .ttl, .pttl, .expireTime, .pexpireTime: timeToLive(request)
        case .expire, .pexpire, .expireAt, .pexpireAt: expire(code, request)
        case .persist: persist(request)
        case .consistency: consistency(request)
        case .vget: vget(request)
        case .vset: vset(request)
        case .vdel: vdel(request)
        case .refused: refuse("ERR \(table.rows[row].note)")
        default: executeOnStrings(code, request)
        }
    }

    private func executeOnStrings(_ code: CommandCode, _ request: Request) {
        switch code {
        case .setEx, .psetEx: setWithExpiry(code, request)
        case .getSet: getSet(request)
        case .getDel: getDel(request)
        case .getEx: getEx(request)
        case .append: append(request)
        case .getRange: getRange(request)
        case .setRange: setRange(request)
        case .strlen: strlen(request)
        case .type: type(request)
        case .objectEncoding, .objectFreq, .objectIdleTime, .objectRefCount: object(request)
        case .memoryUsage: memoryUsage(request)
        case .scan: scan(request)
        case .keys: keys(request)
        case .databaseSize: databaseSize()
        case .randomKey: randomKey()
        case .flushDatabase, .flushAll: flush(code, request)
        default: executeAboutConnection(code, request)
        }
    }

    private func executeAboutConnection(_ code: CommandCode, _ request: Request) {
        switch code {
        case .ping: ping(request)
        case .echo: echo(request)
        case .hello: hello(request)
        case .auth: auth(request)
        case .quit: quit()
        case .reset: reset()
        case .select: select(request)
        case .clientID: answerNumber(Int64(id))
        case .clientGetName: clientGetName()
        case .clientSetName: clientSetName(request)
        case .clientSetInfo: clientSetInfo(request)
        case .clientInfo: clientInfo()
        case .clientList: clientList(request)
        case .clientKill: clientKill(request)
        case .clientReply: clientReply(request)
        case .clientNoEvict, .clientNoTouch: clientSwitch(code, request)
        default: executeAboutServer(code, request)
        }
    }

    private func executeAboutServer(_ code: CommandCode, _ request: Request) {
        switch code {
        case .command: commandAll()
        case .commandCount: answerNumber(Int64(table.commands.count))
        case .commandInfo: commandInfo(request)
        case .commandDocs: commandDocs(request)
        case .commandList: commandList(request)
        case .commandGetKeys, .commandGetKeysAndFlags: commandGetKeys(code, request)
        case .clientHelp, .commandHelp, .configHelp, .objectHelp, .memoryHelp: help(of: row)
        case .time: time()
        case .wait: wait(request)
        case .configGet: configGet(request)
        case .configSet: configSet(request)
        case .configResetStat: configResetStat()
        case .info: info(request)
        case .martletStatus: martletStatus()
        case .martletRing: martletRing(request)
        case .martletHints: martletHints()
        case .martletRepair: martletRepair(request)
        case .martletNode: martletNode(request)
        case .martletKeyspace: martletKeyspace(request)
        case .martletMetrics: martletMetrics()
        case .martletHelp: martletHelp(request)
        case .clusterSlots, .clusterShards, .clusterNodes, .clusterInfo, .clusterMyID, .clusterKeySlot,
            .clusterLinks, .clusterCountKeys, .clusterGetKeys, .clusterReplicas, .clusterHelp,
            .clusterRefused,
            .clusterSwitch:
            cluster(code, request)
        default: invariantBroken("\(table.rows[row].name) has nothing that carries it out")
        }
    }

    // MARK: Errors of Redis

    /// Redis 7.0's sentence, with the first 128 bytes of the arguments. As C strings end at a NUL, so do
    /// they.
    private func unknownCommand(_ request: Request) -> [UInt8] {
        let partMax = 128
        var arguments: [UInt8] = []
        var index = 1
        while index < request.count, arguments.count < partMax {
            arguments += "'".utf8
            arguments += cString(request[index], max: partMax - (arguments.count - 1))
            arguments += "' ".utf8
            index += 1
        }
        return "ERR unknown command '".utf8 + cString(request[0], max: partMax)
            + Array("', with args beginning with: ".utf8) + arguments
    }

    private func unknownSubcommand(_ request: Request) -> [UInt8] {
        Array("ERR unknown subcommand '".utf8) + cString(request[1], max: 128)
            + Array("'. Try \(table.rows[row].name.uppercased()) HELP.".utf8)
    }

    func cString(_ bytes: RawSpan, max: Int) -> [UInt8] {
        bytes.withUnsafeBytes { Array($0.prefix(max).prefix { $0 != 0 }) }
    }

    /// A request with an argument that is too long to be held.
    func refuseOversized(_ request: OversizedRequest) {
        isMuted = isReplyOff || skipsNextReply
        skipsNextReply = false
        row = request.command.flatMap { table.row($0.span) } ?? CommandCounters.noRow
        switch request.subject {
        case .request:
            refuse(FailureText.tooLarge("request", bytes: request.bytes, max: request.bytesMax))
        case .argument(let index):
            let positions = row < 0 ? [] : table.rows[row].keys.positions(count: index + 1)
            let isKey = positions.contains(index)
            refuse(
                FailureText.tooLarge(
                    isKey ? "key" : "value", bytes: request.bytes,
                    max: isKey ? server.settings.keyBytesMax : server.settings.valueBytesMax,
                    key: isKey ? nil : request.key))
        }
    }

    // MARK: Arguments

    /// The argument as a key of its own; nil when it is too long, which is then answered.
    func key(_ argument: RawSpan) -> Blob? {
        let max = server.settings.keyBytesMax
        guard argument.byteCount <= max else {
            refuse(FailureText.tooLarge("key", bytes: argument.byteCount, max: max))
            return nil
        }
        return Blob(copying: argument)
    }

    /// The argument as a value; nil when it is too long, which is then answered.
    func value(_ argument: RawSpan) -> Blob? {
        let max = server.settings.valueBytesMax
        guard argument.byteCount <= max else {
            refuse(FailureText.tooLarge("value", bytes: argument.byteCount, max: max))
            return nil
        }
        return Blob(copying: argument)
    }

    /// The argument as a number; nil when it is none, which is then answered.
    func integer(_ argument: RawSpan) -> Int64? {
        guard let number = parseInteger(argument) else {
            refuse("ERR value is not an integer or out of range")
            return nil
        }
        return number
    }

    /// As far as C reads it, in which Redis puts its sentences together.
    func cText(_ argument: RawSpan) -> [UInt8] { cString(argument, max: argument.byteCount) }

    func text(_ argument: RawSpan) -> String {
        argument.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    func refuseSyntax() { refuse("ERR syntax error") }
    func answerOK() { answer { $0.ok() } }
    func answerNumber(_ number: Int64) { answer { $0.integer(number) } }
}
