import AllocationCounting
import FakeServer
import MartletBase
import Testing

/// What a request costs a session in allocations, over a store in memory that answers at once: the request is
/// parsed, becomes an operation, goes to the store, and its reply is written. Counted, not timed. Each test
/// runs in a process of its own, in which nothing else allocates.
@Suite(.enabled(if: allocation_counting_works() && isOptimised)) struct AllocationTests {
    @Test func aGetAllocatesAHandful() async {
        await #expect(processExitsWith: .success) {
            let count = allocations { "GET key-of-24-bytes-length-\($0)" }
            #expect(count <= 2, "\(count) a GET")
        }
    }

    @Test func aSetAllocatesAHandful() async {
        await #expect(processExitsWith: .success) {
            let count = allocations { "SET key-of-24-bytes-length-\($0) value-of-more-than-15-bytes" }
            #expect(count <= 4, "\(count) a SET")
        }
    }
}

/// The figures are the optimiser's: without it every generic call and closure has its own.
#if DEBUG
private let isOptimised = false
#else
private let isOptimised = true
#endif

/// The mean over requests of pipelines of 16 in steady state; the store's own are in it.
private func allocations(_ line: (Int) -> String) -> Double {
    let depth = 16
    let rounds = 200
    let harness = Harness()
    let pipeline = Blob(
        (0..<depth).flatMap { Harness.request(line($0).split(separator: " ").map { Blob(String($0)) }) })
    var bytes = 0
    func run() {
        for _ in 0..<rounds {
            harness.client.receive(pipeline.span)
            bytes += harness.client.takeOutput().count
        }
    }
    for i in 0..<depth { harness.ask("SET key-of-24-bytes-length-\(i) value") }
    run()
    allocation_counting_begin()
    run()
    let count = allocation_counting_end()
    #expect(bytes >= 2 * rounds * depth * "+OK\r\n".utf8.count, "not every request was answered")
    return Double(count) / Double(rounds * depth)
}
