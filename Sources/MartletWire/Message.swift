import MartletBase
import MartletMerkle
import MartletVersions

/// What one node says to another over a connection. A request carries a number that its answer repeats;
/// answers come back on the connection that the request came on.
package enum Message: Hashable, Sendable {
    case hello(Hello)
    case farewell(Farewell)
    case merge(MergeRequest)
    case mergeAnswer(MergeAnswer)
    case read(ReadRequest)
    case readAnswer(ReadAnswer)
    case scan(ScanRequest)
    case scanAnswer(ScanAnswer)
    /// Answered by `mergeAnswer`.
    case hint(HintRequest)
    case exchangeOpening(ExchangeOpening)
    case exchangeDescent(ExchangeDescent)
    case exchangeListing(ExchangeListing)
    case exchangeAnswer(ExchangeAnswer)
    /// Answered by `mergeAnswer`.
    case mergeMany(MergeManyRequest)
    case view(View)
    case purge(PurgeRequest)
    case purgeAnswer(PurgeAnswer)
    case floor(FloorNews)
    /// Answered by `view`, on the same connection.
    case viewWanted
    /// A payload of MartletGossip that is too large or too important for a datagram.
    case gossip(Blob)
    /// Answered by `mergeAnswer`: a definition is merged as a record is.
    case define(DefineRequest)
    case put(PutRequest)
    case putAnswer(PutAnswer)
    case join(JoinRequest)
    case joinAnswer(JoinAnswer)
    case vote(VoteRequest)
    case voteAnswer(VoteAnswer)
    /// A ring entry that has just changed.
    case entry(Blob)

    /// The bytes of what it carries, for bounds on what waits: the rest of a message is small.
    package var payloadBytes: Int {
        switch self {
        case .merge(let request): request.key.count + request.record.count
        case .hint(let request): request.key.count + request.record.count
        case .put(let request): request.key.count + (request.value?.count ?? 0)
        case .read(let request): request.key.count
        case .readAnswer(let answer):
            if case .record(.some(let record)) = answer.outcome { record.count } else { 0 }
        case .gossip(let payload): payload.count
        case .define(let request): request.definitions.reduce(0) { $0 + $1.count }
        case .view(let view): (view.entries + view.keyspaces).reduce(0) { $0 + $1.count }
        case .scanAnswer(let answer):
            if case .keys(let keys, _) = answer.outcome { keys.reduce(0) { $0 + $1.count } } else { 0 }
        case .mergeMany(let request): Self.bytes(of: request.records)
        case .exchangeAnswer(let answer):
            if case .differences(let it) = answer.outcome { Self.bytes(of: it.records) } else { 0 }
        case .exchangeListing(let listing): listing.segments.reduce(0) { $0 + 8 * $1.tags.count }
        case .exchangeDescent(let descent): 8 * MerkleTree.fanOut * descent.nodes.count
        case .purge(let request): 4 * request.spans.count + 28 * request.closed.count
        case .floor(let news): 4 * news.spans.count
        case .join(let request): request.entry.count
        case .entry(let entry): entry.count
        case .hello, .farewell, .mergeAnswer, .putAnswer, .scan, .exchangeOpening, .purgeAnswer,
            .viewWanted, .joinAnswer, .vote, .voteAnswer:
            0
        }
    }

    private static func bytes(of records: [KeyedRecord]) -> Int {
        records.reduce(0) { $0 + $1.key.count + $1.record.count }
    }

    /// The first byte of a frame's body. Numbers are never reused.
    package enum Kind: UInt8, Sendable {
        case hello = 1
        case farewell = 2
        case merge = 3
        case mergeAnswer = 4
        case read = 5
        case readAnswer = 6
        case view = 7
        case gossip = 8
        case scan = 9
        case scanAnswer = 10
        case hint = 16
        case viewWanted = 17
        case put = 40
        case putAnswer = 41
        case define = 45
        case exchangeOpening = 20
        case exchangeDescent = 21
        case exchangeListing = 22
        case exchangeAnswer = 23
        case mergeMany = 24
        case purge = 30
        case purgeAnswer = 31
        case floor = 32
        case join = 50
        case joinAnswer = 51
        case vote = 52
        case voteAnswer = 53
        case entry = 54
    }
}

/// Asks a replica to merge a record.
package struct MergeRequest: Hashable, Sendable {
    package var request: UInt64
    /// The digest of the sender's placement of the key's slot. A replica that sees another answers
    /// `stalePlacement`.
    package var placement: UInt64
    package var keyspace: UInt32
    /// A coordinator's fresh put: the only kind of merge that may be answered `dominated`.
    package var isFresh: Bool
    package var key: Blob
    package var record: Blob

    package init(request: UInt64, placement: UInt64, keyspace: UInt32, isFresh: Bool, key: Blob, record: Blob)
    {
        self.request = request
        self.placement = placement
        self.keyspace = keyspace
        self.isFresh = isFresh
        self.key = key
        self.record = record
    }
}

/// Why a replica did not do what it was asked.
package enum ReplicaRefusal: UInt8, Hashable, Sendable {
    /// The placements differ; the replica's view came just before this answer.
    case stalePlacement = 1
    /// A limit is reached (stalled writes, full disk, full queues). Nothing was done.
    case overloaded = 2
    /// The ring is forming, or the node is stopping or rebuilding.
    case notServing = 3
    /// The bytes are no record, or over a limit.
    case invalid = 4
}

package struct MergeAnswer: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// Merged and durable, as far as the replica's durability promises.
        case merged
        /// Merged and durable, but below a stamp of another writer that the replica remembers.
        case dominated(Stamp)
        /// A fresh put that was not merged: nothing stamped at or below this time enters the slot any more.
        case closed(HybridTime)
        case refused(ReplicaRefusal)
    }

    package var request: UInt64
    package var outcome: Outcome

    package init(request: UInt64, outcome: Outcome) {
        self.request = request
        self.outcome = outcome
    }
}

/// Asks a replica for its record, or for the record's digest.
package struct ReadRequest: Hashable, Sendable {
    package var request: UInt64
    package var placement: UInt64
    package var keyspace: UInt32
    package var wantsDigest: Bool
    package var key: Blob

    package init(request: UInt64, placement: UInt64, keyspace: UInt32, wantsDigest: Bool, key: Blob) {
        self.request = request
        self.placement = placement
        self.keyspace = keyspace
        self.wantsDigest = wantsDigest
        self.key = key
    }
}

package struct ReadAnswer: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// Nil: the replica holds nothing under the key.
        case record(Blob?)
        case digest(UInt64)
        case refused(ReplicaRefusal)
    }

    package var request: UInt64
    package var outcome: Outcome

    package init(request: UInt64, outcome: Outcome) {
        self.request = request
        self.outcome = outcome
    }
}

/// What a node knows of the ring: the encoded entries and keyspace definitions, for a peer whose view
/// differs.
package struct View: Hashable, Sendable {
    package var entries: [Blob]
    package var keyspaces: [Blob]

    package init(entries: [Blob], keyspaces: [Blob]) {
        self.entries = entries
        self.keyspaces = keyspaces
    }
}
