import MartletBase
import MartletRing
import MartletWire

/// A page of a scan at its coordinator.
///
/// It is made in *steps*, each over slots with one set of owners. Of these, as many as a get at the level
/// asks list what they hold live:
///
///     asking      the lists come in; they are compared as far as the shortest of them goes (the *cut*)
///     resolving   a key that all list is there; one that only some list is read, as any get, repair included
///
/// A key that is present throughout is held live by a replica in every set that the level asks, so it is
/// listed by one at least; and where the others lack it, the read finds it. What none lists isn't there.
///
/// Counting compares a leaf's count and sum of hashes instead of its keys; a leaf in which replicas differ is
/// listed.
struct ScanOperation {
    enum Step { case asking, resolving }

    let ticket: ClientTicket
    let keyspace: UInt32
    let level: ConsistencyLevel
    let scan: Scan
    let began: Instant
    let deadline: Instant

    // The page so far.
    var page = KeyPage(keys: [], count: 0, next: nil)
    var keyBytes = 0
    /// Where the step begins.
    var position: Token
    /// The leaf that the step lists although only a count is wanted: replicas differed in it.
    var listed: Leaf?

    // The step.
    var step = Step.asking
    /// The questions asked so far: a step's, or its repetition on a newer placement.
    var attempt: UInt8 = 0
    var placementRetries = 0
    var replicas = ReplicaSet.none
    var requirement = ReplicaSet.none.requirement(.one)
    var request = ScanRequest(
        request: 0, placement: 0, keyspace: 0, first: 0, last: 0, asOf: 0, wanted: .counts)
    var askedAt = Instant.zero
    var asked = Places.none
    var lost = Places.none
    /// By place.
    var answers: [ScanAnswer.Outcome?] = []

    /// The peers that kept a step waiting: the next ones ask others, where there are any.
    var slow: [PeerIndex] = []

    // What it found, in order. While a key is in doubt its place is kept.
    var found: [(key: Blob, isLive: Bool)] = []
    /// Places in `found` of the keys in doubt; the reads of those before `nextDoubt` have begun.
    var doubts: [Int] = []
    var nextDoubt = 0
    var readsUnderWay = 0
    var cut: Token?
    /// The first leaf in which the counts differ.
    var disputed: Leaf?

    static let vacant = ScanOperation(
        ticket: ClientTicket(0), keyspace: 0, level: .one, scan: Scan(Token.all, .count), began: .zero,
        deadline: .zero, position: Token(value: 0))

    /// Begins to ask.
    mutating func begin(_ run: KeyspaceTable.Run, _ requirement: Requirement, at now: Instant) {
        step = .asking
        askedAt = now
        attempt += 1
        replicas = run.replicas
        self.requirement = requirement
        asked = .none
        lost = .none
        answers = Array(repeating: nil, count: replicas.peers.count)
    }

    var answered: Places {
        var places = Places.none
        for (place, answer) in answers.enumerated() where answer != nil { places.insert(place) }
        return places
    }

    /// The places of the slow peers.
    var avoided: Places {
        var places = Places.none
        for peer in slow { if let place = replicas.place(of: peer) { places.insert(place) } }
        return places
    }

    var awaited: Places { asked.subtracting(answered).subtracting(lost) }

    /// Whether it has come anywhere: then its failure is the next page's.
    var hasAdvanced: Bool { position > scan.range.lowerBound }

    /// Whether the page goes to the client though its range isn't finished.
    func isFull(at now: Instant) -> Bool {
        guard hasAdvanced else { return false }
        if attempt >= Limits.scanStepsMax || now - began >= Limits.scanPageTimeMax { return true }
        guard case .keys(let about) = scan.wanted else { return false }
        return page.keys.count >= about || keyBytes >= Limits.scanKeyBytesMax
    }
}

// MARK: Comparing
extension ScanOperation {
    /// Compares the lists that came, as far as the shortest goes.
    mutating func compare(planted: PlantedBug?) {
        var lists: [ArraySlice<Blob>] = []
        var counts: [ArraySlice<LeafCount>] = []
        var ends: [Token?] = []
        for case .some(let answer) in answers {
            switch answer {
            case .keys(let keys, let next):
                lists.append(keys[...])
                ends.append(next.map(Token.init(value:)))
            case .counts(let list, let next):
                counts.append(list[...])
                ends.append(next.map(Token.init(value:)))
            case .refused: invariantBroken("a refusal was taken for a list")
            }
        }
        cut = ends.compactMap { $0 }.min()
        if planted == .skipScannedKeys { cut = ends.contains(nil) ? nil : ends.compactMap { $0 }.max() }
        if planted == .believeOneScan {
            lists = Array(lists.prefix(1))
            counts = Array(counts.prefix(1))
        }
        if counts.isEmpty { compare(keys: lists) } else { compare(counts) }
    }

    /// Merges the sorted lists.
    private mutating func compare(keys lists: [ArraySlice<Blob>]) {
        var lists = lists
        var heads = lists.map { $0.first.map { (Token(key: $0), $0) } }
        while true {
            var least: (Token, Blob)?
            for case .some(let head) in heads {
                if let known = least, known <= head { continue }
                least = head
            }
            guard let least, cut.map({ least.0 < $0 }) ?? true else { return }
            var holders = 0
            for index in lists.indices {
                guard let head = heads[index], head.1 == least.1 else { continue }
                holders += 1
                lists[index].removeFirst()
                heads[index] = lists[index].first.map { (Token(key: $0), $0) }
            }
            if holders < lists.count { doubts.append(found.count) }
            found.append((least.1, holders == lists.count))
        }
    }

    /// Adds up the leaves in which all agree, up to the first one in which they don't.
    private mutating func compare(_ lists: [ArraySlice<LeafCount>]) {
        var lists = lists
        while let leaf = lists.compactMap({ $0.first?.leaf }).min().map(Leaf.init(index:)) {
            if let cut, leaf.first >= cut { return }
            let first = lists.first { $0.first?.leaf == leaf.index }?.first
            guard lists.allSatisfy({ $0.first == first }), let first else {
                disputed = leaf
                return
            }
            page.count += Int(clamping: first.count)
            for index in lists.indices { lists[index].removeFirst() }
        }
    }
}

// MARK: Ends of steps
extension ScanOperation {
    /// Adds what the step found to the page.
    mutating func takeFound() {
        for (key, isLive) in found where isLive {
            page.count += 1
            guard case .keys = scan.wanted else { continue }
            page.keys.append(key)
            keyBytes += key.count
        }
        found = []
        doubts = []
        nextDoubt = 0
    }

    /// Moves on to where the next step begins; false when the range is finished.
    mutating func advance() -> Bool {
        if let disputed {
            listed = disputed
            position = max(position, disputed.first)
            self.disputed = nil
            return true
        }
        if let cut {
            position = cut
            return true
        }
        listed = nil
        let last = Token(value: request.last)
        guard last < scan.range.upperBound, let next = last.next else { return false }
        position = next
        return true
    }
}
