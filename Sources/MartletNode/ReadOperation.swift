import MartletBase
import MartletRing
import MartletVersions

/// A get at its coordinator, in up to three steps:
///
///     gathering   a record from the closest replica, digests from the rest, until the level is met
///     fetching    digests differ: records from all that answered, joined
///     repairing   the join written back, until N - R + 1 replicas hold it
struct ReadOperation {
    enum Step { case gathering, fetching, repairing }

    /// Who waits for what is read.
    enum Asker {
        case client(ClientTicket)
        /// A scan whose replicas didn't agree whether the key is there, and the key's place in it.
        case scan(RequestNumber, place: Int)
    }

    let asker: Asker
    let keyspace: UInt32
    let level: ConsistencyLevel
    let key: Blob
    let token: Token
    let began: Instant
    let deadline: Instant

    var replicas: ReplicaSet
    var requirement: Requirement
    var step = Step.gathering
    var attempt: UInt8 = 0
    var placementRetries = 0

    var asked = Places.none
    /// What each place was last known to hold is in `digests`.
    var answered = Places.none
    /// The places whose record is joined into `record`.
    var fetched = Places.none
    /// Asked in this step, and refused or lost with their connection.
    var lost = Places.none
    /// One more place was asked because the others took long.
    var hasSpeculated = false
    /// Sent the join.
    var repairs = Places.none
    /// Sent the join, and hold it durably.
    var repaired = Places.none
    /// The join of the records that came.
    var record: Blob?
    var digest: UInt64 = 0
    /// The first answer's digest; all the places of `answered` have it unless `digests` says otherwise.
    var firstDigest: UInt64?
    /// By place; allocated when two answers differ.
    var digests: [UInt64] = []

    static let vacant = ReadOperation(
        asker: .client(ClientTicket(0)), keyspace: 0, level: .one, key: .empty, token: Token(key: .empty),
        began: .zero,
        deadline: .zero, replicas: .none, requirement: ReplicaSet.none.requirement(.one))

    /// Takes note of what a place holds.
    mutating func note(_ place: Int, holds digest: UInt64) {
        if digests.isEmpty {
            guard let firstDigest else {
                self.firstDigest = digest
                answered.insert(place)
                return
            }
            if firstDigest != digest {
                digests = Array(repeating: firstDigest, count: replicas.peers.count)
                digests[place] = digest
            }
        } else {
            digests[place] = digest
        }
        answered.insert(place)
    }

    func digest(of place: Int) -> UInt64 { digests.isEmpty ? firstDigest ?? 0 : digests[place] }

    /// Whether all that answered hold the join, so that there is nothing to write back. (That they hold the
    /// same isn't enough: a place that is lost by now may have brought a record that they don't hold.)
    var isSettled: Bool { answered.subtracting(holders).isEmpty }

    /// The places known to hold the join.
    var holders: Places {
        var holders = repaired
        answered.forEach { if digest(of: $0) == digest { holders.insert($0) } }
        return holders
    }

    /// The places that hold the join, or may still take it.
    var promised: Places { holders.union(repairs.subtracting(lost)) }

    /// The places whose digest is known, but not a record with that digest.
    var unfetched: Places {
        var unfetched = Places.none
        answered.subtracting(fetched).forEach { place in
            var isKnown = false
            fetched.forEach { if digest(of: $0) == digest(of: place) { isKnown = true } }
            if !isKnown { unfetched.insert(place) }
        }
        return unfetched
    }

    /// The answers still due.
    var awaited: Places { asked.subtracting(answered).subtracting(lost) }

    /// Starts again on another placement.
    mutating func restart(_ replicas: ReplicaSet, _ requirement: Requirement) {
        self.replicas = replicas
        self.requirement = requirement
        step = .gathering
        attempt += 1
        asked = .none
        answered = .none
        fetched = .none
        lost = .none
        repairs = .none
        repaired = .none
        record = nil
        digest = 0
        firstDigest = nil
        digests = []
    }
}
