import MartletSimulator
import Testing

/// A large cluster of whole nodes, with every checker: `make simulate-large` runs larger ones.
@Suite struct LargeTests {
    /// They form a ring, change it under load, and come to rest.
    @Test func sixtyNodesConverge() {
        var options = SimulationOptions()
        options.isLarge = true
        options.nodes = 60
        let result = SeedResult.run(1, options)
        #expect(result.violation == nil, "\(result.report(options, lines: 60))")
        #expect(result.counters.acknowledged > 500)
    }
}
