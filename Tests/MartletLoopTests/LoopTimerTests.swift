import MartletBase
import MartletLoop
import Testing

@Suite struct LoopTimerTests {
    @Test func timersFireInTheOrderOfTheirDeadlinesAndNeverEarly() throws {
        var order: [Int] = []
        try withLoop { loop in
            let start = loop.now.monotonic
            for i in [3, 1, 4, 2, 0] {
                let deadline = start + .milliseconds(Int64(5 * i)) + .microseconds(100)
                let timer = LoopTimer(loop) {
                    #expect(loop.now.monotonic >= deadline)
                    order.append(i)
                    if order.count == 5 { loop.stop() }
                }
                timer.arm(at: deadline)
            }
        }
        #expect(order == [0, 1, 2, 3, 4])
    }

    /// Also when another callback of the turn read the clock before the deadline and then took long.
    @Test func theClockIsNeverBeforeADeadlineThatFires() throws {
        var fired = 0
        try withLoop { loop in
            var deadline = Instant.zero
            var timer: LoopTimer?
            timer = LoopTimer(loop) {
                fired += 1
                #expect(loop.now.monotonic >= deadline)
                loop.stop()
            }
            let inbox = try Inbox<Int>(loop, countMax: 1) { _ in
                deadline = loop.now.monotonic + .milliseconds(2)
                timer?.arm(at: deadline)
                let other = try? EventLoop()
                while let other, other.now.monotonic < deadline + .milliseconds(2) { other.updateNow() }
                other?.shutDown()
            }
            #expect(inbox.send(1))
        }
        #expect(fired == 1)
    }

    @Test func theLastDeadlineCounts() throws {
        var fired: [String] = []
        try withLoop { loop in
            let start = loop.now.monotonic
            let moved = LoopTimer(loop) {
                #expect(loop.now.monotonic >= start + .milliseconds(15))
                fired.append("moved")
                if fired.count == 2 { loop.stop() }
            }
            moved.arm(at: start + .seconds(3_600))
            moved.arm(at: start + .milliseconds(1))
            for i in 0..<10_000 { moved.arm(at: start + .milliseconds(5) + .microseconds(Int64(i))) }
            let disarmed = LoopTimer(loop) { fired.append("disarmed") }
            disarmed.arm(at: start + .milliseconds(1))
            disarmed.disarm()
            #expect(!disarmed.isArmed)
            let earlier = LoopTimer(loop) {
                fired.append("earlier")
                if fired.count == 2 { loop.stop() }
            }
            earlier.arm(at: start + .milliseconds(14))
            earlier.arm(at: start + .milliseconds(2))
            moved.arm(at: start + .milliseconds(15))
        }
        // A loop that was held up for so long finds both due, and begins with the one that it looked for
        // first.
        #expect(fired.sorted() == ["earlier", "moved"])
    }

    @Test func aTimerIsArmedAgainByItsOwnCallbackAndADeadlineThatHasPassedFires() throws {
        var fired = 0
        try withLoop { loop in
            var timer: LoopTimer?
            timer = LoopTimer(loop) {
                fired += 1
                #expect(timer?.isArmed == false)
                if fired == 3 { loop.stop() } else { timer?.arm(at: .zero) }
            }
            timer?.arm(at: loop.now.monotonic - .seconds(1))
        }
        #expect(fired == 3)
    }

    @Test func aClosedTimerStaysSilent() throws {
        var fired = 0
        try withLoop { loop in
            let closed = LoopTimer(loop) { fired += 1 }
            closed.arm(at: .zero)
            closed.close()
            closed.arm(at: .zero)
            let last = LoopTimer(loop) { loop.stop() }
            last.arm(at: loop.now.monotonic + .milliseconds(2))
        }
        #expect(fired == 0)
    }
}
