extension MartletClient {
    /// How often an update that others' writes came beside is made again.
    static let updateRoundsMax = 16

    /// Reads a key, makes a new value of all its versions, and writes it with the context of the read: it
    /// replaces just what was read.
    ///
    /// In a keyspace with `conflict: siblings` no concurrent write is lost. One that came between the read
    /// and the write is kept beside the new value; the update then sees both, and is made again on top of
    /// them, until its value stands alone or the rounds are over. Whatever happens after that is resolved by
    /// the next update.
    ///
    /// In a keyspace where the last writer wins there are no concurrent versions: an update may undo another
    /// one that ran beside it.
    ///
    /// - Parameters:
    ///   - key: the key, up to `key_bytes_max` (64 KiB) long.
    ///   - expires: when the new value ceases to exist; nil for the keyspace's `ttl`.
    ///   - readLevel: of the reads; nil for the configuration's, else the keyspace's.
    ///   - writeLevel: of the write; nil for the configuration's, else the keyspace's.
    ///   - settles: whether the key is read once more after the write, to see what came beside it. Without,
    ///     an update takes a read less, and leaves that to the next one.
    ///   - within: how long each request may take in all; nil for the configuration's `callTime`.
    ///   - change: from the versions that were read, the oldest first and none when the key doesn't exist, to
    ///     the new value; nil deletes the key. Called again when others wrote beside it.
    /// - Returns: the value that was written.
    @discardableResult
    public func update(
        _ key: some BytesConvertible, expires: Expiry? = nil, readLevel: ReadLevel? = nil,
        writeLevel: WriteLevel? = nil, settles: Bool = true, within: Duration? = nil,
        _ change: (_ versions: [Bytes]) -> Bytes?
    ) async throws(MartletError) -> Bytes? {
        let key = key.martletBytes
        var read = try await getVersioned(key, level: readLevel, within: within)
        var round = 1
        while true {
            let value = change(read.values)
            var isLost = false
            do throws(MartletError) {
                if let value {
                    try await set(
                        key, value, expires: expires, level: writeLevel, context: read.context, within: within
                    )
                } else if read.context != nil {
                    try await delete(key, level: writeLevel, context: read.context, within: within)
                }
            } catch {
                // Others have filled the key with versions that this update hasn't seen.
                guard case .server("TOOMANYSIBLINGS", _) = error, round < Self.updateRoundsMax else {
                    throw error
                }
                isLost = true
            }
            guard settles || isLost, round < Self.updateRoundsMax else { return value }
            read = try await getVersioned(key, level: readLevel, within: within)
            if !isLost, read.values.count < 2 { return value }
            round += 1
        }
    }

    /// Reads a key, resolves its versions where there are several, changes the value and writes it back: the
    /// same as ``update(_:expires:readLevel:writeLevel:settles:within:_:)`` for a change of one value.
    ///
    /// - Parameters:
    ///   - key: the key, up to `key_bytes_max` (64 KiB) long.
    ///   - resolver: makes one value of several.
    ///   - expires: when the new value ceases to exist; nil for the keyspace's `ttl`.
    ///   - readLevel: of the reads; nil for the configuration's, else the keyspace's.
    ///   - writeLevel: of the write; nil for the configuration's, else the keyspace's.
    ///   - settles: whether the key is read once more after the write, to see what came beside it.
    ///   - within: how long each request may take in all; nil for the configuration's `callTime`.
    ///   - change: from the value, nil when the key doesn't exist, to the new one; nil deletes the key. Must
    ///     be good to be applied again to a value that it has changed already.
    /// - Returns: the value that was written.
    @discardableResult
    public func update(
        _ key: some BytesConvertible, resolving resolver: Resolver, expires: Expiry? = nil,
        readLevel: ReadLevel? = nil, writeLevel: WriteLevel? = nil, settles: Bool = true,
        within: Duration? = nil, _ change: (_ value: Bytes?) -> Bytes?
    ) async throws(MartletError) -> Bytes? {
        try await update(
            key, expires: expires, readLevel: readLevel, writeLevel: writeLevel, settles: settles,
            within: within
        ) { change(resolver.value(of: $0)) }
    }
}
