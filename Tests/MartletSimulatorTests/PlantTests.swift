import MartletBase
import MartletNode
import MartletSimulator
import Testing

/// The proof that the checkers see: each deliberate bug is found within its budget, by seeds that nobody has
/// chosen.
@Suite struct PlantTests {
    /// Seeds until each was found lay between 1 and 305 when this was written. A bug that one seed in a
    /// hundred shows slips through so many once in sixty thousand runs.
    static let seedsMax = 1_100

    @Test(arguments: PlantedBug.allCases.filter { !PlantedBug.shownByScenarios.contains($0) })
    func isFound(_ plant: PlantedBug) {
        var options = SimulationOptions()
        options.plant = plant
        var system = SystemRandomNumberGenerator()
        let first = system.next() >> 16
        for seed in first..<(first + UInt64(Self.seedsMax)) {
            if let violation = SeedResult.run(seed, options).violation {
                print("\(plant.rawValue): found after \(seed - first + 1) seeds, as \(violation.invariant)")
                return
            }
        }
        Issue.record(
            "\(plant.rawValue) was not found by seeds \(first)..\(first + UInt64(Self.seedsMax) - 1)")
    }
}
