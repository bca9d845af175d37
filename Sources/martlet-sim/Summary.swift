import Glibc
import MartletBase
import MartletSimulator
import Synchronization

/// What is said of all the seeds together.
enum Summary {
    static func text(_ state: SeedSource.State, simulated: Double, seconds: Double) -> String {
        let counters = state.counters
        let rate = seconds > 0 ? Int(simulated / seconds) : 0
        return
            "\(state.finished) seeds, \(state.broken.count + state.differing.count) broken, in "
            + "\(tenths(seconds)) s: "
            + "\(Int(simulated)) simulated seconds, \(rate) a second; \(counters.operations) operations "
            + "(\(counters.acknowledged) writes and \(counters.reads) reads answered, "
            + "\(counters.pages) pages of scans, \(counters.changes) changes of keyspaces, "
            + "\(counters.alterations) of factors handed over, \(counters.rezonings) of zones, "
            + "\(counters.refused) refused, "
            + "\(counters.timedOut) timed out, \(counters.orphaned) lost with their node), "
            + "\(counters.faults) faults, "
            + "\(counters.badFrames) bad frames, \(counters.events) events; hash \(hex(state.hashOfAll))"
    }

    static func json(
        _ state: SeedSource.State, broken: [UInt64], simulated: Double, seconds: Double
    ) -> String {
        let counters = state.counters
        let fields: [(String, String)] = [
            ("format", "1"), ("seeds", "\(state.finished)"),
            ("broken", "[" + broken.sorted().map(String.init).joined(separator: ",") + "]"),
            ("seconds", tenths(seconds)), ("simulated_seconds", "\(Int(simulated))"),
            ("operations", "\(counters.operations)"), ("writes", "\(counters.acknowledged)"),
            ("reads", "\(counters.reads)"), ("refused", "\(counters.refused)"),
            ("timed_out", "\(counters.timedOut)"), ("orphaned", "\(counters.orphaned)"),
            ("faults", "\(counters.faults)"), ("bad_frames", "\(counters.badFrames)"),
            ("events", "\(counters.events)"), ("hash", "\"\(hex(state.hashOfAll))\""),
        ]
        return "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    private static func tenths(_ seconds: Double) -> String {
        let tenths = Int(seconds * 10)
        return "\(tenths / 10).\(tenths % 10)"
    }
}

func printProgress(_ source: SeedSource, since began: Double) {
    let (finished, simulated) = source.state.withLock { ($0.finished, Double($0.simulatedNanoseconds) / 1e9) }
    let seconds = monotonicSeconds() - began
    guard seconds > 0 else { return }
    let total = source.arguments.seeds.count
    write(
        "\r\(finished) of \(total) seeds, \(Int(Double(finished) / seconds)) a second, "
            + "\(Int(simulated / seconds)) "
            + "simulated seconds a second   ", to: STDERR_FILENO)
}

func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func write(_ text: String, to file: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let written = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
        guard written > 0 else { return }
        bytes = bytes.dropFirst(written)
    }
}

/// A thread of the system that runs one closure.
final class JobThread {
    private final class Job: Sendable {
        let body: @Sendable () -> Void
        let isDone = Atomic(false)
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    private let job: Job
    private var thread = pthread_t()

    /// Simulations keep little on the stack, but a node's turn may nest.
    private static let stackBytes = 8 << 20

    init(_ body: @escaping @Sendable () -> Void) {
        job = Job(body)
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        let status = pthread_create(
            &thread, &attributes,
            { context in
                let job = Unmanaged<Job>.fromOpaque(context!).takeRetainedValue()
                job.body()
                job.isDone.store(true, ordering: .releasing)
                return nil
            }, Unmanaged.passRetained(job).toOpaque())
        invariant(status == 0, "a thread could not be started: error \(status)")
        pthread_attr_destroy(&attributes)
    }

    var isDone: Bool { job.isDone.load(ordering: .acquiring) }
    func join() { pthread_join(thread, nil) }
}
