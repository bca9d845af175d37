import Glibc
import MartletBase

/// Says which seed was being run when an invariant of the code itself trapped: the process dies of that, and
/// without the seed nobody could replay it.
///
/// Each thread keeps the line to say at hand; the signal handler, on the thread that trapped, only writes it
/// and ends the process.
enum TrapReport {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let status = pthread_key_create(&key, { free($0) })
        invariant(status == 0, "no key for a thread's own data: error \(status)")
        return key
    }()

    /// Once, before any job starts.
    static func install() {
        _ = key
        for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS] {
            signal(number) { _ in TrapReport.tell() }
        }
    }

    /// This thread is about to run what the line names.
    static func begin(_ line: String) {
        let last = pthread_getspecific(key)
        pthread_setspecific(key, strdup(line))
        free(last)
    }

    private static func tell() {
        if let line = pthread_getspecific(key) {
            Glibc.write(STDERR_FILENO, line, strlen(line.assumingMemoryBound(to: CChar.self)))
        }
        _exit(1)
    }
}
