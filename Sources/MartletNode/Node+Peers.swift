import MartletBase
import MartletGossip
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// Connections: who may talk, what comes over them, and what breaks with them.
extension Node {
    /// A peer has introduced itself on a connection, whichever side opened it.
    mutating func helloCame(_ link: LinkID, _ hello: Hello) {
        if hello.id == configuration.id {
            effects.append(.refuse(link, Farewell(.wrongIdentity, "this is \(configuration.name) itself")))
            return
        }
        if let farewell = objection(to: hello) {
            effects.append(.report(.folderRefused(node: hello.name, farewell.text)))
            effects.append(.refuse(link, farewell))
            return
        }
        remember(hello)
        effects.append(.accept(link, hello.id))
    }

    mutating func peerSaid(_ link: LinkID, _ id: NodeID, _ time: HybridTime, _ message: Message) {
        observe(time)
        guard let peer = knownPeer(id) else {
            // Gossip, and a wish to join, may come from a node that isn't known yet: that is how it becomes
            // known.
            switch message {
            case .gossip(let payload): tellGossip(.stream(link: link.number, payload))
            case .join(let request): joinAsked(link, id, request)
            default: break
            }
            return
        }
        noteHeard(time, from: peer)
        switch message {
        case .merge(let request): mergeAsked(link, peer, request)
        case .read(let request): readAsked(link, peer, request)
        case .scan(let request): scanAsked(link, peer, request)
        case .hint(let request): hintAsked(link, peer, request)
        case .mergeMany(let request): mergeManyAsked(link, peer, request)
        case .exchangeOpening(let opening): openingCame(link, peer, opening)
        case .exchangeDescent(let descent): descentCame(link, peer, descent)
        case .exchangeListing(let listing): listingAsked(link, peer, listing)
        case .exchangeAnswer(let answer): exchangeAnswered(peer, answer)
        case .mergeAnswer(let answer):
            let number = RequestNumber(bits: answer.request)
            if number.kind == .definition {
                definitionAnswered(number, peer, answer.outcome)
            } else if let place = placeOf(peer, number) {
                mergeAnswered(number, place, answer.outcome)
            } else if number.kind == .write {
                standInAnswered(number, peer, answer.outcome)
            } else if number.kind == .batch {
                pushAnswered(peer, number, answer.outcome)
            }
        case .readAnswer(let answer):
            let number = RequestNumber(bits: answer.request)
            if number.kind == .read, let place = placeOf(peer, number) {
                readAnswered(number, place, answer.outcome)
            }
        case .scanAnswer(let answer):
            let number = RequestNumber(bits: answer.request)
            if let place = placeOf(peer, number) { scanAnswered(number, place, answer.outcome) }
        case .view(let view): viewCame(peer, view)
        case .define(let request): defineAsked(link, request)
        case .purge(let request): purgeAsked(link, from: peer, request)
        case .purgeAnswer(let answer): purgeAnswered(peers[peer].id, answer)
        case .floor(let news): floorTold(news)
        case .viewWanted:
            for keyspace in keyspaces.definitions {
                for news in floorNews(keyspace.id, in: .all) { effects.append(.respond(link, .floor(news))) }
            }
            effects.append(.respond(link, .view(view())))
        case .put(let request): putAsked(link, peer, request)
        case .join(let request): joinAsked(link, id, request)
        case .joinAnswer(let answer): joinAnswered(answer)
        case .vote(let request): voteAsked(link, peer, request)
        case .voteAnswer(let answer): voteCame(id, answer)
        case .entry(let bytes):
            var reader = ByteReader(bytes.span)
            if let entry = try? RingEntry(from: &reader) { entryCame(entry) }
            flushGossip()
        case .putAnswer(let answer): putAnswered(peer, answer)
        case .gossip(let payload): tellGossip(.stream(link: link.number, payload))
        case .hello, .farewell:
            metrics.badPeerBytes += 1
            effects.append(.report(.badPeerBytes("hello or farewell out of turn")))
        }
    }

    private func knownPeer(_ id: NodeID) -> PeerIndex? {
        guard let peer = peers.index(of: id), peer != PeerTable.own else { return nil }
        return peer
    }

    /// The peer's place in the request under way; nil for an answer that comes too late.
    private func placeOf(_ peer: PeerIndex, _ number: RequestNumber) -> Int? {
        switch number.kind {
        case .write: writes.contains(number) ? writes[number.index].replicas.place(of: peer) : nil
        case .read: reads.contains(number) ? reads[number.index].replicas.place(of: peer) : nil
        case .scan: scans.contains(number) ? scans[number.index].replicas.place(of: peer) : nil
        case .hint: isReplay(number, to: peer) ? Int(peer.number) : nil
        case .definition, .admission, .sweep, .exchange, .batch, .round, .forward, nil: nil
        }
    }

    mutating func linkCame(_ peer: PeerIndex) {
        peers.setLink(peer, .up)
        peers[peer].hasVouched = true
        peers[peer].viewSent = nil
        hastenJudgement(by: peer)
        flushGossip()
        hastenReplay(to: peer)
        askAgainToDefine(peer)
        hastenExchanges(with: peer)
        rebuilding?.tickAt = now.monotonic
    }

    /// The connection to the peer broke: its answers are lost, and it may be dead.
    mutating func linkBroke(_ peer: PeerIndex) {
        let wasDown = peers[peer].link == .down
        peers.setLink(peer, .down)
        peers[peer].viewSent = nil
        forgetAnswers(of: peer)
        // A node that has left stays until the others know it: while it talks, nobody hangs up. It may come
        // back only to be told that its id is never used again, and dials by itself for that.
        if ring[peers[peer].id]?.isGone == true { effects.append(.dismiss(peer)) }
        if !wasDown { tellGossip(.connectionBroke(peers[peer].id)) }
    }

    /// No answer under way will come from this peer.
    mutating func forgetAnswers(of peer: PeerIndex) {
        // It may come back with another disk than the one on which it has what it voted for.
        forgetVote(of: peers[peer].id)
        forgetReplay(to: peer)
        forgetExchanges(with: peer)
        forgetForwards(to: peer)
        // A put that ends may end others: this node's own hints may be refused.
        for index in writes.indices where writes.isInUse(index) { writeLost(index, peer) }
        // A read that fails may end a scan, and with it the scan's other reads.
        for index in reads.indices where reads.isInUse(index) { readLost(index, peer) }
        for index in scans.indices { scanLost(index, peer) }
    }
}
