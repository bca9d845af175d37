import Glibc
import MartletBase
import MartletSimulator
import Synchronization

/// Hands seeds to jobs and gathers what came of them. The results count in the order of their seeds, so what
/// is printed doesn't depend on how many jobs there are.
final class SeedSource: Sendable {
    struct State {
        var next: UInt64
        /// Nil once all were handed out.
        var isExhausted = false
        var finished = 0
        var simulatedNanoseconds: Int64 = 0
        var counters = Simulation.Counters()
        var broken: [SeedResult] = []
        /// Seeds whose second run had another hash.
        var differing: [UInt64] = []
        var hashOfAll: UInt64 = 0
    }

    let arguments: Arguments
    let state: Mutex<State>

    init(_ arguments: Arguments) {
        self.arguments = arguments
        state = Mutex(State(next: arguments.seeds.lowerBound))
    }

    /// The next seed; nil when there are none left, or when one has failed.
    func take() -> UInt64? {
        state.withLock { state in
            guard !state.isExhausted, state.broken.isEmpty, state.differing.isEmpty else { return nil }
            let seed = state.next
            if seed == arguments.seeds.upperBound { state.isExhausted = true } else { state.next += 1 }
            return seed
        }
    }

    func finish(_ result: SeedResult, differs: Bool) {
        state.withLock { state in
            state.finished += 1
            state.simulatedNanoseconds += result.simulated.nanoseconds
            state.counters.add(result.counters)
            // A sum, so that the order in which jobs finish doesn't matter.
            state.hashOfAll &+= result.traceHash
            if result.violation != nil { state.broken.append(result) }
            if differs { state.differing.append(result.seed) }
        }
    }

    /// One job: seeds until there are none.
    func work() {
        while let seed = take() {
            TrapReport.begin(
                "the trap above is of seed \(seed); replay: \(arguments.options.command(seed: seed))\n")
            let result = SeedResult.run(seed, arguments.options)
            var differs = false
            if seed - arguments.seeds.lowerBound < arguments.verified {
                differs = SeedResult.run(seed, arguments.options).traceHash != result.traceHash
            }
            finish(result, differs: differs)
        }
    }
}
