import AllocationCounting
import MartletBase
import MartletNode
import MartletRing
import Testing

/// What a request costs the three cores together in allocations, once all that is allocated once has been:
/// links, tables, buffers. Counted, not timed, so the figure is the same on any machine. Frames, sockets and
/// disks are outside of it. Each test runs in a process of its own, in which nothing else allocates.
@Suite(.enabled(if: allocation_counting_works() && isOptimised)) struct AllocationTests {
    @Test func aQuorumPutAllocatesAHandfulInThreeCores() async {
        await #expect(processExitsWith: .success) {
            let count = allocations { cluster, i in
                #expect(cluster.put(i % 3, "key-\(i % keyCount)", "value-\(i)")?.stamp != nil)
            }
            #expect(count <= 5, "\(count) a put")
        }
    }

    @Test func aQuorumGetAllocatesAHandfulInThreeCores() async {
        await #expect(processExitsWith: .success) {
            let count = allocations { cluster, i in
                #expect(cluster.get(i % 3, "key-\(i % keyCount)")?.value != nil)
            }
            #expect(count <= 3, "\(count) a get")
        }
    }
}

/// The figures are the optimiser's: without it every generic call and closure has its own.
#if DEBUG
private let isOptimised = false
#else
private let isOptimised = true
#endif

private let keyCount = 50

/// The mean over requests in steady state.
private func allocations(_ request: (ScriptedCluster, Int) -> Void) -> Double {
    let requests = 1_000
    let cluster = ScriptedCluster(nodes: 3)
    cluster.start()
    cluster.advance(.seconds(1))
    for i in 0..<keyCount { #expect(cluster.put(0, "key-\(i)", "value")?.stamp != nil) }
    for i in 0..<requests { request(cluster, i) }
    cluster.countsAllocations = true
    for i in 0..<requests { request(cluster, i) }
    return Double(cluster.allocations) / Double(requests)
}
