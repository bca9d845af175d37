import MartletClient
import Testing

/// A client of the fake nodes; `change` sets what a test needs otherwise.
func connect(
    _ cluster: FakeCluster, _ change: (inout MartletClient.Configuration) -> Void = { _ in }
) async throws -> MartletClient {
    var configuration = MartletClient.Configuration(seeds: cluster.addresses)
    // A test that hangs is to fail with a word; none needs so long.
    configuration.callTime = .seconds(30)
    configuration.speculation = .off
    change(&configuration)
    return try await MartletClient.connect(to: configuration)
}

/// Looks until it is so.
func until(_ what: String, _ isSo: () async throws -> Bool) async throws {
    let limit = ContinuousClock.now + .seconds(30)
    while try await !isSo() {
        if ContinuousClock.now > limit {
            Issue.record("not within 30 s: \(what)")
            return
        }
        await Task.yield()
    }
}

/// The error that the call ends with.
func failure<R>(
    _ body: () async throws(MartletError) -> R, sourceLocation: SourceLocation = #_sourceLocation
) async -> MartletError? {
    do {
        let result = try await body()
        Issue.record("no error, but \(result)", sourceLocation: sourceLocation)
        return nil
    } catch {
        return error
    }
}
