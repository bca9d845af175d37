import MartletBase
import MartletConfig
import Testing
import martlet_bench

@Suite struct OptionTests {
    private func plan(_ words: String...) throws -> (plan: LoadPlan, preload: Bool) {
        guard case .run(let line) = Program.specification.parse(["run"] + words) else {
            throw Failure.usage("not understood: \(words)")
        }
        return try LoadOptions.plan(line)
    }

    @Test func defaults() throws {
        let (plan, preload) = try plan()
        #expect(plan.targets.map(\.description) == ["127.0.0.1:7379"])
        #expect(plan.connections == 64 && plan.pipeline == 1 && plan.threads == 1 && plan.rate == nil)
        #expect(plan.keyCount == 100_000 && plan.keyBytes == 16 && plan.valueBytes == 100...100)
        #expect(plan.limit == .duration(.seconds(10)) && plan.warmUp == .seconds(1))
        #expect(plan.workload.shares == [0.5, 0.5, 0, 0, 0] && plan.workload.distribution == .uniform)
        #expect(preload && plan.isPreloaded && plan.setup.isEmpty)
    }

    @Test func everythingIsTaken() throws {
        let (plan, preload) = try plan(
            "--target", "127.0.0.1", "--target", "127.0.0.2:99", "--connections=8", "--pipeline", "4",
            "--threads", "2", "--rate", "20000", "--poisson", "--requests", "10k", "--warm-up", "0s",
            "--workload", "f", "--distribution", "zipf:0.5", "--keys", "1M", "--key-size", "24",
            "--value-size", "10-2000", "--no-preload", "--level", "one:all", "--keyspace", "1", "--wait", "2",
            "--timeout", "500ms", "--seed", "7")
        #expect(plan.targets.map(\.description) == ["127.0.0.1:7379", "127.0.0.2:99"])
        #expect(plan.connections == 8 && plan.pipeline == 4 && plan.threads == 2)
        #expect(plan.rate == LoadPlan.Rate(perSecond: 20_000, isPoisson: true))
        #expect(plan.limit == .requests(10_000) && plan.warmUp == .zero)
        #expect(plan.workload.name == "F" && plan.workload.distribution == .zipf(theta: 0.5))
        #expect(plan.keyCount == 1_000_000 && plan.keyBytes == 24 && plan.valueBytes == 10...2_000)
        #expect(!preload && plan.setup == [["SELECT", "1"], ["CONSISTENCY", "ONE", "ALL"]])
        #expect(plan.waitReplicas == 2 && plan.timeout == .milliseconds(500) && plan.seed == 7)
        #expect(try self.plan("--cluster").plan.targets.map(\.description) == ["127.0.0.1:7380"])
    }

    @Test(arguments: [
        ["--connections", "0"], ["--connections", "many"], ["--target", "localhost"], ["--rate", "0"],
        ["--poisson"], ["--workload", "G"], ["--workload", "A", "--reads", "0.5"], ["--reads", "1.5"],
        ["--distribution", "normal"], ["--distribution", "zipf:1"], ["--value-size", "9-3"],
        ["--value-size", "1-"], ["--key-size", "1"], ["--key-size", "3", "--keys", "200"],
        ["--level", "SOME"], ["--level", "ONE:ONE:ONE"], ["--duration", "soon"], ["--duration", "0s"],
        ["--duration", "1s", "--requests", "1"], ["--threads", "9", "--connections", "8"],
        ["--keys", "99999999999999999999"], ["--value-size", "0-100000"],
    ])
    func nonsenseIsRefusedAsUsage(words: [String]) {
        guard case .run(let line) = Program.specification.parse(["run"] + words) else { return }
        let failure = #expect(throws: Failure.self) { try LoadOptions.plan(line) }
        #expect(failure?.status == .usage, "\(failure?.text ?? "")")
        #expect(failure?.text.contains("--") == true)
    }

    @Test func preloadingWritesEachKeyOnce() throws {
        let preload = try plan("--workload", "C", "--keys", "777", "--rate", "10").plan.preload
        #expect(preload.limit == .requests(777) && preload.rate == nil && preload.warmUp == .zero)
        #expect(preload.workload == .preload)
    }
}
