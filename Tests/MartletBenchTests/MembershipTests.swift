import MartletBase
import Testing
import martlet_bench

@Suite struct MembershipTests {
    private func result(_ membership: MembershipCase, tries: Int = 2) throws -> MembershipResult {
        try MembershipRun(seed: 3, tries: tries).run(membership)
    }

    @Test func aKillIsSeenAndTold() throws {
        let result = try result(MembershipCase(nodes: 10, loss: 5))
        #expect(result.detection > .seconds(2), "nobody is held down before the least suspicion is over")
        #expect(result.detection <= result.spread && result.spread <= result.spreadWorst)
        #expect(result.spreadWorst < .seconds(20))
        #expect(result.arrival < .seconds(5))
        #expect(result.unfinished == 0)
        #expect(result.healthyHeldDown == 0 && result.ailingHeldDown == 0)
        #expect(result.bytesPerSecond > 50 && result.bytesPerSecondMost >= result.bytesPerSecond)
    }

    /// Of those that stand still for seconds at a time some are held down: that's counted apart.
    @Test func whoAilsIsCountedApart() throws {
        let off = try result(MembershipCase(nodes: 20, loss: 0, ailment: .paused, hasLifeguard: false))
        let on = try result(MembershipCase(nodes: 20, loss: 0, ailment: .paused))
        #expect(off.ailingHeldDown > 0)
        #expect(on.ailingHeldDown < off.ailingHeldDown)
        #expect(on.healthyHeldDown == 0)
        let slow = try result(MembershipCase(nodes: 20, loss: 0, ailment: .slow))
        #expect(slow.bytesPerSecond > 50 && slow.unfinished == 0)
    }

    @Test func theSameSeedGivesTheSameReport() throws {
        func report() throws -> MembershipReport {
            var report = MembershipReport()
            for loss in [0, 10] {
                report.results.append(try result(MembershipCase(nodes: 5, loss: loss), tries: 1))
            }
            return report
        }
        let report1 = try report()
        #expect(try report().json.description == report1.json.description)
        #expect(
            report1.json.description.hasPrefix("{\"format\":1,\"results\":[{\"nodes\":5,\"loss_percent\":0"))
        #expect(report1.markdown.split(separator: "\n").count == 4)
        for (_, plot) in report1.plots { try expectWellFormed(plot.svg) }
    }

    @Test func anInterruptEndsIt() {
        #expect(throws: Failure.self) {
            _ = try MembershipRun(seed: 1, tries: 1).run(MembershipCase(nodes: 3, loss: 0)) {
                () throws(Failure) in throw Failure(.errors, "interrupted")
            }
        }
    }
}
