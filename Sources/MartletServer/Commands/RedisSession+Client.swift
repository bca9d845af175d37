import MartletBase
import MartletRESP

/// CLIENT and its subcommands.
extension RedisSession {
    func clientGetName() {
        let name = name
        answer { name.isEmpty ? $0.null() : $0.bulk(name) }
    }

    func clientSetName(_ request: Request) {
        guard let newName = validName(request[2]) else { return }
        name = newName
        answerOK()
    }

    /// Nil when a name can't be shown in a line of CLIENT LIST, which is then answered.
    func validName(_ argument: RawSpan) -> Blob? {
        let isValid = isShowable(argument)
        guard isValid, argument.byteCount <= Limits.clientNameBytesMax else {
            refuse("ERR Client names cannot contain spaces, newlines or special characters.")
            return nil
        }
        return Blob(copying: argument)
    }

    private func isShowable(_ argument: RawSpan) -> Bool {
        argument.withUnsafeBytes { $0.allSatisfy { (0x21...0x7E).contains($0) } }
    }

    func clientSetInfo(_ request: Request) {
        let isName = equalsIgnoringCase(request[2], "LIB-NAME")
        guard isName || equalsIgnoringCase(request[2], "LIB-VER") else {
            return refuse(
                Array("ERR Unrecognized option '".utf8) + cText(request[2]) + Array("'".utf8))
        }
        guard isShowable(request[3]), request[3].byteCount <= Limits.clientNameBytesMax else {
            let what = isName ? "lib-name" : "lib-ver"
            return refuse("ERR \(what) cannot contain spaces, newlines or special characters.")
        }
        let value = Blob(copying: request[3])
        if isName { libraryName = value } else { libraryVersion = value }
        answerOK()
    }

    func clientInfo() {
        let line = line + "\n"
        answer { $0.verbatim(Blob(line)) }
    }

    func clientList(_ request: Request) {
        var chosen = server.sessions
        if request.count > 2 {
            if equalsIgnoringCase(request[2], "TYPE"), request.count == 4 {
                guard let isNormal = isNormalType(request[3]) else { return }
                if !isNormal { chosen = [] }
            } else if equalsIgnoringCase(request[2], "ID"), request.count > 3 {
                var ids: Set<UInt64> = []
                for index in 3..<request.count {
                    guard let id = parseInteger(request[index]), id > 0 else {
                        return refuse("ERR Invalid client ID")
                    }
                    ids.insert(UInt64(id))
                }
                chosen = chosen.filter { ids.contains($0.id) }
            } else {
                return refuseSyntax()
            }
        }
        let lines = chosen.map { $0.line + "\n" }.joined()
        answer { $0.verbatim(Blob(lines)) }
    }

    /// Whether clients of this type are what all clients are here; nil for no type, which is then answered.
    private func isNormalType(_ argument: RawSpan) -> Bool? {
        let type = text(argument)
        switch type.lowercased() {
        case "normal": return true
        case "master", "replica", "slave", "pubsub": return false
        default:
            refuse("ERR Unknown client type '\(type)'")
            return nil
        }
    }

    /// As CLIENT LIST shows a client: Redis's fields, zero where there is nothing of the kind.
    private var line: String {
        let now = backend.now.monotonic
        let rowName = row < 0 ? "NULL" : table.rows[row].name
        let fields: [(String, String)] = [
            ("id", "\(id)"), ("addr", peer), ("laddr", local), ("fd", "\(id)"), ("name", name.description),
            ("age", "\((now - began).milliseconds / 1_000)"),
            ("idle", "\((now - lastActive).milliseconds / 1_000)"),
            ("flags", isEvictable ? "N" : "e"),
            ("db", "\(server.place(of: keyspace, near: keyspaceIndex) ?? keyspaceIndex)"), ("sub", "0"),
            ("psub", "0"),
            ("ssub", "0"), ("multi", "-1"), ("qbuf", "0"), ("qbuf-free", "0"),
            ("argv-mem", "0"), ("multi-mem", "0"), ("rbs", "0"), ("rbp", "0"), ("obl", "\(unsentBytes)"),
            ("oll", "\(commands.count)"), ("omem", "\(heldBytes)"), ("tot-mem", "0"), ("events", "r"),
            ("cmd", rowName), ("user", "default"), ("redir", "-1"), ("resp", "\(writer.version.rawValue)"),
            ("lib-name", libraryName.description), ("lib-ver", libraryVersion.description),
        ]
        return fields.map { "\($0)=\($1)" }.joined(separator: " ")
    }

    func clientKill(_ request: Request) {
        if request.count == 3 {
            let address = text(request[2])
            guard let victim = server.sessions.first(where: { $0.peer == address }) else {
                return refuse("ERR No such client")
            }
            return kill([victim]) { $0.ok() }
        }
        guard let filter = KillFilter(self, request) else { return }
        let victims = server.sessions.filter { filter.matches($0, of: self) }
        kill(victims) { $0.integer(victims.count) }
    }

    /// A client that kills itself still gets its reply.
    private func kill(_ victims: [RedisSession], _ reply: (inout ReplyWriter) -> Void) {
        for victim in victims where victim !== self { victim.cut() }
        answer(reply)
        if victims.contains(where: { $0 === self }) { finishAfterReplies() }
    }

    func clientReply(_ request: Request) {
        if equalsIgnoringCase(request[2], "ON") {
            isReplyOff = false
            isMuted = false
            answerOK()
        } else if equalsIgnoringCase(request[2], "OFF") {
            isReplyOff = true
            isMuted = true
            answerOK()
        } else if equalsIgnoringCase(request[2], "SKIP") {
            if !isReplyOff { skipsNextReply = true }
            isMuted = true
            answerOK()
        } else {
            refuseSyntax()
        }
    }

    /// NO-EVICT and NO-TOUCH: nothing is evicted here, so both only remember what they were told.
    func clientSwitch(_ code: CommandCode, _ request: Request) {
        let isOn = equalsIgnoringCase(request[2], "ON")
        guard isOn || equalsIgnoringCase(request[2], "OFF") else { return refuseSyntax() }
        if code == .clientNoEvict { isEvictable = !isOn }
        answerOK()
    }
}

/// Which clients CLIENT KILL means, in its newer form.
private struct KillFilter {
    private var id: UInt64?
    private var peer: String?
    private var local: String?
    private var isNormal = true
    private var skipsSelf = true

    /// Nil when the options make no sense, which the session then answers.
    init?(_ session: RedisSession, _ request: Request) {
        for index in stride(from: 2, to: request.count, by: 2) {
            guard index + 1 < request.count else {
                session.refuseSyntax()
                return nil
            }
            let value = session.text(request[index + 1])
            switch session.text(request[index]).uppercased() {
            case "ID":
                guard let number = parseInteger(request[index + 1]), number > 0 else {
                    session.refuse("ERR client-id should be greater than 0")
                    return nil
                }
                id = UInt64(number)
            case "ADDR": peer = value
            case "LADDR": local = value
            case "TYPE":
                switch value.lowercased() {
                case "normal": isNormal = true
                case "master", "replica", "slave", "pubsub": isNormal = false
                default:
                    session.refuse("ERR Unknown client type '\(value)'")
                    return nil
                }
            case "USER":
                guard value == "default" else {
                    session.refuse("ERR No such user '\(value)'")
                    return nil
                }
            case "SKIPME":
                switch value.lowercased() {
                case "yes": skipsSelf = true
                case "no": skipsSelf = false
                default:
                    session.refuseSyntax()
                    return nil
                }
            default:
                session.refuseSyntax()
                return nil
            }
        }
    }

    func matches(_ session: RedisSession, of killer: RedisSession) -> Bool {
        isNormal && (id == nil || id == session.id) && (peer == nil || peer == session.peer)
            && (local == nil || local == session.local) && !(skipsSelf && session === killer)
    }
}
