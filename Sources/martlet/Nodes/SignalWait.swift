import Glibc
import MartletBase

/// Waits in which the signals that end a program are answers instead of ends.
///
/// Signals are blocked and fetched, never handled: no code runs in a handler.
struct SignalWait {
    private var signals: sigset_t

    /// From here on SIGINT, SIGTERM, SIGHUP, SIGCHLD and `more` wait to be fetched, and writing to a pipe
    /// that nobody reads ends nothing: what must be put in order before the end still is.
    init(_ more: [Int32] = []) {
        signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGCHLD] + more { sigaddset(&signals, number) }
        sigprocmask(SIG_BLOCK, &signals, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// The next signal; nil once the interval is over.
    mutating func next(within interval: Interval) -> Int32? {
        var time = timespec(
            tv_sec: Int(interval.nanoseconds / 1_000_000_000),
            tv_nsec: Int(interval.nanoseconds % 1_000_000_000))
        let number = sigtimedwait(&signals, nil, &time)
        return number > 0 ? number : nil
    }

    /// The next signal that asks to stop; nil once the interval is over or a child has ended.
    mutating func nextStop(within interval: Interval) -> Int32? {
        next(within: interval).flatMap { $0 == SIGCHLD ? nil : $0 }
    }
}
