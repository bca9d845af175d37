import MartletBase
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// A scan at a replica: passes the records of a range, page after page of the storage, and notes the keys
/// that are live or how many each leaf has of them.
///
/// It stops between two tokens (keys) or two leaves (counts), so that what two replicas noted can be compared
/// up to where the first of them stopped.
struct PendingScan {
    let origin: Origin
    let keyspace: UInt32
    let last: Token
    let asOf: WallTime
    let wanted: ScanRequest.Wanted
    /// The shape of the ring when it began.
    let shape: UInt64

    private var keys: [Blob] = []
    private var keyBytes = 0
    private var counts: [LeafCount] = []
    private var passed = 0
    private var passedBytes = 0
    private var latest: Token?

    static let vacant = PendingScan(
        .own(RequestNumber(bits: 0), place: 0),
        ScanRequest(request: 0, placement: 0, keyspace: 0, first: 0, last: 0, asOf: 0, wanted: .counts),
        shape: 0)

    init(_ origin: Origin, _ request: ScanRequest, shape: UInt64) {
        self.origin = origin
        self.shape = shape
        keyspace = request.keyspace
        last = Token(value: request.last)
        asOf = WallTime(milliseconds: request.asOf)
        wanted = request.wanted
    }

    /// Where the storage's scan ends.
    var upper: Blob? { StorageKey.position(keyspace: keyspace, after: last.value) }

    /// What to ask of the storage next: one record more than is wanted tells where the next token begins.
    /// Where many were passed in vain more is asked for, else a few keys among many tombstones would take a
    /// question for each few of them.
    var limit: ScanLimit {
        switch wanted {
        case .keys(let atLeast):
            ScanLimit(
                recordsMax: min(
                    Limits.scanRecordsMax, max(1, atLeast - keys.count) + 1 + passed - keys.count))
        case .counts: ScanLimit()
        }
    }

    enum Progress {
        /// The storage has more from here on.
        case more(from: Blob)
        case done(ScanAnswer.Outcome)
    }

    /// Takes a page of the storage.
    ///
    /// - Parameter horizon: of a slot.
    mutating func take(_ page: ScanPage, horizon: (Slot) -> Horizon) -> Progress {
        for record in page.records {
            guard let stored = StorageKey(stored: record.key) else { continue }
            let token = Token(value: stored.token)
            if let next = end(before: token) { return .done(outcome(next: next)) }
            pass(stored, token, record.value, behind: horizon(token.slot))
            if keyBytes > Limits.scanAnswerBytesMax { return .done(.refused(.overloaded)) }
        }
        guard let next = page.next else { return .done(outcome(next: nil)) }
        if let stored = StorageKey(stored: next), let end = end(before: Token(value: stored.token)) {
            return .done(outcome(next: end))
        }
        return .more(from: next)
    }

    /// Where the list ends when this is the next record's token; nil when it goes on.
    private func end(before token: Token) -> Token? {
        guard let latest else { return nil }
        switch wanted {
        case .keys(let atLeast):
            let isFull = keys.count >= atLeast || keyBytes >= Limits.scanKeyBytesMax || hasPassedEnough
            return isFull && token != latest ? token : nil
        case .counts:
            return hasPassedEnough && token.leaf != latest.leaf ? token.leaf.first : nil
        }
    }

    /// Records are read with their values: large ones would else make a list outlast its coordinator.
    private var hasPassedEnough: Bool {
        passed >= Limits.scanPassedMax || passedBytes >= Limits.scanPassedBytesMax
    }

    private mutating func pass(
        _ stored: StorageKey, _ token: Token, _ record: Blob, behind horizon: Horizon
    ) {
        passed += 1
        passedBytes += record.count
        latest = token
        guard Record.isLive(record.span, asOf, behind: horizon) else { return }
        switch wanted {
        case .keys:
            keyBytes += stored.key.byteCount
            keys.append(Blob(copying: stored.key))
        case .counts:
            if counts.last?.leaf != token.leaf.index { counts.append(LeafCount(leaf: token.leaf.index)) }
            counts[counts.count - 1].add(stored.key)
        }
    }

    private func outcome(next: Token?) -> ScanAnswer.Outcome {
        switch wanted {
        case .keys: .keys(keys, next: next?.value)
        case .counts: .counts(counts, next: next?.value)
        }
    }
}
