import MartletRESP
import MartletRing

extension MartletClient {
    /// Sends a command as it is, for what has no method of its own.
    ///
    ///     let length = try await client.send("STRLEN", "a", key: "a", isRead: true)
    ///
    /// Commands that change the connection for others (`SELECT`, `CLIENT REPLY`, `CONSISTENCY`, `RESET`)
    /// don't belong here, since connections are shared.
    ///
    /// - Parameters:
    ///   - words: the command's name and its arguments.
    ///   - key: the key by which the node is chosen; nil for any node.
    ///   - isRead: whether it may be sent twice without harm. Then it is tried again like other reads.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    /// - Throws: ``MartletError/server(code:text:)`` for an error that has no case of its own, and what every
    ///   call throws.
    public func send(
        _ words: any BytesConvertible..., key: (any BytesConvertible)? = nil, isRead: Bool = false,
        within: Duration? = nil
    ) async throws(MartletError) -> Reply {
        try await send(words.map(\.martletBytes), key: key?.martletBytes, isRead: isRead, within: within)
    }

    /// The same for a command whose words are in an array.
    ///
    /// - Parameters:
    ///   - words: the command's name and its arguments; not empty.
    ///   - key: the key by which the node is chosen; nil for any node.
    ///   - isRead: whether it may be sent twice without harm. Then it is tried again like other reads.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    public func send(
        _ words: [Bytes], key: Bytes?, isRead: Bool = false, within: Duration? = nil
    ) async throws(MartletError) -> Reply {
        guard !words.isEmpty else { throw .invalidArgument("a command has a name") }
        let target = key.map { Command.Target.slot(Slot(key: $0.array.span.bytes)) } ?? .anyNode
        let command = Command(.words(words), target, isRead: isRead)
        return Reply(try await call(command, within: within))
    }

    /// What this client knows of the nodes, and what it has done.
    ///
    /// - Throws: ``MartletError/closed(_:)``, and ``MartletError/tooManyCalls(max:)`` when very many ask at
    ///   once.
    public func status() async throws(MartletError) -> ClientStatus {
        try loop.gates.questions.enter()
        let status = await withUnsafeContinuation { loop.send(.status($0)) }
        loop.gates.takeOver()
        return status
    }

    /// The cluster as one of its nodes sees it: the JSON of `MARTLET STATUS`.
    ///
    /// - Parameter within: how long the call may take in all; nil for the configuration's `callTime`.
    public func clusterStatus(within: Duration? = nil) async throws(MartletError) -> Bytes {
        guard case .bytes(let json) = try await send("MARTLET", "STATUS", isRead: true, within: within) else {
            throw .unexpectedAnswer("no text to MARTLET STATUS")
        }
        return json
    }
}
