import CUV
import Glibc
import MartletBase

/// Threads for what may block: cold disk reads, and with one thread, syncs. Their results come back by an
/// `Inbox`.
///
/// The queue is bounded: a full one refuses the job, and whoever submitted it answers `Overloaded`. Jobs
/// begin in the order of submission. All signals are blocked on the threads, so that none interrupts a system
/// call there.
package final class WorkerPool: Sendable {
    package typealias Job = @Sendable () -> Void

    private let queue: JobQueue
    private let threads: Locked<[pthread_t]>

    /// - Parameters:
    ///   - name: the threads' name, as `top -H` and debuggers show it; the system cuts it after 15 bytes.
    ///   - count: how many threads.
    ///   - queuedMax: the most jobs that may wait for a thread.
    ///   - yields: its threads give way to the process's others where processors are scarce: long jobs that
    ///     nobody waits for by the millisecond. They still run: niceness is a share, not a rank.
    package init(
        name: String, threads count: Int, queuedMax: Int, yields: Bool = false
    ) throws(LoopError) {
        invariant(count > 0 && queuedMax > 0, "a pool needs a thread and a place in its queue")
        let queue = JobQueue(countMax: queuedMax)
        self.queue = queue
        var started: [pthread_t] = []
        var failure: Int32 = 0
        for index in 0..<count where failure == 0 {
            let start = WorkerStart(
                queue: queue, name: count == 1 ? name : "\(name)-\(index)", yields: yields)
            failure = start.run(&started)
        }
        threads = Locked(started)
        if failure != 0 {
            shutDown()
            throw LoopError(.startThread, code: -failure)
        }
    }

    deinit { shutDown() }

    /// May be called on any thread.
    /// - Returns: false when the queue is full or the pool shuts down: the job won't run.
    package func submit(_ job: @escaping Job) -> Bool { queue.push(job) }

    /// Takes no more jobs, and returns when those that were taken have run and the threads have ended. With
    /// `discarding`, jobs that haven't begun are dropped. Not from a job. May be called again.
    package func shutDown(discarding: Bool = false) {
        queue.close(discarding: discarding)
        let ending = threads.withLock { threads in
            let all = threads
            threads = []
            return all
        }
        for thread in ending {
            invariant(pthread_equal(thread, pthread_self()) == 0, "a worker can't wait for its own end")
            pthread_join(thread, nil)
        }
    }
}

/// What a new worker thread is handed.
private final class WorkerStart {
    let queue: JobQueue
    let name: String
    let yields: Bool

    /// A tenth of the share of a thread that doesn't yield.
    private static let niceness: Int32 = 10

    init(queue: JobQueue, name: String, yields: Bool) {
        self.queue = queue
        self.name = name
        self.yields = yields
    }

    /// Starts the thread and adds it to `threads`.
    /// - Returns: 0, or the error number.
    func run(_ threads: inout [pthread_t]) -> Int32 {
        let context = Unmanaged.passRetained(self)
        // A thread inherits the mask, so there is no moment at which it could take a signal.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, { WorkerStart.main($0) }, context.toOpaque())
        if code == 0 { threads.append(thread) } else { context.release() }
        return code
    }

    private static func main(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let context else { return nil }
        let start = Unmanaged<WorkerStart>.fromOpaque(context).takeRetainedValue()
        martlet_name_thread(start.name)
        // On Linux 0 is the calling thread, not its process. Where it isn't allowed, it is as without.
        if start.yields { uv_os_setpriority(0, niceness) }
        while case .job(let job) = start.queue.next() { job() }
        return nil
    }
}

/// A bounded first-in-first-out queue that threads wait at.
private struct JobQueue: Sendable {
    private struct State {
        /// Those before `head` have been taken.
        var jobs: ContiguousArray<WorkerPool.Job?> = []
        var head = 0
        var isClosed = false
    }

    /// What a waiting thread is told.
    enum Next {
        case job(WorkerPool.Job)
        case end
    }

    private let state = Locked(State())
    let countMax: Int

    func push(_ job: @escaping WorkerPool.Job) -> Bool {
        let isTaken = state.withLock { state in
            if state.isClosed || state.jobs.count - state.head >= countMax { return false }
            if state.head > countMax {
                state.jobs.removeSubrange(..<state.head)
                state.head = 0
            }
            state.jobs.append(job)
            return true
        }
        if isTaken { state.wakeOne() }
        return isTaken
    }

    /// The next job, waited for; the end when the queue is closed and empty.
    func next() -> Next {
        state.wait { state in
            guard state.head < state.jobs.count else { return state.isClosed ? .end : nil }
            let job = state.jobs[state.head]
            state.jobs[state.head] = nil
            state.head += 1
            if state.head == state.jobs.count {
                state.jobs.removeAll(keepingCapacity: true)
                state.head = 0
            }
            return job.map { .job($0) }
        }
    }

    func close(discarding: Bool) {
        // Dropped only after the lock is given back: a job's captures may end something that locks.
        let dropped = state.withLock { state in
            state.isClosed = true
            var dropped: ContiguousArray<WorkerPool.Job?> = []
            if discarding {
                swap(&state.jobs, &dropped)
                state.head = 0
            }
            return dropped
        }
        state.wakeAll()
        withExtendedLifetime(dropped) {}
    }
}
