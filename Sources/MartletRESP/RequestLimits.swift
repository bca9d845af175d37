import MartletBase

/// What one connection's requests may claim. The parser never holds more of a request than these allow,
/// whatever the client announces.
package struct RequestLimits: Hashable, Sendable {
    /// Longer arguments are skipped as they arrive, and the request ends as `.oversized`. Unit: bytes.
    /// Raising it lets one connection buffer more; lowering it refuses larger values.
    package var argumentBytesMax: Int
    /// Longer lengths are a protocol error, as Redis's `proto-max-bulk-len`.
    package var bulkBytesMax: Int
    /// Arguments of one request; more are a protocol error. (Redis 7 takes 2^31 - 1, Redis 6 took this
    /// default.)
    package var argumentCountMax: Int
    /// A request whose arguments add up to more, headers included, is skipped like one with too long an
    /// argument.
    package var requestBytesMax: Int

    /// `argumentBytesMax` defaults to the default of `value_bytes_max`.
    package init(argumentBytesMax: Int = 16 << 20) {
        self.argumentBytesMax = argumentBytesMax
        bulkBytesMax = Limits.bulkBytesMax
        argumentCountMax = Limits.argumentCountMax
        requestBytesMax = argumentBytesMax + Limits.requestSlackBytesMax
    }
}
