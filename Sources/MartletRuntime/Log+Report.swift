import MartletBase
import MartletNode
import MartletWire

extension Log {
    /// Puts a fact that the node reported into words.
    package func write(_ report: Report) {
        switch report {
        case .ringForming(let waits):
            write(
                .info, .ringForming, [("waits", waits.joined(separator: ","))],
                "the ring forms when every founding node has been heard")
        case .ringFormed(let digest, let nodes):
            write(.info, .ringFormed, [("digest", hex(digest)), ("nodes", "\(nodes)")], "serving")
        case .foundingConflict(let text):
            write(.error, .foundingConflict, [], text + ": the ring can't form until this is mended")
        case .identityConflict(let text): write(.warn, .identityConflict, [], text)
        case .peerUp(let name): write(.info, .peerUp, [("peer", name)])
        case .peerSuspect(let name): write(.info, .peerSuspect, [("peer", name)])
        case .peerDown(let name, let after):
            var fields = [("peer", name)]
            if let after { fields.append(("after_ms", "\(after.milliseconds)")) }
            write(.warn, .peerDown, fields)
        case .peerLeft(let name): write(.info, .peerLeft, [("peer", name)], "it said goodbye")
        case .skewed(let ahead, let max):
            write(
                .error, .clockSkewed, [("ahead_ms", "\(ahead)"), ("max_ms", "\(max)")],
                "no write is stamped until this wall clock agrees with the others': check its time service"
            )
        case .folderRefused(let node, let text): write(.warn, .folderRefused, [("peer", node)], text)
        case .rebuilding(let epoch):
            write(
                .warn, .rebuilding, [("epoch", "\(epoch)")],
                "the disk has lost something: this node takes writes and answers no reads until it has "
                    + "exchanged with every other owner")
        case .rebuilt(let after, let exchanges):
            write(
                .info, .rebuilt, [("after_ms", "\(after.milliseconds)"), ("exchanges", "\(exchanges)")],
                "this node answers reads again")
        case .handoverBegan, .handoversOver, .leftUnheard, .joinRefused, .seedsSilent: writeHandover(report)
        case .treesRecovered, .treesForgotten: writeTrees(report)
        case .skewHealed: write(.info, .clockHealed, [], "this node stamps writes again")
        case .placementDiffers(let peer):
            write(.info, .placementDiffers, [("peer", peer)], "it was shown this node's view of the ring")
        case .badPeerBytes(let what):
            write(.warn, .badPeerBytes, [("what", what.description)], "dropped; nothing was changed by them")
        case .keyspaceDiffers, .zoneDiffers, .dataCenterDiffers: writeFileDiffers(report)
        case .gossip(let text): write(.debug, .gossip, [], text)
        case .draining(let inFlight):
            write(.info, .stopping, [("in_flight", "\(inFlight)")], "finishing what is under way")
        case .badHint:
            write(
                .warn, .badHint, [], "a hint that can't be read was deleted; the exchange mends what it held")
        case .exchangeBegan: break
        case .exchangeEnded(let peer, let progress, let outcome, let after):
            writeExchange(peer, progress, outcome, after)
        case .floorRaised(let keyspace, let time, let spans):
            let fields = [("keyspace", "\(keyspace)"), ("floor_ms", "\(time)"), ("ranges", "\(spans)")]
            write(.debug, .floorRaised, fields, "tombstones up to this time may be deleted")
        case .floorBlocked(let keyspace, let name, let obstacle):
            write(
                .info, .floorBlocked,
                [("keyspace", "\(keyspace)"), ("peer", name), ("waits_for", obstacle.text.description)],
                "no tombstone is deleted until it has answered")
        case .behindFloor(let first, let last):
            write(
                .error, .behindFloor, [("first_slot", "\(first)"), ("last_slot", "\(last)")],
                "the others have purged what this data folder has not heard of: it is an older copy")
        case .storageRefused(let why):
            write(.warn, .storageRefused, [("limit", why.description)], "a write was answered OVERLOADED")
        }
    }

    /// What cluster.yaml says otherwise than the cluster, which holds.
    private func writeFileDiffers(_ report: Report) {
        switch report {
        case .keyspaceDiffers(let name):
            write(
                .warn, .keyspaceDiffers, [("keyspace", name)],
                "cluster.yaml differs from the cluster's own definition, which holds")
        case .zoneDiffers(let file, let ring):
            write(
                .warn, .zoneDiffers, [("file", file), ("ring", ring)],
                "the ring's holds: `martlet move` this node with --zone, or set the file right")
        case .dataCenterDiffers(let file, let ring):
            write(
                .warn, .dataCenterDiffers, [("file", file), ("ring", ring)],
                "the ring's holds, for good: decommission this node and let it join anew, or set the file "
                    + "right")
        default: break
        }
    }

    /// How the ring changes.
    private func writeHandover(_ report: Report) {
        switch report {
        case .handoverBegan(let kind, let name):
            write(
                .info, .ringChanging,
                [(kind == .alter ? "keyspace" : "peer", name), ("change", kind.text.description)],
                "slots change hands")
        case .handoversOver: write(.info, .ringSettled, [], "every slot has its owners")
        case .leftUnheard(let names):
            write(
                .info, .leftUnheard, [("waits", names.joined(separator: ","))],
                "this node has left the ring, and ends when these have heard of it")
        case .joinRefused(let why):
            write(
                .warn, .joinRefused, [("reason", why.text.description)],
                "this node isn't let into the ring yet; it asks again\(Self.remedy(why))")
        case .seedsSilent(let attempts):
            write(
                .warn, .seedsSilent, [("attempts", "\(attempts)")],
                "no node of the ring that this one is to join answers: seeds (or nodes) of cluster.yaml must "
                    + "have the peers' addresses of some that run, of the same cluster's name")
        default: break
        }
    }

    /// What an operator can do about it.
    private static func remedy(_ refusal: JoinAnswer.Outcome) -> String {
        switch refusal {
        case .nameTaken: ". Another node has its name: give this one another"
        case .noRoom: ". The ring is full, or knows an id like this one's: empty its data folder"
        case .notReplaceable: ". Whom it is to replace has no place in the ring, or another has taken it"
        case .replacedIsAlive: ". Whom it is to replace is up: only a dead node is replaced"
        case .taken, .notServing, .busy, .removed, .invalid: ""
        }
    }

    /// Whether the trees of the last run describe what the disk holds.
    private func writeTrees(_ report: Report) {
        if case .treesRecovered(let leaves) = report {
            write(.info, .treesRecovered, [("leaves", "\(leaves)")], "as the last run left them")
        } else if case .treesForgotten(let reason) = report {
            write(
                .info, .treesForgotten, [("because", "\(reason)")],
                "all leaves are summed up anew, beside requests")
        }
    }

    /// What healed something is news; that all is equal is not.
    private func writeExchange(
        _ peer: String, _ progress: ExchangeProgress, _ outcome: ExchangeOutcome, _ after: Interval
    ) {
        var fields = [
            ("peer", peer), ("keyspace", "\(progress.keyspace)"), ("purpose", progress.purpose.rawValue),
            ("received", "\(progress.recordsReceived)"), ("sent", "\(progress.recordsSent)"),
            ("bytes", "\(progress.bytesReceived + progress.bytesSent)"),
            ("after_ms", "\(after.milliseconds)"),
        ]
        switch outcome {
        case .complete:
            let isNews =
                progress.recordsReceived + progress.recordsSent > 0 || progress.purpose != .periodic
            write(isNews ? .info : .debug, .repaired, fields, "both hold the same")
        case .failed(let why):
            fields.append(("reason", why.description))
            write(.debug, .repairFailed, fields, "it is begun again")
        }
    }
}
