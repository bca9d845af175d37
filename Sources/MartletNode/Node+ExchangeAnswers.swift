import MartletBase
import MartletMerkle
import MartletRing
import MartletStorage
import MartletWire

/// What this node answers to the exchanges that peers have begun. Nothing of an exchange is remembered from
/// one question to the next; what is shown is durable.
extension Node {
    mutating func openingCame(_ link: LinkID, _ peer: PeerIndex, _ opening: ExchangeOpening) {
        guard let number = take(link, peer, opening.subject, .exchangeOpening(opening)) else { return }
        let question = exchanges.questions[number.index]
        beginRescan(for: .question(number), keyspace: opening.subject.keyspace, question.common.leaves)
        exchanges.tick(by: question.noticeAt)
    }

    mutating func descentCame(_ link: LinkID, _ peer: PeerIndex, _ descent: ExchangeDescent) {
        guard let number = take(link, peer, descent.subject, .exchangeDescent(descent)) else { return }
        guard descent.level < MerkleTree.leafLevel - 1 else {
            // Leaves have no children: whoever asks so deep has all there is.
            refuse(link, descent.subject.request, .invalid)
            exchanges.questions.remove(number.index)
            return
        }
        let tree = exchanges.forest.grow(descent.subject.keyspace)
        let leaves = exchanges.questions[number.index].common.leaves
        let differing = exchanges.forest[tree].tree.differing(
            from: descent.nodes, level: descent.level, in: leaves, descent.subject.abridgement)
        answer(number, differing, level: descent.level + 1, descent.subject)
    }

    mutating func listingAsked(_ link: LinkID, _ peer: PeerIndex, _ listing: ExchangeListing) {
        guard let number = take(link, peer, listing.subject, .exchangeListing(listing)) else { return }
        let common = exchanges.questions[number.index].common.leaves
        guard !listing.segments.isEmpty,
            listing.segments.allSatisfy({ common.contains($0.leaves) })
        else {
            refuse(link, listing.subject.request, .invalid)
            exchanges.questions.remove(number.index)
            return
        }
        exchanges.heldListings.append(number)
        answerListings()
    }

    /// Looks for what those who ask lack: as fast as the requests of this node's own clients allow, which an
    /// asker without clients can't know.
    mutating func answerListings() {
        while let number = exchanges.heldListings.first {
            guard exchanges.questions.contains(number) else {
                exchanges.heldListings.removeFirst()
                continue
            }
            guard exchanges.answering < exchangeWindow(Limits.exchangeQuestionsMax), isPaced() else { return }
            exchanges.heldListings.removeFirst()
            answerListing(number)
        }
    }

    private mutating func answerListing(_ number: RequestNumber) {
        guard case .exchangeListing(let listing) = exchanges.questions[number.index].message else {
            invariantBroken("a listing is held")
        }
        // It was held for its turn: the ring may be another one by now, and the keyspace gone.
        let (link, peer) = (exchanges.questions[number.index].link, exchanges.questions[number.index].peer)
        guard let index = keyspaces.index(of: listing.subject.keyspace),
            keyspaces.commonLeaves(index, with: peer)?.digest == listing.subject.placement
        else {
            showView(to: peer, over: link, listing.subject.keyspace, in: .all)
            refuse(link, listing.subject.request, .stalePlacement)
            exchanges.questions.remove(number.index)
            return
        }
        exchanges.answering += 1
        // The asker lists what lies behind one horizon at a time.
        let horizon = keyspaces.horizon(index, Token(value: listing.segments[0].tokens.lowerBound).slot)
        let query = DigestQuery(
            keyspace: listing.subject.keyspace, ranges: listing.segments.map(\.tokens), horizon: horizon,
            wanted: .unknown(listing.subject.abridgement, listed: listing.segments.map(\.tags)),
            limit: ScanLimit(recordsMax: 2 * Limits.exchangeKeysMax, bytesMax: Limits.rescanBytesMax),
            unknownMax: ScanLimit(recordsMax: Limits.exchangeRecordsMax, bytesMax: Limits.exchangeBytesMax))
        let (job, generation) = exchanges.jobs.insert(.answer(question: number))
        let ticket = RequestNumber(kind: .exchange, attempt: 0, generation: generation, index: job)
        effects.append(.storage(.digest(ReadTicket(ticket.bits), query)))
    }

    mutating func mergeManyAsked(_ link: LinkID, _ peer: PeerIndex, _ request: MergeManyRequest) {
        guard let common = common(request.keyspace, request.placement, peer, link, request.request) else {
            return
        }
        let isInvalid = request.records.contains {
            !common.leaves.contains(Token(key: $0.key).leaf.index) || $0.key.count > configuration.keyBytesMax
        }
        guard !isInvalid else {
            respond(link, request.request, .refused(.invalid))
            return
        }
        let bytes = request.records.reduce(0) { $0 + $1.key.count + $1.record.count }
        metrics.exchangeRecordsReceived += UInt64(request.records.count)
        metrics.exchangeBytesReceived += UInt64(bytes)
        exchanges.unpaced += bytes
        mergeMany(
            request.records, keyspace: request.keyspace, for: .link(link, request: request.request))
    }

    // MARK: Taking questions

    /// Notes a question that can be answered; else refuses it.
    private mutating func take(
        _ link: LinkID, _ peer: PeerIndex, _ subject: ExchangeSubject, _ message: Message
    ) -> RequestNumber? {
        let refusal: ReplicaRefusal?
        let index = keyspaces.index(of: subject.keyspace)
        let common = index.flatMap { keyspaces.commonLeaves($0, with: peer) }
        if !formation.isFormed || life != .running || !handover.mayCompare {
            refusal = .notServing
        } else if common?.digest != subject.placement {
            refusal = .stalePlacement
        } else if exchanges.questions.count >= Limits.exchangeQuestionsMax {
            refusal = .overloaded
        } else {
            refusal = nil
        }
        guard refusal == nil, let common else {
            if refusal == .stalePlacement { showView(to: peer, over: link, subject.keyspace, in: .all) }
            refuse(link, subject.request, refusal ?? .notServing)
            return nil
        }
        let (place, generation) = exchanges.questions.insert(
            ExchangeQuestion(
                link: link, peer: peer, message: message, common: common,
                noticeAt: now.monotonic + Limits.exchangeNoticeInterval))
        return RequestNumber(kind: .exchange, attempt: 0, generation: generation, index: place)
    }

    private mutating func common(
        _ keyspace: UInt32, _ placement: UInt64, _ peer: PeerIndex, _ link: LinkID, _ request: UInt64
    ) -> CommonLeaves? {
        guard formation.isFormed, life == .running else {
            respond(link, request, .refused(.notServing))
            return nil
        }
        guard let index = keyspaces.index(of: keyspace),
            let common = keyspaces.commonLeaves(index, with: peer), common.digest == placement
        else {
            showView(to: peer, over: link, keyspace, in: .all)
            metrics.replicaRefusals += 1
            respond(link, request, .refused(.stalePlacement))
            return nil
        }
        return common
    }

    private mutating func refuse(_ link: LinkID, _ request: UInt64, _ refusal: ReplicaRefusal) {
        metrics.replicaRefusals += 1
        effects.append(
            .respond(link, .exchangeAnswer(ExchangeAnswer(request: request, outcome: .refused(refusal)))))
    }

    // MARK: Answering

    /// This node's leaves are summed up: answers the opening.
    mutating func answerRescanned(_ number: RequestNumber) {
        guard exchanges.questions.contains(number),
            case .exchangeOpening(let opening) = exchanges.questions[number.index].message
        else { return }
        let tree = exchanges.forest.grow(opening.subject.keyspace)
        let leaves = exchanges.questions[number.index].common.leaves
        let isEqual =
            exchanges.forest[tree].tree.root(in: leaves) == opening.root
            || configuration.planted == .answerEqual
        let differing =
            isEqual
            ? []
            : exchanges.forest[tree].tree.differing(
                fromRoot: opening.children, in: leaves, opening.subject.abridgement)
        answer(number, differing, level: 0, opening.subject)
    }

    /// Answers with the children of the nodes that differ.
    private mutating func answer(
        _ number: RequestNumber, _ differing: [UInt32], level: Int, _ subject: ExchangeSubject
    ) {
        guard !differing.isEmpty else {
            answer(number, subject.request, .equal)
            return
        }
        let tree = exchanges.forest.grow(subject.keyspace)
        let sums = exchanges.forest[tree].tree.sums(
            of: differing, level: level, in: exchanges.questions[number.index].common.leaves,
            subject.abridgement)
        answer(number, subject.request, .differing(level: level, sums))
    }

    /// The records that the asker lacks have come.
    mutating func differencesFound(_ number: RequestNumber, _ page: DigestPage) {
        exchanges.answering -= 1
        notePassed(page)
        defer { answerListings() }
        guard exchanges.questions.contains(number),
            case .exchangeListing(let listing) = exchanges.questions[number.index].message
        else { return }
        let records = page.records.map { pair in
            KeyedRecord(
                key: Blob(copying: pair.key.span.extracting(StorageKey.prefixBytes..<pair.key.count)),
                record: pair.value)
        }
        let next = page.next.map { ExchangeDifferences.Next(segment: $0.range, token: $0.token) }
        metrics.exchangeRecordsSent += UInt64(records.count)
        let bytes = records.reduce(0) { $0 + $1.key.count + $1.record.count }
        metrics.exchangeBytesSent += UInt64(bytes)
        exchanges.unpaced += bytes
        answer(
            number, listing.subject.request,
            .differences(ExchangeDifferences(records: records, missing: page.missing, next: next)))
    }

    mutating func questionRefused(_ number: RequestNumber) {
        exchanges.answering -= 1
        guard exchanges.questions.contains(number),
            case .exchangeListing(let listing) = exchanges.questions[number.index].message
        else { return }
        answer(number, listing.subject.request, .refused(.overloaded))
    }

    /// What is shown may hold merges that a power cut would still undo: it is shown when they are durable.
    private mutating func answer(
        _ number: RequestNumber, _ request: UInt64, _ outcome: ExchangeAnswer.Outcome
    ) {
        let link = exchanges.questions[number.index].link
        exchanges.questions.remove(number.index)
        let origin = Origin.link(link, request: request)
        if replica.pending.isEmpty || configuration.planted == .settleEarly {
            answerExchange(origin, outcome)
        } else {
            replica.pending[replica.pending.count - 1].withheld.append(
                Replica.WithheldAnswer(origin: origin, outcome: .exchange(outcome)))
        }
    }

    mutating func answerExchange(_ origin: Origin, _ outcome: ExchangeAnswer.Outcome) {
        guard case .link(let link, let request) = origin else {
            invariantBroken("an exchange answers a peer")
        }
        effects.append(
            .respond(link, .exchangeAnswer(ExchangeAnswer(request: request, outcome: outcome))))
    }

    /// Peers that wait for a rescan hear that it goes on.
    mutating func noticeQuestions() {
        for index in exchanges.questions.indices {
            guard case .exchangeOpening(let opening) = exchanges.questions[index].message else { continue }
            if exchanges.questions[index].noticeAt <= now.monotonic {
                exchanges.questions[index].noticeAt = now.monotonic + Limits.exchangeNoticeInterval
                let tree = exchanges.forest.grow(opening.subject.keyspace)
                let left = exchanges.forest[tree].tree.dirtyCount(
                    in: exchanges.questions[index].common.leaves)
                answerExchange(
                    .link(exchanges.questions[index].link, request: opening.subject.request),
                    .preparing(leavesLeft: left))
            }
            exchanges.tick(by: exchanges.questions[index].noticeAt)
        }
    }
}
