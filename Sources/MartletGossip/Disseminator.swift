import MartletBase

/// The news to piggy-back on packets: members whose state changed and facts that were published, in one queue
/// that shares the packets' bytes.
///
/// Order: fewest times sent first, then oldest. News about the same subject replaces what is queued and
/// starts over. An entry is dropped when it has been sent the number of times that makes it unlikely that
/// anybody missed it (SWIM, 4.1: lambda log n). Only the subject is queued; its bytes are read when a packet
/// is written, so that a packet never carries what is no longer held. Bounded: one entry a member and one a
/// rumour.
struct Disseminator {
    enum Subject: Hashable {
        case member(NodeID)
        case rumour(RumourKey)
    }

    struct Entry {
        let subject: Subject
        /// What it takes in a packet.
        let bytes: Int
        var transmits: Int
        let sequence: UInt64
    }

    private(set) var entries: [Entry] = []
    private var sequence: UInt64 = 0

    var isEmpty: Bool { entries.isEmpty }

    mutating func offer(_ subject: Subject, bytes: Int) {
        withdraw(subject)
        sequence += 1
        let place = entries.firstIndex { $0.transmits > 0 } ?? entries.count
        entries.insert(Entry(subject: subject, bytes: bytes, transmits: 0, sequence: sequence), at: place)
    }

    mutating func withdraw(_ subject: Subject) {
        if let index = entries.firstIndex(where: { $0.subject == subject }) { entries.remove(at: index) }
    }

    /// Appends to `subjects` what goes into the next packet, whose free bytes are `budget`, and counts it as
    /// sent. What was sent `transmitsMax` times is dropped.
    mutating func take(budget: Int, transmitsMax: Int, into subjects: inout [Subject]) {
        var left = budget
        var finished = false
        let before = subjects.count
        for index in entries.indices where entries[index].bytes <= left {
            left -= entries[index].bytes
            entries[index].transmits += 1
            if entries[index].transmits >= transmitsMax { finished = true }
            subjects.append(entries[index].subject)
            if left < PacketCodec.itemBytesMin { break }
        }
        if finished { entries.removeAll { $0.transmits >= transmitsMax } }
        if subjects.count > before, entries.count > 1 {
            entries.sort { ($0.transmits, $0.sequence) < ($1.transmits, $1.sequence) }
        }
    }

    func checkInvariants() {
        for (a, b) in zip(entries, entries.dropFirst()) {
            invariant(
                (a.transmits, a.sequence) < (b.transmits, b.sequence), "news is sorted by transmits, then age"
            )
        }
        invariant(Set(entries.map(\.subject)).count == entries.count, "a subject is queued once")
        invariant(
            entries.count <= Limits.gossipMembersMax + Limits.rumoursMax, "more news than subjects")
    }
}
