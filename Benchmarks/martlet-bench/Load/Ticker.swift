import Glibc
import MartletBase
import MartletLoop
import Synchronization

/// Calls back on a loop's thread at even times, more often than the loop's own timers can (milliseconds).
///
/// A thread of its own sleeps from tick to tick. One that comes while the loop is busy is joined with the
/// next.
final class Ticker {
    private final class Shared: Sendable {
        let isStopped = Atomic(false)
    }

    private struct Tick: Sendable {}

    private let shared = Shared()
    private let inbox: Inbox<Tick>
    private var thread: JobThread?

    init(
        _ loop: EventLoop, every interval: Interval, from start: Instant, onTick: @escaping () -> Void
    ) throws(LoopError) {
        let inbox = try Inbox<Tick>(loop, countMax: 1) { _ in onTick() }
        self.inbox = inbox
        let shared = shared
        thread = JobThread {
            Self.refineTimer()
            var next = start
            while !shared.isStopped.load(ordering: .relaxed) {
                sleep(until: next)
                _ = inbox.send(Tick())
                next = next + interval
                // After a long stall of this thread: the ticks that have passed are one.
                let now = monotonicNow()
                if next < now {
                    let missed = (now - next).nanoseconds / interval.nanoseconds
                    next = next + interval * missed
                }
            }
        }
    }

    /// The system wakes a thread up to 50 microseconds late to save power, unless it is asked not to.
    private static func refineTimer() {
        guard let thread = linkTarget("/proc/thread-self")?.split(separator: "/").last else { return }
        let file = open("/proc/\(thread)/timerslack_ns", O_WRONLY | O_CLOEXEC)
        if file < 0 { return }
        _ = write(file, "1", 1)
        close(file)
    }

    func stop() {
        shared.isStopped.store(true, ordering: .relaxed)
        inbox.close()
        thread?.join()
        thread = nil
    }
}

func sleep(until instant: Instant) {
    var time = timespec(
        tv_sec: Int(instant.nanoseconds / 1_000_000_000), tv_nsec: Int(instant.nanoseconds % 1_000_000_000))
    while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil) == EINTR {}
}

/// The clock that the loop counts by.
@inline(__always)
package func monotonicNow() -> Instant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
}

/// A thread that runs one body.
final class JobThread {
    private final class Job: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    private var thread = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) {
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Job>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Job(body)).toOpaque())
        invariant(status == 0, "a thread could not be started: error \(status)")
    }

    func join() { pthread_join(thread, nil) }
}
