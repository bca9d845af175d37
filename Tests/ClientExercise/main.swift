// What the end-to-end tests let loose on a real cluster while they kill nodes:
//
//     client-exercise SECONDS SEED...
//
// Each of some tasks counts up in a key of its own, at QUORUM, and reads it back: what it reads lies between
// the last number that was acknowledged and the last that may have been written. Then batches and a scan. It
// prints what it saw as lines of name=value; status 1 when a read was wrong.

import Glibc
import MartletClient

struct Tally: Sendable {
    var writes = 0
    var reads = 0
    var lostWrites = 0
    var failedWrites = 0
    var failedReads = 0
    var wrongReads = 0
    var failures: [String] = []

    mutating func add(_ other: Tally) {
        writes += other.writes
        reads += other.reads
        lostWrites += other.lostWrites
        failedWrites += other.failedWrites
        failedReads += other.failedReads
        wrongReads += other.wrongReads
        failures += other.failures
    }

    mutating func note(_ failure: String) {
        if failures.count < 5 { failures.append(failure) }
    }
}

func countUp(_ client: MartletClient, _ key: String, until end: ContinuousClock.Instant) async -> Tally {
    var tally = Tally()
    var acknowledged = 0
    var sent = 0
    while ContinuousClock.now < end {
        sent += 1
        do {
            try await client.set(key, "\(sent)", level: .quorum)
            acknowledged = sent
            tally.writes += 1
        } catch {
            if error.mayHaveHappened { tally.lostWrites += 1 } else { tally.failedWrites += 1 }
            tally.note("write: \(error)")
        }
        do {
            let read = try await client.get(key, level: .quorum)?.string.flatMap { Int($0) } ?? 0
            tally.reads += 1
            if read < acknowledged || read > sent {
                tally.wrongReads += 1
                tally.note("\(key) is \(read), not \(acknowledged) to \(sent)")
            }
            // What was read at a quorum is there for good.
            acknowledged = max(acknowledged, read)
        } catch {
            tally.failedReads += 1
            tally.note("read: \(error)")
        }
    }
    return tally
}

/// Writes many keys at once, reads and lists them.
/// - Returns: how many were read right, and how many were listed.
func exerciseBatches(_ client: MartletClient) async throws -> (read: Int, listed: Int) {
    let keys = (0..<1_000).map { "batch:\($0)" }
    let written = try await client.setMany(keys.map { ($0, $0) }, level: .quorum)
    for outcome in written { _ = try outcome.get() }
    let values = try await client.getMany(keys, level: .quorum)
    let right = zip(keys, values).filter { (try? $1.get())??.string == $0 }.count
    var listed = Set<Bytes>()
    for try await key in client.scan(matching: "batch:*", pageSize: 100) { listed.insert(key) }
    return (right, listed.count)
}

let arguments = CommandLine.arguments
guard arguments.count > 2, let seconds = Int(arguments[1]) else {
    print("usage: client-exercise SECONDS SEED...")
    exit(2)
}
let client = try await MartletClient.connect(to: .init(seeds: Array(arguments[2...])))
let end = ContinuousClock.now + .seconds(seconds)
print("running")
fflush(nil)
let tally = await withTaskGroup { group in
    for number in 0..<32 { group.addTask { await countUp(client, "count:\(number)", until: end) } }
    var all = Tally()
    for await one in group { all.add(one) }
    return all
}
let status = try await client.status()
print("writes=\(tally.writes) reads=\(tally.reads) lost_writes=\(tally.lostWrites)")
print("failed_writes=\(tally.failedWrites) failed_reads=\(tally.failedReads) wrong_reads=\(tally.wrongReads)")
print("retries=\(status.retries) speculations=\(status.speculations) token_aware=\(status.isTokenAware)")
for failure in tally.failures.prefix(10) { print("failure: \(failure)") }
fflush(nil)
let batches = try await exerciseBatches(client)
print("batch_read=\(batches.read) listed=\(batches.listed)")
await client.close()
exit(tally.wrongReads == 0 ? 0 : 1)
