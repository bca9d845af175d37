// What each level answers, first with all nodes up, and then with one killed.
//
//     swift run example-levels 127.0.0.1 127.0.0.2 127.0.0.3
//
// It says when to kill a node (`kill -9`, any one), waits until the cluster sees that, and shows the same
// table again. Three nodes with three copies: QUORUM and ONE go on, ALL is refused before anything is sent.

import Glibc
import MartletClient

func row(_ level: String, _ read: String, _ write: String) {
    func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
    print(padded(level, 14) + padded(read, 44) + write)
}

/// One line about how a call ended.
func outcome(_ body: () async throws(MartletError) -> String) async -> String {
    do {
        return try await body()
    } catch .unavailable(let facts) {
        let down = facts.down.joined(separator: ",")
        return "unavailable: \(facts.alive) of \(facts.required) alive, down: \(down)"
    } catch .timeout(let facts) {
        return "timeout: \(facts.acknowledged) of \(facts.required) answered"
    } catch {
        return "\(error)"
    }
}

func table(_ client: MartletClient, _ key: String) async {
    row("level", "read", "write")
    for level in WriteLevel.allCases {
        let write = await outcome { () async throws(MartletError) in
            try await client.set(key, "written at \(level.rawValue)", level: level)
            return "written"
        }
        let read = await outcome { () async throws(MartletError) in
            guard let level = ReadLevel(rawValue: level.rawValue) else { return "-" }
            return try await client.get(key, level: level)?.string ?? "nothing"
        }
        row(level.rawValue, read, write)
    }
    fflush(nil)
}

let seeds = CommandLine.arguments.dropFirst()
var configuration = MartletClient.Configuration(seeds: seeds.isEmpty ? ["127.0.0.1"] : Array(seeds))
// Each level's first answer is what is to be seen here.
configuration.retries.attemptsMax = 2
let client = try await MartletClient.connect(to: configuration)

print("All nodes are up:")
await table(client, "levels")

print("Kill a node now: this goes on when the cluster has seen it.")
fflush(nil)
let limit = ContinuousClock.now + .seconds(120)
var down: [String] = []
while down.isEmpty, ContinuousClock.now < limit {
    do {
        try await client.set("levels", "still all there", level: .all)
    } catch .unavailable(let facts) {
        down = facts.down
    } catch {
        // Until the cluster has seen it a write at ALL times out, or a connection breaks.
    }
    try await Task.sleep(for: .milliseconds(100))
}
guard !down.isEmpty else {
    print("No node was killed.")
    exit(1)
}

print("Without \(down.joined(separator: ",")):")
await table(client, "levels")
await client.close()
