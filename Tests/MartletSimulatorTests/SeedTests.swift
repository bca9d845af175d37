import MartletBase
import MartletNode
import MartletSimulator
import Testing

/// Whole runs: every promise is kept, and a seed is a run.
@Suite struct SeedTests {
    @Test(arguments: 1...12)
    func everyPromiseIsKept(seed: UInt64) {
        let options = SimulationOptions()
        let result = SeedResult.run(seed, options)
        #expect(result.violation == nil, "\(result.report(options, lines: 60))")
        #expect(result.counters.operations > 300)
    }

    @Test(arguments: [3, 17])
    func aSeedIsARun(seed: UInt64) {
        let first = SeedResult.run(seed, SimulationOptions())
        let second = SeedResult.run(seed, SimulationOptions())
        #expect(first.traceHash == second.traceHash)
        #expect(first.counters.events == second.counters.events)
        var traced = SimulationOptions()
        traced.isTraced = true
        #expect(SeedResult.run(seed, traced).traceHash == first.traceHash, "a trace changes nothing")
        #expect(SeedResult.run(seed + 1, SimulationOptions()).traceHash != first.traceHash)
    }

    /// Every seed that has found a bug: docs/BUGS.md.
    @Test(arguments: [
        1, 3, 7, 67, 69, 122, 193, 258, 262, 269, 317, 464, 1_122, 1_503, 1_667, 1_894, 2_043, 2_308, 2_505,
        2_569,
        3_291, 3_754, 4_531, 4_828, 5_020, 8_327, 9_517, 20_956,
    ])
    func whatOnceBrokeHolds(seed: UInt64) {
        let options = SimulationOptions()
        let result = SeedResult.run(seed, options)
        #expect(result.violation == nil, "\(result.report(options, lines: 60))")
    }

    /// The same of changes of the ring, which come often in these runs.
    @Test(arguments: [
        14, 17, 21, 40, 45, 46, 67, 84, 108, 124, 138, 201, 214, 231, 256, 283, 291, 374, 388, 413, 426, 449,
        501, 530, 538, 603, 702, 713, 716, 743, 806, 945, 1_208, 1_381, 1_595, 1_683, 1_771, 2_180, 2_246,
        2_394, 2_603, 2_626, 2_674, 2_844, 3_249, 3_621, 4_411, 4_503, 4_783,
    ])
    func whatOnceBrokeHoldsInTurns(seed: UInt64) {
        var options = SimulationOptions()
        options.turns = true
        let result = SeedResult.run(seed, options)
        #expect(result.violation == nil, "\(result.report(options, lines: 60))")
    }
}
