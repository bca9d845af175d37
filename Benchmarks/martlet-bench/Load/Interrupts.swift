import Glibc
import MartletBase
import Synchronization

/// The signals that end the program: blocked and fetched, never handled, so that servers are stopped and
/// folders removed first.
enum Interrupts {
    private static let isCaught = Atomic(false)

    private static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, number) }
        return set
    }

    /// Before any thread is started: threads inherit it.
    static func begin() {
        var set = signals
        sigprocmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Whether one has come, now or before.
    static var areCaught: Bool {
        if isCaught.load(ordering: .relaxed) { return true }
        var set = signals
        var time = timespec()
        guard sigtimedwait(&set, nil, &time) > 0 else { return false }
        isCaught.store(true, ordering: .relaxed)
        return true
    }

    static func check() throws(Failure) {
        if areCaught { throw .interrupted }
    }

    /// A wait that such a signal ends.
    static func wait(_ interval: Interval) throws(Failure) {
        let end = monotonicNow() + interval
        while monotonicNow() < end {
            try check()
            sleep(until: min(end, monotonicNow() + .milliseconds(20)))
        }
    }
}
