import MartletBase
import MartletNode
import MartletStorage
import MartletVersions
import MartletWire

/// The words of a readable trace.
extension Simulation {
    mutating func recordEvent(_ process: SimulatedProcess, _ event: borrowing Event) {
        switch event {
        case .peer(_, let id, _, let message):
            let sender = processes.first { $0.id == id }
            let asker = messageAsker(message, sender: sender?.index ?? 0, receiver: process.index)
            guard let (key, text) = describe(message, asker: asker) else { return }
            record(key: key, "\(process.name) hears from \(sender?.name ?? "a stranger"): \(text)")
        case .storage(.durable(let ticket)):
            // Of no key: said only where the key's own lines need it, and they name the ticket.
            record(key: -1, "\(process.name) has synced up to \(ticket.number)")
        case .storage(.refused(let ticket, let refusal)):
            record("\(process.name) can't write \(ticket.number): \(refusal)")
        case .linkUp(let peer): record("\(process.name) is connected to peer \(peer.number)")
        case .linkDown(let peer): record("\(process.name) has lost peer \(peer.number)")
        case .refusedByPeer(let address, let farewell):
            record("\(process.name) is refused by \(address): \(farewell.text)")
        default: break
        }
    }

    mutating func recordSend(_ process: SimulatedProcess, to address: Address, _ message: Message) {
        switch message {
        case .merge(let request):
            if let key = WorkloadKeys.index(of: request.key) {
                recorder?.remember(request.request, by: process.index, isAbout: key)
            }
        case .hint(let request):
            if let key = WorkloadKeys.index(of: request.key) {
                recorder?.remember(request.request, by: process.index, isAbout: key)
            }
        case .read(let request):
            if let key = WorkloadKeys.index(of: request.key) {
                recorder?.remember(request.request, by: process.index, isAbout: key)
            }
        default: break
        }
        guard let machine = machineOfAddress[address] else { return }
        let asker = messageAsker(message, sender: process.index, receiver: machine)
        guard let (key, text) = describe(message, asker: asker) else { return }
        let receiver = processes[machine].name
        record(key: key, "\(process.name) sends to \(receiver): \(text)")
    }

    /// Whose request the message is, or answers.
    private func messageAsker(_ message: Message, sender: Int, receiver: Int) -> Int {
        switch message {
        case .mergeAnswer, .readAnswer, .exchangeAnswer: receiver
        default: sender
        }
    }

    private func describe(_ message: Message, asker: Int) -> (key: Int?, text: String)? {
        switch message {
        case .merge(let request):
            return (
                WorkloadKeys.index(of: request.key),
                "merge #\(hex(request.request)) "
                    + "\(request.isFresh ? "fresh " : "")\(Self.text(request.record))"
            )
        case .hint(let request):
            return (
                WorkloadKeys.index(of: request.key),
                "hint #\(hex(request.request)) for \(request.target) \(Self.text(request.record))"
            )
        case .mergeMany(let request):
            return (nil, "merges of #\(hex(request.request)): \(Self.text(request.records))")
        case .exchangeOpening(let opening):
            return (nil, "exchange #\(hex(opening.subject.request)) opens with \(hex(opening.root))")
        case .exchangeDescent(let descent):
            return (nil, "exchange #\(hex(descent.subject.request)) descends to \(descent.nodes.count)")
        case .exchangeListing(let listing):
            let tags = listing.segments.reduce(0) { $0 + $1.tags.count }
            return (nil, "listing #\(hex(listing.subject.request)) of \(tags)")
        case .exchangeAnswer(let answer):
            return (nil, "answer #\(hex(answer.request)) \(Self.text(answer.outcome))")
        case .mergeAnswer(let answer):
            return (
                recorder?.key(of: answer.request, by: asker),
                "answer #\(hex(answer.request)) \(answer.outcome)"
            )
        case .read(let request):
            return (
                WorkloadKeys.index(of: request.key),
                "read #\(hex(request.request))\(request.wantsDigest ? " digest" : "")"
            )
        case .readAnswer(let answer):
            let key = recorder?.key(of: answer.request, by: asker)
            let text =
                switch answer.outcome {
                case .record(let record): Self.text(record)
                case .digest(let digest): "digest \(hex(digest))"
                case .refused(let refusal): "refused: \(refusal)"
                }
            return (key, "answer #\(hex(answer.request)) \(text)")
        case .scan(let request): return (nil, "scan #\(hex(request.request)) \(request.wanted)")
        case .scanAnswer(let answer):
            return (nil, "answer #\(hex(answer.request)) \(Self.text(answer.outcome))")
        case .view: return (nil, "its view of the ring")
        case .put(let request):
            return (nil, "put #\(hex(request.request)) of \(request.key)")
        case .putAnswer(let answer): return (nil, "answer #\(hex(answer.request)) \(answer.outcome)")
        case .define(let request):
            return (nil, "define #\(hex(request.request)), \(request.definitions.count) keyspaces")
        case .purge(let request):
            return (nil, "purge round \(request.round): \(request.step) \(request.floor)")
        case .purgeAnswer(let answer):
            return (nil, "purge round \(answer.round): \(answer.step) \(answer.outcome)")
        case .floor(let news): return (nil, "floor \(news.floor) of \(news.spans.count) spans")
        case .viewWanted: return (nil, "a wish for the view of the ring")
        case .join: return (nil, "its wish to join")
        case .joinAnswer(let answer): return (nil, "join: \(answer.outcome)")
        case .vote, .voteAnswer: return (nil, describeVote(message))
        case .entry: return (nil, "a ring entry")
        case .hello, .farewell, .gossip: return nil
        }
    }

    private func describeVote(_ message: Message) -> String {
        switch message {
        case .vote(let request): "vote on \(hex(request.shape))\(request.isVoid ? ", void?" : "?")"
        case .voteAnswer(let answer):
            "vote on \(hex(answer.shape))\(answer.isVoid ? ", void" : ""): "
                + "\(answer.obstacle?.text.description ?? "yes")"
        default: ""
        }
    }

    static func text(_ record: Blob?) -> String {
        guard let record else { return "nothing" }
        guard let view = try? RegisterView(record.span), let version = HeldVersion(of: record) else {
            var versions: [String] = []
            Record.forEachVersion(record.span) { versions.append("\($0.stamp)") }
            return versions.isEmpty
                ? "no versions" : "versions [" + versions.joined(separator: ", ") + "]"
        }
        let expiry = view.expiry.map { ", expires at \($0)" } ?? ""
        switch view.state {
        case .tombstone: return "tombstone [\(version)\(expiry)]"
        case .dropped: return "dropped [\(version)\(expiry)]"
        case .present:
            let source = WorkloadValues.operation(
                of: record.span.extracting(view.valueOffset..<record.count))
            return "value of \(source.map(String.init) ?? "?") [\(version)\(expiry)]"
        }
    }

    private static func text(_ outcome: ScanAnswer.Outcome) -> String {
        switch outcome {
        case .keys(let keys, let next): "\(keys.count) keys, next \(next.map { hex($0) } ?? "none")"
        case .counts(let counts, let next):
            "\(counts.count) leaves, next \(next.map { hex($0) } ?? "none")"
        case .refused(let refusal): "refused: \(refusal)"
        }
    }

    static func text(_ reply: ClientReply) -> String {
        switch reply {
        case .scanned(let page):
            "\(page.count) keys: \(page.keys.map(\.description).joined(separator: " ")), "
                + "next \(page.next.map(\.description) ?? "none")"
        case .read(let record): "read \(text(record))"
        case .defined(let definitions):
            "defined \(definitions.map { "\($0.name) up to \(HybridTime(bits: $0.truncation))" })"
        case .written(let stamp): "written as \(stamp)"
        case .acted: "acted"
        case .failed(let failure): "\(failure)"
        }
    }

    private static func text(_ records: [KeyedRecord]) -> String {
        records.map { "\($0.key) \(text($0.record))" }.joined(separator: ", ")
    }

    private static func text(_ outcome: ExchangeAnswer.Outcome) -> String {
        switch outcome {
        case .equal: "equal"
        case .preparing(let left): "preparing, \(left) leaves left"
        case .differing(let level, let nodes): "\(nodes.count) nodes of level \(level) differ"
        case .differences(let it): "lacks \(it.missing), sends \(text(it.records))"
        case .refused(let refusal): "refused: \(refusal)"
        }
    }
}
