import Glibc
import MartletBase
import MartletLoop
import Synchronization
import Testing

@Suite struct WorkerPoolTests {
    @Test func resultsComeBackThroughAnInbox() throws {
        let pool = try WorkerPool(name: "storage", threads: 2, queuedMax: 100)
        defer { pool.shutDown() }
        var sum = 0
        var results = 0
        try withLoop { loop in
            let inbox = try Inbox<Int>(loop, countMax: 100) { square in
                sum += square
                results += 1
                if results == 100 { loop.stop() }
            }
            for i in 0..<100 {
                let taken = pool.submit { _ = inbox.send(i * i) }
                #expect(taken)
            }
        }
        #expect(sum == 328_350)
    }

    @Test func aPoolThatYieldsLowersItsOwnThreadsAlone() throws {
        // Of the calling thread.
        @Sendable func niceness() -> Int32 { getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0) }
        func niceness(yields: Bool) throws -> Int32 {
            let seen = Mutex<Int32>(-1)
            let pool = try WorkerPool(name: "scan", threads: 1, queuedMax: 1, yields: yields)
            let taken = pool.submit { seen.withLock { $0 = niceness() } }
            #expect(taken)
            pool.shutDown()
            return seen.withLock { $0 }
        }
        let own = niceness()
        #expect(try niceness(yields: true) > own)
        #expect(try niceness(yields: false) == own)
        #expect(niceness() == own)
    }

    @Test func shuttingDownRunsWhatWasTakenInOrder() throws {
        let order = Mutex<[Int]>([])
        let pool = try WorkerPool(name: "syncer", threads: 1, queuedMax: 1_000)
        for i in 0..<1_000 {
            let taken = pool.submit { order.withLock { $0.append(i) } }
            #expect(taken)
        }
        pool.shutDown()
        pool.shutDown()
        #expect(order.withLock { $0 } == Array(0..<1_000))
        #expect(!pool.submit {})
    }

    @Test func aFullQueueRefusesAndDiscardingDropsWhatHasNotBegun() throws {
        let ran = Atomic<Int>(0)
        let gate = Gate()
        let pool = try WorkerPool(name: "reader", threads: 1, queuedMax: 2)
        let began = Gate()
        #expect(
            pool.submit {
                began.open()
                gate.wait()
                ran.add(1, ordering: .relaxed)
            })
        began.wait()
        // The shutdown waits for the job that has begun, which waits for the gate: a job that is dropped
        // opens it.
        let waiting = { (opener: Opener) in
            pool.submit { withExtendedLifetime(opener) { _ = ran.add(100, ordering: .relaxed) } }
        }
        #expect(waiting(Opener(gate)))
        #expect(pool.submit { ran.add(100, ordering: .relaxed) })
        #expect(!pool.submit { ran.add(100, ordering: .relaxed) })
        pool.shutDown(discarding: true)
        #expect(ran.load(ordering: .relaxed) == 1)
    }

    @Test func threadsHaveTheirNames() throws {
        let pool = try WorkerPool(name: "martlet-a-long-name", threads: 1, queuedMax: 1)
        let name = Mutex("")
        let taken = pool.submit {
            var bytes = [UInt8](repeating: 0, count: 16)
            let file = open("/proc/thread-self/comm", O_RDONLY)
            let count = read(file, &bytes, bytes.count)
            close(file)
            let text = String(decoding: bytes.prefix(max(0, count - 1)), as: UTF8.self)
            name.withLock { $0 = text }
        }
        #expect(taken)
        pool.shutDown()
        #expect(name.withLock { $0 } == "martlet-a-long-")
    }
}

/// Opens a gate when nobody holds it any more.
private final class Opener: Sendable {
    private let gate: Gate

    init(_ gate: Gate) { self.gate = gate }

    deinit { gate.open() }
}

/// Opens once; whoever waits goes on then.
private final class Gate: Sendable {
    private let pipe: (reading: Int32, writing: Int32)

    init() {
        var ends: [Int32] = [0, 0]
        Glibc.pipe(&ends)
        pipe = (ends[0], ends[1])
    }

    deinit {
        close(pipe.reading)
        close(pipe.writing)
    }

    func open() {
        var byte: UInt8 = 1
        write(pipe.writing, &byte, 1)
    }

    func wait() {
        var byte: UInt8 = 0
        while read(pipe.reading, &byte, 1) != 1 {}
    }
}
