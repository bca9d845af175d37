// A page cache in front of a slow source: many readers, few questions to the source.
//
//     swift run example-page-cache 127.0.0.1 127.0.0.2
//
// What keeps a crowd of readers from all asking the source at once when a page is missing or ends:
// 1. within a process, one reader asks and the others wait for the same answer;
// 2. between processes, a page is made anew a little before it ends, by whichever reader draws that lot: the
//    nearer the end and the slower the source, the likelier (Vattani, Chierichetti, Lowenstein, "Optimal
//    Probabilistic Cache Stampede Prevention", VLDB 2015).
// A lock in the store would need agreement among replicas, which Martlet doesn't have (there is no SET NX);
// so two processes that find no page at all may both ask. Here that costs time, never a wrong page.

import MartletClient

/// Pages by their path, from the cache where they are there.
actor PageCache {
    private let client: MartletClient
    private let lifetime: Duration
    private let source: @Sendable (String) async -> String
    private var making: [String: Task<String, Never>] = [:]
    private(set) var hits = 0
    private(set) var questions = 0
    private(set) var earlyQuestions = 0

    init(
        _ client: MartletClient, lifetime: Duration, source: @escaping @Sendable (String) async -> String
    ) {
        self.client = client
        self.lifetime = lifetime
        self.source = source
    }

    func page(_ path: String) async -> String {
        // One replica is enough, and a cache that doesn't answer at once is worse than none.
        let entry = try? await client.get("page:\(path)", level: .one, within: .milliseconds(250))
        guard let entry, let cached = Entry(entry) else { return await make(path) }
        hits += 1
        if cached.isToBeMadeAnew(SystemClock.now), making[path] == nil {
            earlyQuestions += 1
            // This reader doesn't wait for it: the page at hand is still good.
            Task { await make(path) }
        }
        return cached.page
    }

    /// Asks the source, or waits for a reader who does already.
    private func make(_ path: String) async -> String {
        if let task = making[path] { return await task.value }
        questions += 1
        let task = Task {
            let start = ContinuousClock.now
            let page = await source(path)
            let cost = ContinuousClock.now - start
            let entry = Entry(page: page, cost: cost, ends: SystemClock.now + lifetime)
            // Any replica may take it: a page that is lost is made again.
            _ = try? await client.set(
                "page:\(path)", entry.bytes, expires: .after(lifetime), level: .one,
                within: .milliseconds(500))
            return page
        }
        making[path] = task
        let page = await task.value
        making[path] = nil
        return page
    }
}

/// What is stored: when the page ends, what it cost to make, and the page.
struct Entry {
    let page: String
    let cost: Duration
    let ends: Duration

    init(page: String, cost: Duration, ends: Duration) {
        (self.page, self.cost, self.ends) = (page, cost, ends)
    }

    init?(_ stored: Bytes) {
        guard let parts = stored.string?.split(separator: " ", maxSplits: 2), parts.count == 3,
            let ends = Int64(parts[0]), let cost = Int64(parts[1])
        else { return nil }
        self.init(page: String(parts[2]), cost: .milliseconds(cost), ends: .milliseconds(ends))
    }

    var bytes: Bytes { "\(ends.milliseconds) \(cost.milliseconds) \(page)" }

    /// Drawn so that of many readers about one says yes, and about the page's cost before its end.
    func isToBeMadeAnew(_ now: Duration) -> Bool {
        let lot = -Double(cost.milliseconds) * logarithm(Double.random(in: Double.leastNonzeroMagnitude..<1))
        return Double((ends - now).milliseconds) <= lot
    }
}

let seeds = CommandLine.arguments.dropFirst()
let client = try await MartletClient.connect(to: .init(seeds: seeds.isEmpty ? ["127.0.0.1"] : Array(seeds)))
let cache = PageCache(client, lifetime: .seconds(2)) { path in
    try? await Task.sleep(for: .milliseconds(200))
    return "<h1>\(path)</h1>"
}
for path in ["/", "/news"] { try await client.delete("page:\(path)") }

// Fifty readers find no page.
await withTaskGroup { group in
    for _ in 0..<50 { group.addTask { _ = await cache.page("/") } }
}
print("50 readers at once asked the source", await cache.questions, "time")

// Then one each few milliseconds, over more than the page's life: none of them waits for the source.
var slowest = Duration.zero
for _ in 0..<600 {
    let start = ContinuousClock.now
    _ = await cache.page("/")
    slowest = max(slowest, ContinuousClock.now - start)
    try await Task.sleep(for: .milliseconds(5))
}
print("600 readers one after the other found it", await cache.hits, "times")
print("it was made anew early", await cache.earlyQuestions, "times; the slowest reader waited", slowest)
await client.close()
