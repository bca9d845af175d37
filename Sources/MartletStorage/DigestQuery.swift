import MartletBase

/// What two nodes compare of the records of some ranges of tokens: worked out beside the loop, by a pure
/// function (`RecordJoin.digest`), so that values never come to the loop for it.
///
/// A record's *item* is XXH3 of its key, seeded with its digest. What lies behind the horizon is left out.
package struct DigestQuery: Sendable {
    package enum Wanted: Sendable {
        /// For each leaf that isn't empty the sum of its items.
        case sums
        /// Each record's key and its *tag*, the item shortened.
        case tags(Abridgement)
        /// The records whose tags the other node hasn't listed, and which of those that it has listed are
        /// not here. The tags of each range by themselves.
        case unknown(Abridgement, listed: [[UInt64]])
    }

    package var keyspace: UInt32
    /// Ascending.
    package var ranges: [ClosedRange<UInt64>]
    package var horizon: Horizon
    package var wanted: Wanted
    /// Where the page ends: with the record that reaches one of these, and all of its token.
    package var limit: ScanLimit
    /// Of `unknown`: how many records the page may have, and what they may come to; one may be larger.
    package var unknownMax: ScanLimit

    package init(
        keyspace: UInt32, ranges: [ClosedRange<UInt64>], horizon: Horizon, wanted: Wanted, limit: ScanLimit,
        unknownMax: ScanLimit = ScanLimit()
    ) {
        self.keyspace = keyspace
        self.ranges = ranges
        self.horizon = horizon
        self.wanted = wanted
        self.limit = limit
        self.unknownMax = unknownMax
    }

    /// The bits of a token below those that name its leaf.
    package static let leafBits: UInt64 = 46
}

package struct DigestPage: Sendable {
    package struct LeafSum: Hashable, Sendable {
        package var leaf: UInt32
        package var sum: UInt64
        /// Whether a purge floor that rises may change it.
        package var isPurgeable: Bool
    }

    package struct Tagged: Hashable, Sendable {
        /// The range's number in the query.
        package var range: Int
        /// As stored.
        package var key: Blob
        package var tag: UInt64
    }

    /// The first token that was not looked at, and its range's number.
    package struct Next: Hashable, Sendable {
        package var range: Int
        package var token: UInt64
    }

    package var sums: [LeafSum] = []
    package var tagged: [Tagged] = []
    package var records: [StoredPair] = []
    /// By range: places in its list of tags that no record here has. Of a range that the page ends in, those
    /// of the part that was looked at and of the rest.
    package var missing: [[Int]] = []
    package var next: Next?
    /// Records looked at, and their bytes: what it cost.
    package var passed = 0
    package var passedBytes = 0

    package init() {}
}

extension DigestQuery {
    package typealias Bytes = UnsafeRawBufferPointer

    /// Works out a page.
    ///
    /// - Parameter visit: calls the body for each record from one position until before another, in order,
    ///   until it answers false.
    package func page<Failure: Error>(
        _ rules: RecordJoin,
        visit: (_ from: Blob, _ until: Blob?, _ body: (Bytes, Bytes) -> Bool) throws(Failure) -> Void
    ) throws(Failure) -> DigestPage {
        var work = Work(self)
        guard let last = ranges.last else { return work.page }
        repeat {
            work.begin(work.range)
            try visit(
                StorageKey.position(keyspace: keyspace, token: ranges[work.range].lowerBound),
                StorageKey.position(keyspace: keyspace, after: last.upperBound)
            ) { key, record in work.take(key, record, rules) }
        } while work.isBetween
        if work.page.next == nil { work.goOn(to: ranges.count - 1) }
        work.end()
        return work.page
    }

    private struct Work {
        let query: DigestQuery
        var page = DigestPage()
        private(set) var range = 0
        /// Records passed since the last one that lies in a range.
        private var between = 0
        /// Whether so many lie before the range that it must be sought.
        var isBetween: Bool { between > Limits.digestGapMax }
        private var lastToken: UInt64?
        private var recordBytes = 0
        /// Of `unknown`: the range's tags and their places, by tag, and which were met.
        private var listed: [(tag: UInt64, place: Int)] = []
        private var isMet: [Bool] = []

        init(_ query: DigestQuery) { self.query = query }

        mutating func begin(_ number: Int) {
            range = number
            between = 0
            guard case .unknown(_, let lists) = query.wanted else { return }
            listed = lists[number].enumerated().map { ($1, $0) }
            listed.sort { $0 < $1 }
            isMet = Array(repeating: false, count: listed.count)
        }

        mutating func end() {
            guard case .unknown = query.wanted else { return }
            page.missing.append(isMet.indices.filter { !isMet[$0] })
        }

        /// Ends the ranges before this one.
        mutating func goOn(to number: Int) {
            while range < number {
                end()
                begin(range + 1)
            }
        }

        private var isFull: Bool {
            page.passed >= query.limit.recordsMax || page.passedBytes >= query.limit.bytesMax
                || page.records.count >= query.unknownMax.recordsMax
                || recordBytes >= query.unknownMax.bytesMax
        }

        mutating func take(_ key: Bytes, _ record: Bytes, _ rules: RecordJoin) -> Bool {
            let token = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
            while query.ranges[range].upperBound < token { goOn(to: range + 1) }
            if token < query.ranges[range].lowerBound {
                between += 1
                page.passed += 1
                page.passedBytes += key.count + record.count
                return !isBetween
            }
            if token != lastToken, isFull {
                page.next = DigestPage.Next(range: range, token: token)
                return false
            }
            between = 0
            lastToken = token
            page.passed += 1
            page.passedBytes += key.count + record.count
            guard let digest = rules.digest(record, query.horizon) else { return true }
            let item = XXH3.hash(
                RawSpan(_unsafeBytes: key).extracting(StorageKey.prefixBytes..<key.count), seed: digest)
            switch query.wanted {
            case .sums: add(item, UInt32(truncatingIfNeeded: token >> DigestQuery.leafBits), record, rules)
            case .tags(let abridgement):
                page.tagged.append(
                    DigestPage.Tagged(range: range, key: Blob(copying: key), tag: abridgement.short(item)))
            case .unknown(let abridgement, _):
                guard !meet(abridgement.short(item)) else { return true }
                recordBytes += key.count + record.count
                page.records.append(StoredPair(key: Blob(copying: key), value: Blob(copying: record)))
            }
            return true
        }

        private mutating func add(_ item: UInt64, _ leaf: UInt32, _ record: Bytes, _ rules: RecordJoin) {
            if page.sums.last?.leaf != leaf {
                page.sums.append(DigestPage.LeafSum(leaf: leaf, sum: 0, isPurgeable: false))
            }
            let last = page.sums.count - 1
            page.sums[last].sum &+= item
            if !page.sums[last].isPurgeable, rules.isPurgeable(record) { page.sums[last].isPurgeable = true }
        }

        /// Whether the tag was listed.
        private mutating func meet(_ tag: UInt64) -> Bool {
            var (low, high) = (0, listed.count)
            while low < high {
                let middle = (low + high) / 2
                if listed[middle].tag < tag { low = middle + 1 } else { high = middle }
            }
            var found = false
            while low < listed.count, listed[low].tag == tag {
                isMet[listed[low].place] = true
                found = true
                low += 1
            }
            return found
        }
    }
}

extension StorageEngine {
    package func digest(_ query: DigestQuery) throws(StorageError) -> DigestPage {
        try query.page(rules) { (from, until, body) throws(StorageError) in
            try visit(from: from, until: until, body)
        }
    }

    /// The records under these keys, in their order, until their bytes reach the limit; `next` is the key to
    /// go on with. What isn't there is left out.
    package func collect(_ keys: [StorageKey], bytesMax: Int) throws(StorageError) -> ScanPage {
        var page = ScanPage(records: [], next: nil)
        var byteCount = 0
        for key in keys {
            if byteCount >= bytesMax {
                page.next = key.bytes
                break
            }
            guard case .found(let record) = try read(key, tier: .any) else { continue }
            byteCount += key.bytes.count + record.count
            page.records.append(StoredPair(key: key.bytes, value: record))
        }
        return page
    }
}
