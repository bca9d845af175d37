import MartletBase
import MartletLoop
import Synchronization

/// What callers and the loop share beside the inbox.
final class ClientGates: Sendable {
    let calls: CallGate
    /// Questions to the client about itself.
    let questions = CallGate(countMax: Limits.clientQuestionsMax)
    /// A call was cancelled since the loop last looked.
    let mustSweep = Atomic(false)

    private let handovers = Atomic(0)

    init(callsMax: Int) { calls = CallGate(countMax: callsMax) }

    /// Before a continuation is resumed, and after: what the loop wrote is there for the task that goes on.
    ///
    /// The runtime sees to that itself, but where a continuation is resumed before its task has begun to wait
    /// the thread sanitizer doesn't notice, and would report every such answer as a race.
    func handOver() { handovers.wrappingAdd(1, ordering: .releasing) }
    func takeOver() { _ = handovers.load(ordering: .acquiring) }
}

/// The loop's thread, from outside: what callers may hold of it.
struct ClientLoop: Sendable {
    enum Message: Sendable {
        case start(UnsafeContinuation<MartletError?, Never>)
        case begin(Call)
        case beginMany(CallBatch)
        case sweepCancelled
        case topology(UnsafeContinuation<Topology?, Never>, isFresh: Bool)
        case status(UnsafeContinuation<ClientStatus, Never>)
        case close
    }

    let gates: ClientGates
    private let inbox: Inbox<Message>
    private let pool: WorkerPool

    private typealias Launched = Result<Inbox<Message>, MartletError>

    /// Starts the thread; returns when its loop runs.
    static func launch(_ settings: ClientSettings) async throws(MartletError) -> ClientLoop {
        let gates = ClientGates(callsMax: settings.callsMax)
        let pool: WorkerPool
        do {
            pool = try WorkerPool(name: "martlet-client", threads: 1, queuedMax: 1)
        } catch {
            throw .noNode("\(error)")
        }
        let seed = UInt64.random(in: 0...UInt64.max)
        let inbox: Launched = await withUnsafeContinuation { continuation in
            let isTaken = pool.submit { run(settings, gates, seed: seed, continuation) }
            invariant(isTaken, "the client's thread takes its only job")
        }
        gates.takeOver()
        return ClientLoop(gates: gates, inbox: try inbox.get(), pool: pool)
    }

    /// The thread's whole life.
    private static func run(
        _ settings: ClientSettings, _ gates: ClientGates, seed: UInt64,
        _ continuation: UnsafeContinuation<Launched, Never>
    ) {
        do {
            let loop = try EventLoop()
            defer { loop.shutDown() }
            let core = ClientCore(loop, settings, gates, seed: seed)
            // A call and a question have one message each; three are the client's own: to start, to close,
            // and to look for what was cancelled. So whoever came through a gate finds room.
            let countMax = gates.calls.countMax + gates.questions.countMax + 3
            let inbox = try Inbox<Message>(loop, countMax: countMax) { core.take($0) }
            gates.handOver()
            continuation.resume(returning: .success(inbox))
            loop.run()
        } catch {
            continuation.resume(returning: .failure(.noNode("\(error)")))
        }
    }

    /// For whoever came through a gate.
    func send(_ message: Message) {
        let isTaken = inbox.send(message)
        invariant(isTaken, "whoever came through a gate finds room in the inbox")
    }

    /// A ticket was cancelled. Its call may have ended meanwhile, and the loop with it.
    func sweepCancelled() {
        if gates.mustSweep.exchange(true, ordering: .acquiringAndReleasing) { return }
        _ = inbox.send(.sweepCancelled)
    }

    /// Ends every call with `closed`, and returns when the thread has ended. That needs no task to go on: the
    /// thread that waits here may be the only one that tasks have.
    func close() {
        gates.calls.close()
        gates.questions.close()
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
        case .topology(let continuation, let isFresh):
            if isFresh { return freshTopology(continuation) }
            answer(continuation, topology)
        case .status(let continuation): answer(continuation, status)
        case .close: close()
        }
    }

    /// The question leaves its gate here and not in the task that asked: `close` waits for all who are behind
    /// the gates, and that task may need the very thread which waits.
    func answer<Answer: Sendable>(_ continuation: UnsafeContinuation<Answer, Never>, _ answer: Answer) {
        gates.questions.leave()
        gates.handOver()
        continuation.resume(returning: answer)
    }
}
