import MartletClient
import Testing

/// A test that hangs is to fail with a word. None needs so long, on however busy a machine.
private let patience = Duration.seconds(300)

/// A client of the fake nodes; `change` sets what a test needs otherwise.
func connect(
    _ cluster: FakeCluster, _ change: (inout MartletClient.Configuration) -> Void = { _ in }
) async throws -> MartletClient {
    var configuration = MartletClient.Configuration(seeds: cluster.addresses)
    configuration.callTime = patience
    configuration.connectTime = patience
    configuration.silenceMax = patience
    configuration.speculation = .off
    change(&configuration)
    return try await MartletClient.connect(to: configuration)
}

/// Looks until it is so.
func until(_ what: String, _ isSo: () async throws -> Bool) async throws {
    let limit = ContinuousClock.now + patience
    while try await !isSo() {
        if ContinuousClock.now > limit {
            Issue.record("not within \(patience): \(what)")
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
