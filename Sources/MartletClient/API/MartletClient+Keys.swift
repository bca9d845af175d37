import MartletRESP

extension MartletClient {
    // MARK: Reads

    /// A key's value; nil when there is none.
    ///
    /// - Parameters:
    ///   - key: the key, up to `key_bytes_max` (64 KiB) long.
    ///   - level: how many replicas must answer; nil for the configuration's, else the keyspace's.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`. The node is
    ///     told.
    /// - Throws: ``MartletError/siblings(count:)`` for a key that has concurrent versions, and what every
    ///   call throws.
    public func get(
        _ key: some BytesConvertible, level: ReadLevel? = nil, within: Duration? = nil
    ) async throws(MartletError) -> Bytes? {
        let command = readCommand(key.martletBytes, level, within)
        return try Decode.value(try await call(command, within: within), isVersioned: command.isVersioned)
    }

    /// A key's values with the context that covers them: for a write that is to follow this read.
    ///
    /// - Parameters:
    ///   - key: the key.
    ///   - level: how many replicas must answer; nil for the configuration's, else the keyspace's.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    public func getVersioned(
        _ key: some BytesConvertible, level: ReadLevel? = nil, within: Duration? = nil
    ) async throws(MartletError) -> VersionedValue {
        let key = key.martletBytes
        var command = Command(.vget(key, level ?? readLevel), key: key, isRead: true)
        command.tellsTimeout = within != nil
        return try Decode.versioned(try await call(command, within: within))
    }

    /// Whether a key exists, at the keyspace's level.
    ///
    /// - Parameters:
    ///   - key: the key.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    public func exists(
        _ key: some BytesConvertible, within: Duration? = nil
    ) async throws(MartletError) -> Bool {
        try await number("EXISTS", key.martletBytes, isRead: true, within) == 1
    }

    /// How long a key will still exist, at the keyspace's level.
    ///
    /// - Parameters:
    ///   - key: the key.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    public func timeToLive(
        _ key: some BytesConvertible, within: Duration? = nil
    ) async throws(MartletError) -> TimeToLive {
        let left = try await number("PTTL", key.martletBytes, isRead: true, within)
        return left == -2 ? .missing : left < 0 ? .unlimited : .left(.milliseconds(left))
    }

    // MARK: Writes

    /// Sets a key's value, whatever it was.
    ///
    /// After ``MartletError/timeout(_:)`` the write may have happened: call it again with the error's
    /// ``MartletError/version``, and it can't overtake what others wrote meanwhile. Within the call's time
    /// the client does so itself.
    ///
    /// - Parameters:
    ///   - key: the key, up to `key_bytes_max` (64 KiB) long.
    ///   - value: the value, up to `value_bytes_max` (16 MiB) long.
    ///   - expires: when the value ceases to exist; nil for the keyspace's `ttl`.
    ///   - level: how many replicas must have it on disk; nil for the configuration's, else the keyspace's.
    ///   - context: of the read that this write follows: it is put above all that was seen there.
    ///   - version: the version of this very write, from an earlier attempt's error.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`. The node is
    ///     told.
    /// - Returns: the version that the write was given, and the context for the one after it.
    @discardableResult
    public func set(
        _ key: some BytesConvertible, _ value: some BytesConvertible, expires: Expiry? = nil,
        level: WriteLevel? = nil, context: CausalContext? = nil, version: WriteVersion? = nil,
        within: Duration? = nil
    ) async throws(MartletError) -> WriteReceipt {
        let command = try setCommand(
            key.martletBytes, value.martletBytes, expires, level, context, version, within)
        return try Decode.receipt(try await call(command, within: within))
    }

    /// Deletes a key, whether it exists or not.
    ///
    /// - Parameters:
    ///   - key: the key.
    ///   - level: how many replicas must have it on disk; nil for the configuration's, else the keyspace's.
    ///   - context: of the read that this delete follows.
    ///   - version: the version of this very delete, from an earlier attempt's error.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`. The node is
    ///     told.
    /// - Returns: the version that the delete was given, and the context for the write after it.
    @discardableResult
    public func delete(
        _ key: some BytesConvertible, level: WriteLevel? = nil, context: CausalContext? = nil,
        version: WriteVersion? = nil, within: Duration? = nil
    ) async throws(MartletError) -> WriteReceipt {
        let key = key.martletBytes
        var command = Command(.vdel(key, level ?? writeLevel, context), key: key, isRead: false)
        command.version = version
        finishWrite(&command, within)
        return try Decode.receipt(try await call(command, within: within))
    }

    /// Lets a key's value expire after a time, at the keyspace's levels. The node reads the value first: a
    /// write in between wins, with its own expiry.
    ///
    /// - Parameters:
    ///   - key: the key.
    ///   - after: how long it lives on; at least a millisecond.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    /// - Returns: false when there is no such key.
    @discardableResult
    public func expire(
        _ key: some BytesConvertible, after: Duration, within: Duration? = nil
    ) async throws(MartletError) -> Bool {
        let milliseconds = try Self.milliseconds(after, of: "expiry")
        return try await number("PEXPIRE", key.martletBytes, isRead: false, within, milliseconds) == 1
    }

    /// Lets a key's value live for ever, at the keyspace's levels.
    ///
    /// - Parameters:
    ///   - key: the key.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    /// - Returns: false when there is no such key, or it has no expiry.
    @discardableResult
    public func persist(
        _ key: some BytesConvertible, within: Duration? = nil
    ) async throws(MartletError) -> Bool {
        try await number("PERSIST", key.martletBytes, isRead: false, within) == 1
    }

    // MARK: How they are made

    func readCommand(_ key: Bytes, _ level: ReadLevel?, _ within: Duration?) -> Command {
        // What says nothing that GET can't say is the shorter command with the shorter answer.
        guard let level = level ?? readLevel else {
            if within == nil { return Command(.get(key), key: key, isRead: true) }
            var command = Command(.vget(key, nil), key: key, isRead: true)
            command.tellsTimeout = true
            return command
        }
        var command = Command(.vget(key, level), key: key, isRead: true)
        command.tellsTimeout = within != nil
        return command
    }

    func setCommand(
        _ key: Bytes, _ value: Bytes, _ expires: Expiry?, _ level: WriteLevel?, _ context: CausalContext?,
        _ version: WriteVersion?, _ within: Duration?
    ) throws(MartletError) -> Command {
        switch expires {
        case .after(let time): _ = try Self.milliseconds(time, of: "expiry")
        case .at(let time): _ = try Self.milliseconds(time, of: "expiry")
        case .keep, nil: break
        }
        let body = Command.Body.vset(key, value, level ?? writeLevel, context, expires)
        var command = Command(body, key: key, isRead: false)
        command.version = version
        finishWrite(&command, within)
        return command
    }

    private func finishWrite(_ command: inout Command, _ within: Duration?) {
        command.mayHappenTwice = settings.sendsLostWritesAgain
        command.tellsTimeout = within != nil
    }

    private static func milliseconds(_ duration: Duration, of what: String) throws(MartletError) -> Int64 {
        // A thousand years: sums with it stay whole.
        guard duration >= .milliseconds(1), duration < .seconds(31_557_600_000) else {
            throw .invalidArgument("the \(what) is \(duration); it is at least a millisecond")
        }
        let (seconds, attoseconds) = duration.components
        return seconds * 1_000 + attoseconds / 1_000_000_000_000_000
    }

    private func number(
        _ name: String, _ key: Bytes, isRead: Bool, _ within: Duration?, _ argument: Int64? = nil
    ) async throws(MartletError) -> Int64 {
        var words = [Bytes(name), key]
        if let argument { words.append(Bytes(String(argument))) }
        var command = Command(.words(words), key: key, isRead: isRead)
        command.mayHappenTwice = settings.sendsLostWritesAgain
        let value = try await call(command, within: within)
        guard let number = value.integer else { throw .unexpectedAnswer("no number to \(name)") }
        return number
    }
}
