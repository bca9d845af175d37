import MartletRESP

extension MartletClient {
    /// The values of many keys. Each key is asked of an owner of its own, all are under way together, and
    /// each has its own outcome: some may fail while others don't.
    ///
    /// - Parameters:
    ///   - keys: the keys, at most ``Configuration/callsMax`` of them.
    ///   - level: how many replicas must answer for each; nil for the configuration's, else the keyspace's.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    /// - Returns: for each key, in their order, its value or nil, or why that isn't known.
    /// - Throws: ``MartletError/tooManyCalls(max:)`` and ``MartletError/invalidArgument(_:)``: nothing was
    ///   asked.
    public func getMany(
        _ keys: [some BytesConvertible], level: ReadLevel? = nil, within: Duration? = nil
    ) async throws(MartletError) -> [Result<Bytes?, MartletError>] {
        let commands = keys.map { readCommand($0.martletBytes, level, within) }
        let isVersioned = commands.first?.isVersioned ?? false
        return try await call(commands, within: within).map { outcome in
            outcome.flatMap { value in
                Result { () throws(MartletError) in try Decode.value(value, isVersioned: isVersioned) }
            }
        }
    }

    /// Sets many keys, each by itself: there is no transaction over them.
    ///
    /// - Parameters:
    ///   - values: keys with their values, at most ``Configuration/callsMax`` of them. A key that comes twice
    ///     has either of its values afterwards.
    ///   - expires: when the values cease to exist; nil for the keyspace's `ttl`.
    ///   - level: how many replicas must have each on disk; nil for the configuration's, else the keyspace's.
    ///   - within: how long the call may take in all; nil for the configuration's `callTime`.
    /// - Returns: for each key, in their order, what its write was given, or how it failed.
    /// - Throws: ``MartletError/tooManyCalls(max:)`` and ``MartletError/invalidArgument(_:)``: nothing was
    ///   sent.
    @discardableResult
    public func setMany<Key: BytesConvertible, Value: BytesConvertible>(
        _ values: [(Key, Value)], expires: Expiry? = nil, level: WriteLevel? = nil, within: Duration? = nil
    ) async throws(MartletError) -> [Result<WriteReceipt, MartletError>] {
        let commands = try values.map { (key, value) throws(MartletError) in
            try setCommand(key.martletBytes, value.martletBytes, expires, level, nil, nil, within)
        }
        return try await call(commands, within: within).map { outcome in
            outcome.flatMap { value in Result { () throws(MartletError) in try Decode.receipt(value) } }
        }
    }
}
