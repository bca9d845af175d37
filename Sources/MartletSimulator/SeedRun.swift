import MartletBase
import MartletNode

/// What one seed gave.
package struct SeedResult: Sendable {
    package let seed: UInt64
    package let traceHash: UInt64
    /// Of the cluster's time.
    package let simulated: Interval
    package let counters: Simulation.Counters
    package let summary: String
    /// The promise that was broken; nil when all held.
    package let violation: Violation?
    package let brokenAt: Instant

    /// Runs the seed to its end.
    package static func run(_ seed: UInt64, _ options: SimulationOptions) -> SeedResult {
        var simulation = Simulation(seed: seed, options)
        var violation: Violation?
        do {
            try simulation.runCourse()
        } catch {
            violation = error
        }
        return SeedResult(
            seed: seed, traceHash: simulation.traceHash, simulated: simulation.now - .zero,
            counters: simulation.counters, summary: simulation.plan.summary, violation: violation,
            brokenAt: simulation.now)
    }

    /// The report of a broken promise: what, when, under which faults, the events that led to it, and how to
    /// replay it.
    package func report(_ options: SimulationOptions, lines: Int) -> String {
        guard let violation else { return "" }
        var text =
            "seed \(seed): \(violation.invariant) is broken after \(brokenAt.nanoseconds / 1_000_000) ms\n"
        text += "  \(violation.text)\n  \(summary)\n"
        // A large run takes minutes, and what it would note more memory than there is.
        if !options.isLarge { text += again(options, violation, lines: lines) }
        return text + "replay: \(options.command(seed: seed)) --trace\n"
    }

    /// The run is made again with a trace: the same seed gives the same run.
    private func again(_ options: SimulationOptions, _ violation: Violation, lines: Int) -> String {
        var traced = options
        traced.isTraced = true
        var simulation = Simulation(seed: seed, traced)
        var again: Violation?
        do {
            try simulation.runCourse()
        } catch {
            again = error
        }
        var text = ""
        if again?.text != violation.text || simulation.traceHash != traceHash {
            text += "  Deterministic is broken too: the second run of this seed ended otherwise\n"
        }
        let excerpt = simulation.excerpt(key: violation.key, count: lines)
        if !excerpt.isEmpty {
            let subject = violation.key.map { "k\($0) and the cluster" } ?? "the cluster"
            text += "  the last \(excerpt.count) events of \(subject):\n"
            for line in excerpt { text += "    \(line)\n" }
        }
        return text
    }
}

extension Simulation {
    /// A random run, or that of a large cluster, as the options say.
    package mutating func runCourse() throws(Violation) {
        guard options.isLarge else { return try run() }
        let milestoneSink = options.milestoneSink
        try runLarge { milestoneSink?($0) }
    }

    /// The last lines of the trace that concern the key, or the cluster; empty when none was kept.
    package borrowing func excerpt(key: Int?, count: Int) -> [String] {
        recorder?.excerpt(key: key, count: count) ?? []
    }
}
