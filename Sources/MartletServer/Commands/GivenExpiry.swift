import MartletBase

/// An expiry as a client gave it.
struct GivenExpiry {
    /// Nil when it was no number.
    var number: Int64?
    var isInSeconds: Bool
    var isAbsolute: Bool

    enum Result {
        /// In milliseconds since 1970.
        case at(Int64)
        /// The error.
        case refused(String)
    }

    /// By the rules of SET: above 0, and within 64 bits as milliseconds since 1970.
    func expiry(now: WallTime, of command: String) -> Result {
        guard let number else { return .refused("ERR value is not an integer or out of range") }
        var milliseconds = number
        var isPossible = milliseconds > 0
        if isInSeconds {
            isPossible = isPossible && milliseconds <= Int64.max / 1_000
            milliseconds = milliseconds &* 1_000
        }
        if !isAbsolute {
            isPossible = isPossible && milliseconds <= Int64.max - now.milliseconds
            milliseconds = milliseconds &+ now.milliseconds
        }
        return isPossible
            ? .at(milliseconds) : .refused("ERR invalid expire time in '\(command)' command")
    }
}
