import AllocationCounting
import MartletClient
import Testing

/// What a call costs in allocations, counted over the whole process: the caller's task, the loop's thread and
/// back. Each runs in a process of its own, in which nothing else allocates.
@Suite(.enabled(if: allocation_counting_works())) struct AllocationTests {
    @Test func aPipelinedGetAllocatesAHandfulOfObjects() async {
        await #expect(processExitsWith: .success) {
            let count = try await allocations { client in _ = try await client.get("a-key-of-24-bytes-length")
            }
            #expect(count <= (isOptimised ? 7 : 12), "\(count) a GET")
        }
    }

    @Test func aPipelinedGetAtALevelAllocatesTwoHandfuls() async {
        await #expect(processExitsWith: .success) {
            let count = try await allocations { client in
                _ = try await client.get("a-key-of-24-bytes-length", level: .quorum)
            }
            #expect(count <= (isOptimised ? 14 : 45), "\(count) a VGET")
        }
    }
}

/// Without the optimiser every generic call and closure costs its own; the figures that count are its.
#if DEBUG
private let isOptimised = false
#else
private let isOptimised = true
#endif

/// The mean over calls of 32 tasks that share two connections.
private func allocations(_ call: @escaping @Sendable (MartletClient) async throws -> Void) async throws
    -> Double
{
    let tasks = 32
    let callsPerTask = 500
    let port = allocation_counting_server()
    try #require(port > 0)
    let client = try await MartletClient.connect(to: .init(seeds: ["127.0.0.1:\(port)"]))
    @Sendable func run() async throws {
        try await withThrowingTaskGroup { group in
            for _ in 0..<tasks {
                group.addTask {
                    for _ in 0..<callsPerTask { try await call(client) }
                }
            }
            try await group.waitForAll()
        }
    }
    // Once for all that is allocated once.
    try await run()
    allocation_counting_begin()
    try await run()
    let count = allocation_counting_end()
    await client.close()
    return Double(count) / Double(tasks * callsPerTask)
}
