import Glibc
import MartletBase
import Synchronization

/// Says which seed was being run when an invariant of the code itself trapped: the process dies of that, and without the
/// seed nobody could replay it.
///
/// Each job owns a line, written before its seed begins; the handler, on the thread that trapped, only writes bytes that
/// are there and ends the process.
enum TrapReport {
    private static let lineBytes = 512
    /// Safe: made before any job starts and never freed; each job writes its own lines only, and a handler reads those of
    /// the job whose thread it runs on.
    nonisolated(unsafe) private static var lines: UnsafeMutablePointer<UInt8>?
    nonisolated(unsafe) private static var threads: UnsafeMutablePointer<pthread_t>?
    nonisolated(unsafe) private static var jobs = 0

    static func install(jobs count: Int) {
        lines = .allocate(capacity: lineBytes * count)
        lines?.initialize(repeating: 0, count: lineBytes * count)
        threads = .allocate(capacity: count)
        threads?.initialize(repeating: 0, count: count)
        jobs = count
        for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS] {
            signal(number) { _ in TrapReport.tell() }
        }
    }

    /// The job's thread is about to run what the line names.
    static func begin(job: Int, _ line: String) {
        threads?[job] = pthread_self()
        guard let lines else { return }
        let place = lines + job * lineBytes
        for (offset, byte) in line.utf8.prefix(lineBytes - 1).enumerated() { place[offset] = byte }
        place[min(line.utf8.count, lineBytes - 1)] = 0
    }

    private static func tell() {
        guard let lines, let threads else { _exit(1) }
        for job in 0..<jobs where pthread_equal(threads[job], pthread_self()) != 0 {
            let place = lines + job * lineBytes
            write(STDERR_FILENO, place, strlen(UnsafeRawPointer(place).assumingMemoryBound(to: CChar.self)))
        }
        _exit(1)
    }
}
