import Glibc
import MartletBase
import MartletRESP
import MartletRing

/// Asks every node for every key's own copy: is it on each owner, the same on all, and nowhere else?
struct KeyCheck {
    struct Outcome: Sendable {
        var copies = 0
        /// Keys that an owner lacks, of which owners hold different versions, or that somebody else holds.
        var wrong: [Int] = []
        /// The first of them, in words.
        var example = ""
    }

    let keys: KeyFormat
    let count: Int

    /// Questions on their way to one node.
    private static let window = 256
    private static let verb = Blob(Array("VGET".utf8))
    private static let option = Blob(Array("LOCAL".utf8))

    /// All keys. Those that are wrong are asked for again until `within` has passed: a hint may be on its
    /// way, and who lost slots erases them after the change.
    func run(_ ring: LiveRing, _ owners: LiveRing.Owners, within: Interval) throws(Failure) -> Outcome {
        let deadline = monotonicNow() + within
        var outcome = try look(ring, owners, Array(0..<count))
        while !outcome.wrong.isEmpty, monotonicNow() < deadline {
            try Interrupts.wait(.milliseconds(500))
            let again = try look(ring, owners, outcome.wrong)
            outcome.wrong = again.wrong
            outcome.example = again.example
        }
        return outcome
    }

    private func look(_ ring: LiveRing, _ owners: LiveRing.Owners, _ asked: [Int]) throws(Failure) -> Outcome
    {
        var outcome = Outcome()
        // The version that the first owner asked has; 0 while none was.
        var versions = [UInt64](repeating: 0, count: asked.count)
        var isWrong = [Bool](repeating: false, count: asked.count)
        func complain(_ place: Int, _ what: @autoclosure () -> String) {
            if outcome.example.isEmpty { outcome.example = what() }
            isWrong[place] = true
        }
        for node in ring.nodes {
            try copies(at: node, asked) { place, version in
                let key = keys.key(asked[place])
                let isOwner = owners[Slot(key: key.span.bytes)].contains(node.name)
                let name = { String(decoding: key, as: UTF8.self) }
                guard let version else {
                    if isOwner { complain(place, "\(node.name) owns \(name()) and lacks it") }
                    return
                }
                outcome.copies += 1
                if !isOwner { return complain(place, "\(node.name) holds \(name()) and isn't an owner") }
                if versions[place] == 0 { versions[place] = version }
                if versions[place] != version { complain(place, "owners hold other versions of \(name())") }
            }
        }
        outcome.wrong = asked.indices.filter { isWrong[$0] }.map { asked[$0] }
        return outcome
    }

    /// What one node holds of these keys: a hash of the version, or nil.
    private func copies(
        at node: LiveRing.Node, _ asked: [Int], _ body: (Int, UInt64?) -> Void
    ) throws(Failure) {
        let client = try ControlClient(node.address)
        var sent = 0
        for place in asked.indices {
            if sent == place {
                var writer = RequestWriter()
                while sent < min(asked.count, place + Self.window) {
                    writer.request([Self.verb, Blob(keys.key(asked[sent])), Self.option])
                    sent += 1
                }
                try client.send(writer.bytes)
            }
            guard case .array(let parts) = try client.reply(), parts.count == 2 else {
                throw .refused("\(node.name) doesn't show its own copies")
            }
            if case .bulkString(let context) = parts[0] {
                body(place, XXH3.hash(context.bytes.span.bytes) | 1)
            } else {
                body(place, nil)
            }
        }
    }
}
