import MartletBase
import MartletLoop
import MartletRESP
import MartletRing

/// A client of a Martlet cluster.
///
///     let client = try await MartletClient.connect(to: .init(seeds: ["127.0.0.1", "127.0.0.2"]))
///     try await client.set("greeting", "hello")
///     let greeting = try await client.get("greeting")?.string
///     await client.close()
///
/// One client serves a whole program: it is safe to use from any number of tasks, keeps a few connections
/// with each node, and sends what many tasks ask for in common pipelines. It runs one thread.
///
/// Every method throws ``MartletError``. A call ends at the latest when its time is over (`within`, else
/// ``Configuration/callTime``), and soon after its task is cancelled; neither takes a write back that was
/// sent.
public final class MartletClient: Sendable {
    let loop: ClientLoop
    let settings: ClientSettings
    let readLevel: ReadLevel?
    let writeLevel: WriteLevel?

    private init(_ loop: ClientLoop, _ settings: ClientSettings, _ given: Configuration) {
        self.loop = loop
        self.settings = settings
        readLevel = given.readLevel
        writeLevel = given.writeLevel
    }

    deinit { loop.close() }

    /// Connects to the first seed that answers, and learns from it which node owns what.
    ///
    /// - Throws: ``MartletError/invalidArgument(_:)`` for a configuration that makes no sense,
    ///   ``MartletError/noNode(_:)`` when no seed answers within ``Configuration/connectTime``.
    public static func connect(to configuration: Configuration) async throws(MartletError) -> MartletClient {
        let settings = try ClientSettings(configuration)
        let loop = try await ClientLoop.launch(settings)
        let client = MartletClient(loop, settings, configuration)
        let failure: MartletError? = await withUnsafeContinuation { loop.send(.start($0)) }
        loop.gates.takeOver()
        if let failure {
            await client.close()
            throw failure
        }
        return client
    }

    /// Ends every call under way with ``MartletError/closed(_:)``, closes all connections and ends the
    /// thread. May be called again. A client that is dropped does the same.
    public func close() async { loop.close() }

    // MARK: Calls

    /// Sends a command and waits for its answer, the end of its time or the task's cancellation.
    func call(_ command: Command, within: Duration?) async throws(MartletError) -> RESPValue {
        let within = try callTime(within)
        try loop.gates.calls.enter()
        let ticket = Ticket()
        let outcome = await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Outcome, Never>) in
                let call = Call(command: command, within: within, ticket: ticket, continuation: continuation)
                loop.send(.begin(call))
            }
        } onCancel: {
            cancel(ticket)
        }
        loop.gates.takeOver()
        return try outcome.get()
    }

    /// The same for several commands, which are under way together. One outcome for each, in their order.
    func call(_ commands: [Command], within: Duration?) async throws(MartletError) -> [Outcome] {
        if commands.isEmpty { return [] }
        let within = try callTime(within)
        try loop.gates.calls.enter(commands.count)
        let ticket = Ticket()
        let outcomes = await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<[Outcome], Never>) in
                let batch = CallBatch(
                    commands: commands, within: within, ticket: ticket, continuation: continuation)
                loop.send(.beginMany(batch))
            }
        } onCancel: {
            cancel(ticket)
        }
        loop.gates.takeOver()
        return outcomes
    }

    private func cancel(_ ticket: Ticket) {
        ticket.isCancelled.store(true, ordering: .releasing)
        loop.sweepCancelled()
    }

    private func callTime(_ within: Duration?) throws(MartletError) -> Interval {
        guard let within else { return settings.callTime }
        guard within <= .seconds(86_400) else {
            throw .invalidArgument("a call's time is \(within); it is at most a day")
        }
        return Interval(within)
    }
}
