// Web sessions: values with a time to live, a level for each request, and writes that follow what was read.
//
// Run it beside `make run`; any nodes will do, as address or address:port:
//
//     .build/release/example-sessions 127.0.0.1 127.0.0.2

import MartletClient

/// A store of sessions, as a web service would have one.
struct Sessions {
    let client: MartletClient
    let lifetime: Duration

    private func key(_ id: String) -> Bytes { "session:\(id)" }

    /// Begins a session, on disk on most replicas when this returns.
    func begin(_ id: String, _ data: String) async throws(MartletError) {
        try await client.set(key(id), data, expires: .after(lifetime), level: .quorum)
    }

    /// What the session holds; nil when it has ended. One replica may answer: fast, and good enough for a
    /// page that is drawn anew in a moment.
    func data(_ id: String) async throws(MartletError) -> String? {
        try await client.get(key(id), level: .one)?.string
    }

    /// Changes a session that must exist. The context puts the write above what was read.
    func change(_ id: String, _ change: (String) -> String) async throws(MartletError) -> Bool {
        let read = try await client.getVersioned(key(id), level: .quorum)
        guard let old = read.value?.string else { return false }
        try await client.set(
            key(id), change(old), expires: .after(lifetime), level: .quorum, context: read.context)
        return true
    }

    /// The visitor was seen: the session lives on.
    func touch(_ id: String) async throws(MartletError) -> Bool {
        try await client.expire(key(id), after: lifetime)
    }

    func end(_ id: String) async throws(MartletError) { try await client.delete(key(id), level: .quorum) }
}

let seeds = CommandLine.arguments.dropFirst()
let client = try await MartletClient.connect(to: .init(seeds: seeds.isEmpty ? ["127.0.0.1"] : Array(seeds)))

let sessions = Sessions(client: client, lifetime: .seconds(1_800))
try await sessions.begin("42", "user=ann;cart=7")
print("session 42 holds", try await sessions.data("42") ?? "nothing")
if try await sessions.change("42", { $0.replacing("cart=7", with: "cart=8") }) {
    print("session 42 holds", try await client.get("session:42", level: .all)?.string ?? "nothing")
}
if try await sessions.touch("42"), case .left(let time) = try await client.timeToLive("session:42") {
    let rounded = time + .milliseconds(500)
    print("session 42 lives for another", rounded.components.seconds, "s")
}

// Many at once: each key is asked of an owner of its own, and has its own outcome.
let ids = (1...100).map { "\($0)" }
let begun = try await client.setMany(
    ids.map { ("session:\($0)", "user=\($0)") }, expires: .after(.seconds(60)), level: .quorum)
print("began", begun.filter { (try? $0.get()) != nil }.count, "sessions in one go")

try await sessions.end("42")
print("session 42 holds", try await sessions.data("42") ?? "nothing")

// A session that nobody touches ends by itself.
let short = Sessions(client: client, lifetime: .milliseconds(300))
try await short.begin("short", "user=bob")
while try await short.data("short") != nil { try await Task.sleep(for: .milliseconds(20)) }
print("session short has ended by itself")

for id in ids { try await sessions.end(id) }
await client.close()
