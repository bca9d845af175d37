import MartletBase
import MartletLoop

/// The loop's thread, from outside: what callers may hold of it.
struct ClientLoop: Sendable {
    enum Message: Sendable {
        case start(UnsafeContinuation<MartletError?, Never>)
        case begin(Call)
        case beginMany(CallBatch)
        /// A ticket was cancelled.
        case sweepCancelled
        case topology(TopologyAnswer, isFresh: Bool)
        case status(UnsafeContinuation<ClientStatus?, Never>)
        case close
    }

    let inbox: Inbox<Message>
    private let pool: WorkerPool

    /// Starts the thread; returns when its loop runs.
    static func launch(_ settings: ClientSettings, _ gate: CallGate) async throws(MartletError) -> ClientLoop
    {
        let pool: WorkerPool
        do {
            pool = try WorkerPool(name: "martlet-client", threads: 1, queuedMax: 1)
        } catch {
            throw .noNode("\(error)")
        }
        let seed = UInt64.random(in: 0...UInt64.max)
        let inbox: Result<Inbox<Message>, MartletError> = await withUnsafeContinuation { continuation in
            let isTaken = pool.submit { run(settings, gate, seed: seed, continuation) }
            invariant(isTaken, "the client's thread takes its only job")
        }
        return ClientLoop(inbox: try inbox.get(), pool: pool)
    }

    /// The thread's whole life.
    private static func run(
        _ settings: ClientSettings, _ gate: CallGate, seed: UInt64,
        _ continuation: UnsafeContinuation<Result<Inbox<Message>, MartletError>, Never>
    ) {
        let loop: EventLoop
        let core: ClientCore
        do {
            loop = try EventLoop()
            core = ClientCore(loop, settings, gate, seed: seed)
            // Each call has one message to begin and one to be cancelled; a few more are the client's own.
            let inbox = try Inbox<Message>(loop, countMax: 2 * gate.countMax + 64) { core.take($0) }
            continuation.resume(returning: .success(inbox))
        } catch {
            return continuation.resume(returning: .failure(.noNode("\(error)")))
        }
        loop.run()
        loop.shutDown()
    }

    /// Ends every call with `closed`, and returns when the thread has ended.
    func close() {
        _ = inbox.send(.close)
        pool.shutDown()
    }
}

extension ClientCore {
    func take(_ message: ClientLoop.Message) {
        switch message {
        case .start(let continuation): start(continuation)
        case .begin(let call): begin(call)
        case .beginMany(let batch): begin(batch)
        case .sweepCancelled: sweepCancelled()
        case .topology(let answer, let isFresh):
            if isFresh { freshTopology(answer) } else { answer.resume(returning: topology) }
        case .status(let continuation): continuation.resume(returning: status)
        case .close: close()
        }
    }
}
