import FakeServer
import MartletBase
import MartletRESP
import MartletRing
import MartletServer

/// Whatever a client sends, and however it comes: what it gets is replies that a client can read, the same
/// ones in the same order; each request of the core is answered once; nothing is left when it goes.
func checkSession(_ input: [UInt8]) throws(PropertyFailure) {
    var whole: [UInt8]?
    for split in splits(of: input) {
        let output = try session(input, split)
        _ = try wholeReplies(output)
        // What counts bytes and calls sees how they came.
        if !showsItself(input) {
            try require(output == whole ?? output, "\(Blob(input)) is answered otherwise in pieces")
        }
        whole = output
    }
    try outOfOrder(input)
}

private func tighten(_ settings: inout RedisSettings) {
    settings.keyBytesMax = 100
    settings.valueBytesMax = 600
}

/// One client, whose requests are answered at once.
private func session(_ input: [UInt8], _ split: [Range<Int>]) throws(PropertyFailure) -> [UInt8] {
    let harness = Harness(tighten)
    var output: [UInt8] = []
    for range in split {
        let piece = Blob(Array(input[range]))
        harness.client.receive(piece.span)
        output += harness.client.takeOutput()
        harness.server.flush()
    }
    harness.client.endInput()
    output += harness.client.takeOutput()
    harness.server.checkInvariants()
    try checkEnd(harness)
    return output
}

/// Two clients with the halves of the input, whose requests are answered late and in any order.
private func outOfOrder(_ input: [UInt8]) throws(PropertyFailure) {
    let harness = Harness(tighten)
    harness.backend.isImmediate = false
    guard let other = harness.server.open(peer: "127.0.0.1:50001", local: "127.0.0.1:7379") else {
        throw PropertyFailure("there is no room for a second client")
    }
    var random = Random(seed: XXH3.hash(input.span.bytes))
    let half = input.count / 2
    var outputs: [[UInt8]] = [[], []]
    for range in splits(of: input)[2] {
        let index = range.lowerBound < half ? 0 : 1
        let client = index == 0 ? harness.client : other
        let piece = Blob(Array(input[range]))
        client.receive(piece.span)
        harness.backend.step(&random)
        outputs[index] += client.takeOutput()
        harness.server.checkInvariants()
    }
    // One goes with what it asked still under way.
    if random.chance(0.5) { harness.server.close(other) }
    harness.backend.finish(&random)
    harness.client.endInput()
    outputs[0] += harness.client.takeOutput()
    for output in outputs { _ = try wholeReplies(output) }
    harness.server.close(other)
    try checkEnd(harness)
    try require(!harness.backend.hasWork, "requests are left over")
}

private func checkEnd(_ harness: Harness) throws(PropertyFailure) {
    try require(
        harness.backend.replies == harness.backend.submitted.count,
        "\(harness.backend.submitted.count) requests and \(harness.backend.replies) replies")
    for request in harness.backend.submitted {
        try require(request.key.count <= 100, "a key of \(request.key.count) bytes came through")
    }
    harness.server.close(harness.client)
    harness.server.checkInvariants()
    // Until then the server's list of touched sessions refers to them.
    harness.server.flush()
}

/// Whether one of these words is in it: their replies count what came before.
private func showsItself(_ input: [UInt8]) -> Bool {
    let text = String(decoding: input, as: UTF8.self).lowercased()
    return ["client", "info", "metrics", "memory"].contains { text.contains($0) }
}
