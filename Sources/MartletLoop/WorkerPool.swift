import CUV
import Glibc
import MartletBase
import Synchronization

/// Threads for what may block: cold disk reads, and with one thread, syncs. Their results come back by an `Inbox`.
///
/// The queue is bounded: a full one refuses the job, and whoever submitted it answers `Overloaded`. Jobs begin in the
/// order of submission. All signals are blocked on the threads, so that none interrupts a system call there.
package final class WorkerPool: Sendable {
    package typealias Job = @Sendable () -> Void

    private let queue: JobQueue
    private let threads: Mutex<[pthread_t]>

    /// - Parameters:
    ///   - name: the threads' name, as `top -H` and debuggers show it; the system cuts it after 15 bytes.
    ///   - count: how many threads.
    ///   - queuedMax: the most jobs that may wait for a thread.
    package init(name: String, threads count: Int, queuedMax: Int) throws(LoopError) {
        invariant(count > 0 && queuedMax > 0, "a pool needs a thread and a place in its queue")
        let queue = JobQueue(countMax: queuedMax)
        self.queue = queue
        var started: [pthread_t] = []
        var failure: Int32 = 0
        for index in 0..<count where failure == 0 {
            let start = WorkerStart(queue: queue, name: count == 1 ? name : "\(name)-\(index)")
            failure = start.run(&started)
        }
        threads = Mutex(started)
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

    init(queue: JobQueue, name: String) {
        self.queue = queue
        self.name = name
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
        while let job = start.queue.pop() { job() }
        return nil
    }
}

/// A bounded first-in-first-out queue that threads wait at.
///
/// Safe: `jobs`, `head` and `isClosed` are only touched with `mutex` held.
private final class JobQueue: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let hasWork = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let countMax: Int
    /// Those before `head` have been taken.
    private var jobs: ContiguousArray<WorkerPool.Job?> = []
    private var head = 0
    private var isClosed = false

    init(countMax: Int) {
        self.countMax = countMax
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(hasWork, nil)
    }

    deinit {
        pthread_cond_destroy(hasWork)
        pthread_mutex_destroy(mutex)
        hasWork.deallocate()
        mutex.deallocate()
    }

    func push(_ job: @escaping WorkerPool.Job) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if isClosed || jobs.count - head >= countMax { return false }
        if head > countMax {
            jobs.removeSubrange(..<head)
            head = 0
        }
        jobs.append(job)
        pthread_cond_signal(hasWork)
        return true
    }

    /// The next job, waited for; nil when the queue is closed and empty.
    func pop() -> WorkerPool.Job? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while head == jobs.count {
            if isClosed { return nil }
            pthread_cond_wait(hasWork, mutex)
        }
        let job = jobs[head]
        jobs[head] = nil
        head += 1
        if head == jobs.count {
            jobs.removeAll(keepingCapacity: true)
            head = 0
        }
        return job
    }

    func close(discarding: Bool) {
        pthread_mutex_lock(mutex)
        isClosed = true
        // Dropped only after the lock is given back: a job's captures may end something that locks.
        var dropped: ContiguousArray<WorkerPool.Job?> = []
        if discarding {
            swap(&jobs, &dropped)
            head = 0
        }
        pthread_cond_broadcast(hasWork)
        pthread_mutex_unlock(mutex)
        withExtendedLifetime(dropped) {}
    }
}
