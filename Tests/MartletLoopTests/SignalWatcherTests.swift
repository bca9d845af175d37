import Glibc
import MartletLoop
import Testing

@Suite struct SignalWatcherTests {
    @Test func aSignalIsACallbackOfTheLoop() throws {
        var arrived = 0
        try withLoop { loop in
            _ = try SignalWatcher(loop, .hangUp) {
                arrived += 1
                loop.stop()
            }
            kill(getpid(), SIGHUP)
        }
        #expect(arrived == 1)
    }
}
