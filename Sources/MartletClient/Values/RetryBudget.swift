import MartletBase

/// How many further attempts all calls together may make: a token bucket.
///
/// Each call puts a share of a token in, each further attempt takes a whole one out, so that a store that
/// fails everything gets `1 + share` times its load and not a multiple of it. Beside this the bucket fills by
/// time, so that a client with few calls can retry as well. It holds what `seconds` of the latter give, and
/// at least ten tokens.
package struct RetryBudget: Sendable {
    /// Thousandths of a token.
    private var milliTokens: Int64
    private let milliTokensMax: Int64
    private let milliTokensPerCall: Int64
    private let tokensPerSecond: Int64
    private var filledAt: Instant

    /// - Parameters:
    ///   - share: further attempts a call, from 0 to 1.
    ///   - tokensPerSecond: further attempts a second on top, however few calls there are.
    package init(share: Double, tokensPerSecond: Int, seconds: Int = 10, now: Instant) {
        milliTokensPerCall = Int64(share * 1_000)
        self.tokensPerSecond = Int64(tokensPerSecond)
        milliTokensMax = max(10_000, Int64(tokensPerSecond) * Int64(seconds) * 1_000)
        // None at all is a way to turn further attempts off.
        milliTokens = share == 0 && tokensPerSecond == 0 ? 0 : milliTokensMax
        filledAt = now
    }

    package var tokens: Int { Int(milliTokens / 1_000) }

    /// A call begins.
    package mutating func deposit() { milliTokens = min(milliTokensMax, milliTokens + milliTokensPerCall) }

    /// Whether a further attempt may be made; it is then paid for.
    package mutating func withdraw(now: Instant) -> Bool {
        let elapsed = max(0, (now - filledAt).milliseconds)
        if elapsed > 0, tokensPerSecond > 0 {
            milliTokens = min(milliTokensMax, milliTokens + min(elapsed, 3_600_000) * tokensPerSecond)
            filledAt = now
        }
        if milliTokens < 1_000 { return false }
        milliTokens -= 1_000
        return true
    }
}
