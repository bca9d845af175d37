import MartletBase
import MartletConfig
import MartletRESP

/// PING, ECHO, HELLO, AUTH, QUIT, RESET, SELECT.
extension RedisSession {
    /// What a client that asks is told to expect.
    static let redisVersion = "7.0.15"

    func ping(_ request: Request) {
        guard request.count <= 2 else { return refuse("ERR wrong number of arguments for 'ping' command") }
        if request.count == 1 { return answer { $0.simpleString("PONG") } }
        echo(request)
    }

    func echo(_ request: Request) {
        let message = request[1]
        answer { $0.bulk(message) }
    }

    func hello(_ request: Request) {
        var version: RESPVersion?
        if request.count > 1 {
            guard let number = parseInteger(request[1]) else {
                return refuse("ERR Protocol version is not an integer or out of range")
            }
            version = UInt8(exactly: number).flatMap { RESPVersion(rawValue: $0) }
            if version == nil { return refuse("NOPROTO unsupported protocol version") }
        }
        // One after the other: what stands before a mistake is done.
        var index = 2
        while index < request.count {
            if equalsIgnoringCase(request[index], "AUTH"), index + 2 < request.count {
                guard Blob(copying: request[index + 1]) == Self.defaultUser else {
                    return refuse(Self.wrongPassword)
                }
                index += 3
            } else if equalsIgnoringCase(request[index], "SETNAME"), index + 1 < request.count {
                guard let newName = validName(request[index + 1]) else { return }
                name = newName
                index += 2
            } else {
                return refuse(
                    Array("ERR Syntax error in HELLO option '".utf8) + cText(request[index])
                        + Array("'".utf8))
            }
        }
        if let version { writer.version = version }
        let (id, version_, mode) = (Int64(id), writer.version, face.mode)
        answer { writer in
            writer.map(count: 7)
            for (name, value) in [("server", "redis"), ("version", Self.redisVersion)] {
                writer.bulk(name)
                writer.bulk(value)
            }
            writer.bulk("proto")
            writer.integer(Int64(version_.rawValue))
            writer.bulk("id")
            writer.integer(id)
            for (name, value) in [("mode", mode), ("role", "master")] {
                writer.bulk(name)
                writer.bulk(value)
            }
            writer.bulk("modules")
            writer.array(count: 0)
        }
    }

    private static let defaultUser = Blob("default")
    private static let wrongPassword = "WRONGPASS invalid username-password pair or user is disabled."

    /// As Redis without a password answers: its user `default` takes any.
    func auth(_ request: Request) {
        switch request.count {
        case 2:
            refuse(
                "ERR AUTH <password> called without any password configured for the default user. "
                    + "Are you sure your configuration is correct?")
        case 3 where Blob(copying: request[1]) == Self.defaultUser: answerOK()
        case 3: refuse(Self.wrongPassword)
        default: refuseSyntax()
        }
    }

    func quit() {
        answerOK()
        finishAfterReplies()
    }

    func reset() {
        writer.version = .two
        isReplyOff = false
        isMuted = false
        name = .empty
        readLevel = nil
        writeLevel = nil
        selectKeyspace(0)
        answer { $0.simpleString("RESET") }
    }

    /// An index, or a keyspace's name.
    func select(_ request: Request) {
        server.readKeyspaces()
        if let number = parseInteger(request[1]), Int64(Int32.min)...Int64(Int32.max) ~= number {
            // A Redis Cluster has one database.
            guard face == .single || number == 0 else {
                return refuse("ERR SELECT is not allowed in cluster mode")
            }
            guard (0..<Int64(server.keyspaces.count)).contains(number) else {
                return refuse("ERR DB index is out of range")
            }
            selectKeyspace(Int(number))
            return answerOK()
        }
        let name = text(request[1])
        guard let index = server.keyspaces.firstIndex(where: { $0.name == name }) else {
            // What can't be a name is taken for a number gone wrong, as Redis takes it.
            return refuse(
                NameRule.keyspace.accepts(name)
                    ? FailureText.unknownKeyspace(name, known: server.keyspaces.map(\.name))
                    : "ERR value is not an integer or out of range")
        }
        selectKeyspace(index)
        answerOK()
    }

    private func selectKeyspace(_ index: Int) {
        keyspaceIndex = index
        keyspace = server.keyspaces[index].id
    }
}
