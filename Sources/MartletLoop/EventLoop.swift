import CUV
import Glibc
import MartletBase

/// One thread's event loop: libuv's, with clocks read once a turn and writes that go out once a turn.
///
/// A turn is: wait for events; run their callbacks (reads, accepts, inboxes, timers); then, before the loop
/// waits again, the **turn's end**: each hook in the order of registration (the shell hands out the node's
/// effects there), and then one flush of each connection that was written to. So however many replies a turn
/// makes for a connection, they cost one system call.
///
///     wait → callbacks → hooks → flush → wait → …
///
/// Nothing that runs in the flush calls back; what it has to say (an output that has drained) comes as a
/// callback of the next turn, which then doesn't wait. A hook that leaves work undone calls `runAgain()`.
///
/// A loop and all that refers to it belong to the thread that runs it; only an `Inbox` may be used from
/// elsewhere. `shutDown()` closes every handle. A loop that is dropped without it must have no handle open (a
/// handle that is open keeps its loop alive).
package final class EventLoop {
    let uv: UnsafeMutablePointer<uv_loop_t>
    private let prepare: UnsafeMutablePointer<uv_prepare_t>
    private let idle: UnsafeMutablePointer<uv_idle_t>
    private var isIdle = true
    private var isRunning = false
    private var isShutDown = false
    private var hooks: [() -> Void] = []
    /// Handles that libuv knows, besides the loop's own two.
    var openHandles = 0

    /// Every TCP connection of the loop reads into this: its bytes are valid until the read's callback
    /// returns.
    let readBuffer: UnsafeMutableRawBufferPointer
    private var datagramBufferOrNil: UnsafeMutableRawBufferPointer?

    /// Connections that were written to in this turn, oldest first: a list through `nextDirty`.
    private var firstDirty: TCPConnection?
    private var lastDirty: TCPConnection?
    /// Connections whose owners wait to hear that their output has drained.
    private var drained: ContiguousArray<TCPConnection> = []
    private var drainedSpare: ContiguousArray<TCPConnection> = []

    private var isClockStale = true
    private var clock = Now(monotonic: .zero, wall: WallTime(microseconds: 0))

    /// What the loop has done since its start.
    var totals = LoopCounters()
    package var counters: LoopCounters { totals }

    package init() throws(LoopError) {
        let uv = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
        let code = uv_loop_init(uv)
        if code < 0 {
            uv.deallocate()
            throw LoopError(.openLoop, code: code)
        }
        // A peer that has gone must be an error of the write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        self.uv = uv
        prepare = UnsafeMutablePointer<uv_prepare_t>.allocate(capacity: 1)
        idle = UnsafeMutablePointer<uv_idle_t>.allocate(capacity: 1)
        readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.readBufferBytes, alignment: 64)
        uv.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        uv_prepare_init(uv, prepare)
        uv_idle_init(uv, idle)
        prepare.pointee.data = nil
        idle.pointee.data = nil
        // libuv runs this after all callbacks of a turn and its timers, right before it waits.
        uv_prepare_start(prepare) { EventLoop.of($0?.pointee.loop).endTurn() }
    }

    deinit {
        shutDown()
        uv.deallocate()
        prepare.deallocate()
        idle.deallocate()
        readBuffer.deallocate()
        datagramBufferOrNil?.deallocate()
    }

    /// Safe: a loop's callbacks come only from `run` and `shutDown`, while the loop lives.
    private static func of(_ uv: UnsafeMutablePointer<uv_loop_t>?) -> EventLoop {
        guard let data = uv?.pointee.data else { invariantBroken("a libuv callback without a loop") }
        return Unmanaged<EventLoop>.fromOpaque(data).takeUnretainedValue()
    }

    // MARK: Running

    /// Runs turns until `stop()`. May be called again afterwards.
    package func run() {
        invariant(!isShutDown && !isRunning, "a loop runs once at a time, and not after its shutdown")
        isRunning = true
        isClockStale = true
        uv_run(uv, UV_RUN_DEFAULT)
        isRunning = false
        // The turn in which stop() was called ends too: its replies are sent.
        endTurn()
    }

    /// Ends `run()` after the present turn. Without effect when the loop isn't running.
    package func stop() {
        if isRunning { uv_stop(uv) }
    }

    /// Adds a hook that runs at each turn's end, before the flush.
    package func onTurnEnd(_ hook: @escaping () -> Void) { hooks.append(hook) }

    /// The hooks will run again after this call, and the loop won't wait for an event before they do.
    package func runAgain() {
        guard isIdle, !isShutDown else { return }
        isIdle = false
        // An active idle handle makes libuv poll without waiting.
        uv_idle_start(idle) { EventLoop.of($0?.pointee.loop).beginAgain() }
    }

    private func beginAgain() {
        uv_idle_stop(idle)
        isIdle = true
        swap(&drained, &drainedSpare)
        for connection in drainedSpare { connection.tellDrained() }
        drainedSpare.removeAll(keepingCapacity: true)
    }

    private func endTurn() {
        totals.turns += 1
        for hook in hooks { hook() }
        flushDirty()
        isClockStale = true
    }

    private func flushDirty() {
        var next = takeDirty()
        while let connection = next {
            next = connection.nextDirty
            connection.nextDirty = nil
            connection.flush()
        }
        if firstDirty != nil { runAgain() }
    }

    private func takeDirty() -> TCPConnection? {
        let first = firstDirty
        firstDirty = nil
        lastDirty = nil
        return first
    }

    // MARK: Clocks

    /// Both clocks, read at the first use in a turn, and at the first after bytes have come: so what a client
    /// asks is never dated before it was sent, however long the process was stopped in between.
    package var now: Now {
        if isClockStale { updateNow() }
        return clock
    }

    /// Reads the clocks anew, for a turn that has taken long.
    package func updateNow() {
        var wall = uv_timeval64_t()
        uv_gettimeofday(&wall)
        clock = Now(
            monotonic: Instant(nanoseconds: Int64(uv_hrtime())),
            wall: WallTime(microseconds: wall.tv_sec * 1_000_000 + Int64(wall.tv_usec)))
        isClockStale = false
    }

    // MARK: For the handles

    /// Bytes were received: the clocks are read anew for what they say.
    func expireClock() { isClockStale = true }

    /// Once until the connection is flushed.
    func markDirty(_ connection: TCPConnection) {
        if let last = lastDirty { last.nextDirty = connection } else { firstDirty = connection }
        lastDirty = connection
    }

    /// A call wrote so many bytes to a TCP connection.
    func countWrite(_ byteCount: Int) {
        totals.writeCalls += 1
        totals.bytesWritten += UInt64(byteCount)
    }

    func markDrained(_ connection: TCPConnection) {
        drained.append(connection)
        runAgain()
    }

    /// Every UDP socket of the loop receives into this.
    var datagramBuffer: UnsafeMutableRawBufferPointer {
        if let datagramBufferOrNil { return datagramBufferOrNil }
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Limits.datagramBufferBytes, alignment: 64)
        datagramBufferOrNil = buffer
        return buffer
    }

    // MARK: The end

    /// Closes every handle, waits for libuv to be done with them (their `onClose` is called; nothing is
    /// flushed), and closes the loop. Not from a callback. May be called again.
    package func shutDown() {
        if isShutDown { return }
        invariant(!isRunning, "a loop can't be shut down by a callback of its own: stop it first")
        isShutDown = true
        hooks = []
        uv_close(UnsafeMutableRawPointer(prepare).assumingMemoryBound(to: uv_handle_t.self), nil)
        uv_close(UnsafeMutableRawPointer(idle).assumingMemoryBound(to: uv_handle_t.self), nil)
        // Callbacks may open handles once more (a peer that is reconnected to); not for ever.
        var rounds = 0
        repeat {
            invariant(rounds < 16, "handles are opened without end in a loop that shuts down")
            rounds += 1
            uv_walk(uv, { handle, _ in EventLoop.closeWalked(handle) }, nil)
            uv_run(uv, UV_RUN_DEFAULT)
        } while openHandles > 0
        // One by one: a long list that is freed at its head is freed in as many nested calls.
        var next = takeDirty()
        while let connection = next {
            next = connection.nextDirty
            connection.nextDirty = nil
        }
        drained = []
        let code = uv_loop_close(uv)
        invariant(code == 0, "a loop was closed while a handle or a request of it was open")
    }

    private static func closeWalked(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
        // The loop's own handles have no owner, and are closing already.
        guard let data = handle?.pointee.data else { return }
        owner(data, LoopHandle.self).close()
    }
}

/// Totals since a loop's start.
package struct LoopCounters: Hashable, Sendable {
    package var turns: UInt64 = 0
    package var bytesRead: UInt64 = 0
    package var bytesWritten: UInt64 = 0
    /// Calls that wrote to a TCP connection: one a connection and turn, and more where a peer reads slowly.
    package var writeCalls: UInt64 = 0
    package var accepted: UInt64 = 0
    package var acceptErrors: UInt64 = 0
    package var datagramsReceived: UInt64 = 0
    package var datagramsSent: UInt64 = 0
    /// Datagrams that the system didn't take, or cut short at arrival.
    package var datagramsDropped: UInt64 = 0
}
