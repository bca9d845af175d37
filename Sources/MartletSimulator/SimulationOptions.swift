import MartletBase
import MartletNode

/// What a user fixes of a run; the seed draws the rest.
package struct SimulationOptions: Sendable {
    package var nodes: Int?
    /// Whether nodes come and go in every run; else the seed draws it.
    package var turns = false
    /// Whether the course of a large cluster is run (`Simulation.LargeRun`) in place of a random one.
    package var isLarge = false
    /// How long faults last.
    package var faultPhase: Interval?
    /// A deliberate bug, to be found.
    package var plant: PlantedBug?
    /// Whether a readable trace is kept.
    package var isTraced = false
    /// Takes each line of the trace as it is made: a run that traps has no end at which to ask for them.
    package var traceSink: (@Sendable (String) -> Void)?
    /// Is told what the steps of a large run took.
    package var milestoneSink: (@Sendable (Simulation.Milestone) -> Void)?

    package static let nodesMax = 1_000

    package init() {}

    /// What replays a run with a seed.
    package func command(seed: UInt64) -> String {
        var command = "martlet-sim --seed \(seed)"
        if let nodes { command += " --nodes \(nodes)" }
        if turns { command += " --turns" }
        if isLarge { command += " --large" }
        if let faultPhase { command += " --duration \(faultPhase.nanoseconds / 1_000_000_000)" }
        if let plant { command += " --plant \(plant.rawValue)" }
        return command
    }
}
