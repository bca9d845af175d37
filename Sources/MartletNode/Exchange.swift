import MartletBase
import MartletMerkle
import MartletRing
import MartletStorage
import MartletWire

/// Why two owners compare what they hold.
package enum ExchangePurpose: String, Hashable, Sendable, CaseIterable {
    /// Its turn has come.
    case periodic
    /// An operator asks for it.
    case asked
    /// This node has lost what it held.
    case rebuild
    /// This node is to own what the peer owns.
    case handover
    /// A tombstone is purged next.
    case proof
    /// This node holds nothing of what it is to hold (`Transfers`): records are moved, and nothing is proved.
    case transfer

    /// Whether it brings records to the node that begins it alone. Several nodes may gain slots by one
    /// change, and each asks all old owners: what one of them sent to another unasked would be sent twice.
    package var isOneWay: Bool { self == .handover || self == .transfer }

    /// Whether something is done next that relies on its being complete: digests are compared in full.
    var isReliedOn: Bool { self == .proof || self == .handover || self == .rebuild }
}

package enum ExchangeOutcome: Hashable, Sendable {
    /// Both hold, durably, the join of all that either had written when the exchange began; of one that goes
    /// one way, the node that began it does.
    case complete
    /// It may be begun again.
    case failed(StaticName)
}

/// How far an exchange has come, or came.
package struct ExchangeProgress: Sendable {
    package var keyspace: UInt32
    package var peer: NodeID
    package var purpose: ExchangePurpose
    package var beganAt: Instant
    /// Leaves that both own, and of these those still to be compared, or to be rescanned before.
    package var leaves = 0
    package var leavesLeft = 0
    /// Leaves that were found to differ, and of these those dealt with.
    package var leavesDiffering = 0
    package var leavesDone = 0
    package var recordsReceived = 0
    package var recordsSent = 0
    package var bytesReceived = 0
    package var bytesSent = 0
    /// Questions asked and answered: round trips.
    package var roundTrips = 0

    /// How much of it is over, from 0 to 1: of its leaves, those that need no look any more.
    var share: Double { leavesDiffering > 0 ? Double(leavesDone) / Double(leavesDiffering) : 0 }
}

/// The leaves that two nodes both own, and what they must agree on before they compare them.
struct CommonLeaves {
    let leaves: LeafRanges
    let digest: UInt64
}

/// An exchange that this node has begun: with one peer, over all the leaves of a keyspace that both own.
///
///     rescanning ──▶ opening ──▶ descending ──▶ comparing ──▶ settling ──▶ finished
///          │            └────────────┴─── equal ─────────────────▲
///          └──────────────── transfer ──────────────▲
///
/// *Rescanning*: leaves that are dirty are summed up anew; the peer does the same before it answers the
/// opening. *Descending*: each message goes one level down the tree, whoever sends it, so leaves that differ
/// are known after two round trips. *Comparing*: of these, keys and tags are listed in batches
/// (`ExchangeBatch`), and the records that one side lacks are merged there. *Settling*: this node waits until
/// what it has shown of itself is durable.
///
/// **What `complete` means.** Let t be the time when it began. A leaf's sum at this node is of what was
/// written at t or later (`MerkleTree`), and so is the peer's of a time after t. What a listing says is as
/// new. Where sums or tags are equal both hold the same; where not, each gets what the other has, durably,
/// before the batch ends. The peer shows nothing but what is durable there, and this node settles. So at the
/// end each durably holds the join of all that either had written at t, or more. (Equal is meant but for
/// collisions: once in 16 million times a short digest hides a difference until the next exchange. Where
/// something relies on it digests are compared in full. And one that goes one way says as much of the node
/// that began it alone.)
struct Exchange {
    enum Step: Hashable { case rescanning, opening, descending, comparing, settling }

    let keyspace: UInt32
    let peer: PeerIndex
    let purpose: ExchangePurpose
    let beganAt: Instant
    let common: CommonLeaves
    let abridgement: Abridgement
    var step = Step.rescanning
    /// The attempt of its number that an answer must have: one up with each question.
    var asked: UInt8 = 0
    /// It fails when nothing was heard by then; while nothing is asked of the peer, never.
    var patience = Instant.distantFuture
    /// What the peer last said it has to rescan.
    var peerLeavesLeft: Int?
    /// That differ, the next one last.
    var leaves: [UInt32] = []
    /// Parts of leaves that are to be listed before them: what earlier batches didn't come to.
    var rest: [ClosedRange<UInt64>] = []
    /// Under way.
    var batches = 0
    /// Leaves and keys that the next listing may have: one that is answered in part is listed again from
    /// there on, and more than about what an answer covers would be listed in vain.
    var leavesMax = Limits.exchangeLeavesFirst
    var keysMax = Limits.exchangeKeysMax
    /// Answers that came in part, though less than half a message was full.
    var parts = 0
    /// No listing before: the peer has too many questions.
    var pausedUntil = Instant.zero
    /// How often the peer has said that it is still rescanning.
    var notices = 0
    var progress: ExchangeProgress

    init(
        keyspace: UInt32, peer: PeerIndex, id: NodeID, purpose: ExchangePurpose, now: Instant,
        common: CommonLeaves, salt: UInt64
    ) {
        self.keyspace = keyspace
        self.peer = peer
        self.purpose = purpose
        beganAt = now
        self.common = common
        abridgement = purpose.isReliedOn ? .full : Abridgement(salt: salt)
        progress = ExchangeProgress(keyspace: keyspace, peer: id, purpose: purpose, beganAt: now)
        progress.leaves = common.leaves.count
        progress.leavesLeft = progress.leaves
        if purpose == .transfer { leavesMax = Limits.transferLeavesFirst }
    }

    /// Nothing is left to be listed.
    var isListed: Bool { leaves.isEmpty && rest.isEmpty }

    /// An answer has covered so many of a listing's leaves and keys; nil: all.
    mutating func covered(_ part: (leaves: Int, keys: Int)?) {
        let leaves = 2 * (part?.leaves ?? leavesMax)
        leavesMax = min(max(leaves, Limits.exchangeLeavesMin), Limits.exchangeLeavesMax)
        let keys = 2 * (part?.keys ?? keysMax)
        keysMax = min(max(keys, Limits.exchangeKeysMin), Limits.exchangeKeysMax)
    }

    static let vacant = Exchange(
        keyspace: 0, peer: PeerTable.own, id: .none, purpose: .periodic, now: .zero,
        common: CommonLeaves(leaves: LeafRanges(), digest: 0), salt: 0)

    /// Takes the next parts to list, at most so many leaves, all before the first whose horizon is another.
    /// Leaves that lie side by side are one part.
    mutating func takeRanges(isLike: (ClosedRange<UInt64>, ClosedRange<UInt64>) -> Bool)
        -> [ClosedRange<UInt64>]
    {
        var taken: [ClosedRange<UInt64>] = []
        var room = leavesMax
        while room > 0, taken.count < Limits.exchangeSegmentsMax {
            guard var next = rest.last ?? leaves.last.map({ MerkleTree.tokens(of: $0) }) else { break }
            // Ascending: a part that was put back may come after what lies behind it.
            if let first = taken.first, let last = taken.last,
                next.lowerBound <= last.upperBound || !isLike(first, next)
            {
                break
            }
            if rest.popLast() == nil { leaves.removeLast() }
            // A slot at a time: the next one may have another horizon.
            let spanned = MerkleTree.leaves(of: next)
            let leafMax = min(spanned.lowerBound + UInt32(room) - 1, spanned.lowerBound | 15)
            if spanned.upperBound > leafMax {
                let end = MerkleTree.tokens(of: leafMax).upperBound
                rest.append(end + 1...next.upperBound)
                next = next.lowerBound...end
            }
            room -= MerkleTree.leaves(of: next).count
            if let last = taken.last, last.upperBound + 1 == next.lowerBound {
                taken[taken.count - 1] = last.lowerBound...next.upperBound
            } else {
                taken.append(next)
            }
        }
        return taken
    }
}

/// Some leaves of an exchange that differ, or parts of them:
///
///     listing ──▶ asked ──▶ collecting ⇄ pushing ──▶ merging ──▶ done
///
/// Listing reads this node's keys and tags; the peer answers with the records that aren't among them, and
/// says which it lacks; these are collected and pushed; then the peer's records are merged here. Wanted
/// records are read by key, not by tag: a write that came in between changes the tag, and what replaced the
/// listed record must go in its stead.
struct ExchangeBatch {
    enum Step: Hashable { case listing, asked, collecting, pushing, merging }

    var exchange: RequestNumber
    var step = Step.listing
    var ranges: [ClosedRange<UInt64>]
    /// Listed, by range.
    var keys: [[StorageKey]] = []
    /// That came from the peer.
    var records: [KeyedRecord] = []
    /// That the peer lacks.
    var wanted: ArraySlice<StorageKey> = []
    /// The attempt of its number that an answer must have.
    var asked: UInt8 = 0
    var patience = Instant.distantFuture

    init(exchange: RequestNumber, ranges: [ClosedRange<UInt64>]) {
        self.exchange = exchange
        self.ranges = ranges
    }

    /// Parts its ranges by the keys that were found in them: a leaf that has some is a range by itself, since
    /// a tag is compared with those of its range alone, and the fewer they are the rarer is one like it.
    mutating func take(_ tagged: [DigestPage.Tagged]) -> [ExchangeListing.Segment] {
        var segments: [ExchangeListing.Segment] = []
        var next = tagged[...]
        keys = []
        for (number, range) in ranges.enumerated() {
            var rest: ClosedRange<UInt64>? = range
            while let first = next.first, first.range == number, let left = rest {
                let leaf = Self.key(first).token >> MerkleTree.tokenBits
                let tokens = MerkleTree.tokens(of: UInt32(truncatingIfNeeded: leaf)).clamped(to: left)
                let listed = next.prefix {
                    $0.range == number && Self.key($0).token >> MerkleTree.tokenBits == leaf
                }
                next = next.dropFirst(listed.count)
                if left.lowerBound < tokens.lowerBound {
                    segments.append(.init(tokens: left.lowerBound...(tokens.lowerBound - 1), tags: []))
                    keys.append([])
                }
                segments.append(.init(tokens: tokens, tags: listed.map(\.tag)))
                keys.append(listed.map(Self.key))
                rest = tokens.upperBound < left.upperBound ? tokens.upperBound + 1...left.upperBound : nil
            }
            guard let rest else { continue }
            segments.append(.init(tokens: rest, tags: []))
            keys.append([])
        }
        ranges = segments.map(\.tokens)
        return segments
    }

    private static func key(_ tagged: DigestPage.Tagged) -> StorageKey {
        guard let key = StorageKey(stored: tagged.key) else { invariantBroken("a record without a token") }
        return key
    }

    /// How many of its leaves and keys lie before a place that an answer has come to, the place's own leaf
    /// with them.
    func covered(range: Int, token: UInt64) -> (leaves: Int, keys: Int) {
        (
            MerkleTree.leafCount(in: ranges[..<range])
                + MerkleTree.leaves(of: min(ranges[range].lowerBound, token)...token).count,
            keys[..<range].reduce(0) { $0 + $1.count } + keys[range].count { $0.token < token }
        )
    }

    static let vacant = ExchangeBatch(exchange: RequestNumber(bits: 0), ranges: [])
}

/// A question of a peer's exchange that is worked on.
struct ExchangeQuestion {
    var link: LinkID
    var peer: PeerIndex
    var message: Message
    var common: CommonLeaves
    /// When the peer is told how far the rescan is.
    var noticeAt: Instant

    static let vacant = ExchangeQuestion(
        link: LinkID(0), peer: PeerTable.own,
        message: .exchangeAnswer(ExchangeAnswer(request: 0, outcome: .equal)),
        common: CommonLeaves(leaves: LeafRanges(), digest: 0), noticeAt: .distantFuture)
}
