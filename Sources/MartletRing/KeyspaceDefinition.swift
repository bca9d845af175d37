import MartletBase

/// How many nodes hold a copy of each key.
package enum ReplicationFactor: Hashable, Sendable, CustomStringConvertible {
    /// N copies, wherever the walk over the zones finds them.
    case count(Int)
    /// So many in each of these data centres, none in others. Sorted by name, names distinct.
    case perDataCenter([DataCenterFactor])

    package struct DataCenterFactor: Hashable, Sendable {
        package let name: String
        package let count: Int

        package init(name: String, count: Int) {
            self.name = name
            self.count = count
        }
    }

    package var description: String {
        switch self {
        case .count(let n): "\(n)"
        case .perDataCenter(let list): list.map { "\($0.name):\($0.count)" }.joined(separator: ",")
        }
    }

    /// N: what quorums are counted from, even when fewer nodes exist.
    package var total: Int {
        switch self {
        case .count(let n): n
        case .perDataCenter(let list): list.reduce(0) { $0 + $1.count }
        }
    }

    package var isValid: Bool {
        func isFactor(_ n: Int) -> Bool { (1...Limits.replicationFactorMax).contains(n) }
        switch self {
        case .count(let n): return isFactor(n)
        case .perDataCenter(let list):
            return (1...Limits.dataCentersMax).contains(list.count) && total <= Limits.ownersMax
                && list.allSatisfy { isFactor($0.count) && Names.isValid($0.name) }
                && zip(list, list.dropFirst()).allSatisfy { $0.name < $1.name }
        }
    }

    /// From `3`, or `dc1:3,dc2:2`; nil when it is neither, or impossible.
    package init?(_ text: String) {
        if let count = Int(text) {
            self = .count(count)
        } else {
            var list: [DataCenterFactor] = []
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                guard let colon = part.lastIndex(of: ":"), let count = Int(part[part.index(after: colon)...])
                else { return nil }
                list.append(DataCenterFactor(name: String(part[..<colon]), count: count))
            }
            self = .perDataCenter(list.sorted { $0.name < $1.name })
        }
        guard isValid else { return nil }
    }

    /// How many owners a slot may have by the one factor or the other, over one walk: a walk for more copies
    /// in a data centre finds all that one for fewer does.
    package func ownersMax(beside other: ReplicationFactor) -> Int {
        switch (self, other) {
        case (.count(let a), .count(let b)): return max(a, b)
        case (.perDataCenter(let list), .perDataCenter(let others)):
            return Dictionary((list + others).map { ($0.name, $0.count) }, uniquingKeysWith: max)
                .values.reduce(0, +)
        default: return total + other.total
        }
    }

    /// Whether so many copies find a node each among these.
    package func isFilled(by nodes: [RingEntry]) -> Bool {
        switch self {
        case .count(let count): nodes.count >= count
        case .perDataCenter(let list):
            list.allSatisfy { each in nodes.count { $0.dataCenter == each.name } >= each.count }
        }
    }

    /// A count of 0 says that data centres follow.
    init(from reader: inout ByteReader) throws(WireError) {
        let count = Int(try reader.u8())
        if count > 0 {
            self = .count(count)
        } else {
            var list: [DataCenterFactor] = []
            for _ in 0..<(try reader.count(max: Limits.dataCentersMax, "data centres")) {
                let name = try Names.read("data centre", from: &reader)
                list.append(DataCenterFactor(name: name, count: Int(try reader.u8())))
            }
            self = .perDataCenter(list)
        }
        guard isValid else { throw .invalid("replication factor") }
    }

    func write(to writer: inout ByteWriter) {
        switch self {
        case .count(let n): writer.u8(UInt8(n))
        case .perDataCenter(let list):
            writer.u8(0)
            writer.varint(UInt64(list.count))
            for each in list {
                writer.string(each.name)
                writer.u8(UInt8(each.count))
            }
        }
    }

    func encoded() -> Blob {
        var writer = ByteWriter()
        write(to: &writer)
        return Blob(writer.bytes)
    }
}

/// What becomes of concurrent writes to a key.
package enum ConflictPolicy: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// The last writer's is kept.
    case lww = 0
    /// Both are kept, for the client to resolve.
    case siblings = 1

    package var description: String { self == .lww ? "lww" : "siblings" }
}

/// A keyspace as the cluster knows it; gossiped with the ring's entries and merged like them.
///
/// The join has four parts, each a semilattice, so their product is one, and the three laws hold:
///
/// - the *settings*: the later stamp wins whole, at equal stamps the greater canonical bytes (a chain);
/// - the *copies*: how many there are, and how many are wanted (`Copies`). No setting, because a factor comes
///   into force by a handover, and an ALTER that was made beside its completion must not undo that;
/// - *dropped*: once dropped, always dropped. The definition stays as its own tombstone, so that its id is
///   never given again, and a hint or a node that was away can't bring the keyspace back;
/// - the *truncation*: the greater one. It isn't part of the settings, because an ALTER that was made beside
///   a FLUSHDB, and so doesn't know of it, would undo the flush.
///
/// Encoding (canonical):
///
///     id 4 | name | created 8 | stamp 8 | copies | conflict 1 | read 1 | write 1
///     | sloppy quorum 1 | ttl in nanoseconds 8 | dropped 1 | truncation 8
package struct KeyspaceDefinition: Hashable, Sendable {
    /// The keyspace's part of the data keys; never reused.
    package var id: UInt32
    package var name: String
    /// The hybrid time of its creation, as bits; zero for those that the cluster was founded with.
    package var created: UInt64
    /// The hybrid time of the last change of its settings, as bits.
    package var stamp: UInt64
    package var copies: Copies
    package var conflict: ConflictPolicy
    /// The levels of requests that don't say theirs.
    package var read: ConsistencyLevel
    package var write: ConsistencyLevel
    /// Whether the next healthy nodes may stand in for owners (Dynamo), or only owners count (Cassandra).
    package var sloppyQuorum: Bool
    /// Of values that don't say theirs; zero for none.
    package var ttl: Interval
    /// Nothing is left of it but its id; stays true.
    package var isDropped: Bool
    /// FLUSHDB's: whatever was written at or below this hybrid time is gone. Only rises.
    package var truncation: UInt64

    package init(
        id: UInt32, name: String, created: UInt64 = 0, stamp: UInt64, replication: ReplicationFactor,
        conflict: ConflictPolicy = .lww, read: ConsistencyLevel = .quorum,
        write: ConsistencyLevel = .quorum, sloppyQuorum: Bool = false, ttl: Interval = .zero,
        isDropped: Bool = false, truncation: UInt64 = 0
    ) {
        self.id = id
        self.name = name
        self.created = created
        self.stamp = stamp
        copies = Copies(replication)
        self.conflict = conflict
        self.read = read
        self.write = write
        self.sloppyQuorum = sloppyQuorum
        self.ttl = ttl
        self.isDropped = isDropped
        self.truncation = truncation
        checkInvariants()
    }

    /// The factor in force, before the change in hand.
    package var replication: ReplicationFactor { copies.factor }

    /// Joins another definition of the same keyspace into this one. True when that changed it.
    @discardableResult
    package mutating func merge(_ other: KeyspaceDefinition) -> Bool {
        invariant(id == other.id, "definitions of two keyspaces can't be merged: \(id) and \(other.id)")
        if self == other { return false }
        let before = self
        if hasSettings(below: other) { self = other }
        isDropped = before.isDropped || other.isDropped
        truncation = max(before.truncation, other.truncation)
        copies = before.copies
        copies.merge(other.copies)
        return self != before
    }

    private func hasSettings(below other: KeyspaceDefinition) -> Bool {
        if stamp != other.stamp { return stamp < other.stamp }
        var (a, b) = (self, other)
        (a.truncation, b.truncation) = (0, 0)
        (a.isDropped, b.isDropped) = (false, false)
        a.copies = b.copies
        return a.encoded() < b.encoded()
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        id = try reader.u32()
        name = try Names.read("keyspace name", from: &reader)
        created = try Self.readTime(from: &reader)
        stamp = try Self.readTime(from: &reader)
        copies = try Copies(from: &reader)
        guard let conflict = ConflictPolicy(rawValue: try reader.u8()) else { throw .invalid("conflict") }
        self.conflict = conflict
        read = try ConsistencyLevel(from: &reader)
        write = try ConsistencyLevel(from: &reader)
        guard !read.isForWritesOnly else { throw .invalid("level of reads") }
        let sloppy = try reader.u8()
        guard sloppy <= 1 else { throw .invalid("sloppy quorum") }
        sloppyQuorum = sloppy == 1
        let nanoseconds = try reader.u64()
        guard nanoseconds <= UInt64(Int64.max) else { throw .invalid("ttl") }
        ttl = Interval(nanoseconds: Int64(nanoseconds))
        let dropped = try reader.u8()
        guard dropped <= 1, dropped == 0 || id != Self.firstID else { throw .invalid("dropped") }
        isDropped = dropped == 1
        truncation = try Self.readTime(from: &reader)
    }

    /// A hybrid time that stamps may have: none is above 2^63.
    static func readTime(from reader: inout ByteReader) throws(WireError) -> UInt64 {
        let bits = try reader.u64()
        guard bits <= 1 << 63 else { throw .invalid("hybrid time") }
        return bits
    }

    package func write(to writer: inout ByteWriter) {
        writer.u32(id)
        writer.string(name)
        writer.u64(created)
        writer.u64(stamp)
        copies.write(to: &writer)
        writer.u8(conflict.rawValue)
        read.write(to: &writer)
        write.write(to: &writer)
        writer.u8(sloppyQuorum ? 1 : 0)
        writer.u64(UInt64(ttl.nanoseconds))
        writer.u8(isDropped ? 1 : 0)
        writer.u64(truncation)
    }

    package func encoded() -> Blob {
        var writer = ByteWriter(reservingCapacity: 128)
        write(to: &writer)
        return Blob(writer.bytes)
    }

    package var digest: UInt64 { XXH3.hash(encoded()) }

    package func checkInvariants() {
        invariant(Names.isValid(name), "\"\(name)\" can't be the name of a keyspace")
        copies.checkInvariants(name)
        invariant(!read.isForWritesOnly, "keyspace \(name) can't be read at \(read)")
        invariant(ttl >= .zero, "keyspace \(name) has a negative ttl")
        invariant(!isDropped || id != Self.firstID, "the first keyspace can't be dropped")
    }

    /// Of the keyspace that connections begin in. It can't be dropped.
    package static let firstID: UInt32 = 0
    /// Ids up to this one are those of cluster.yaml's keyspaces, by their places in it.
    package static let foundedIDMax: UInt32 = 0xFFFF

    /// An id for a keyspace that a node creates: two nodes that create one at once, or one node over its
    /// restarts, draw different ones, because no stamp is issued twice. (But for a collision of 32-bit
    /// hashes among what is created between two rounds of gossip: then the later definition would win.)
    package static func newID(creator: NodeID, created: UInt64, isTaken: (UInt32) -> Bool) -> UInt32 {
        var writer = ByteWriter()
        creator.write(to: &writer)
        writer.u64(created)
        var seed: UInt64 = 0
        while true {
            let id = UInt32(truncatingIfNeeded: XXH3.hash(writer.bytes.span.bytes, seed: seed))
            if id > foundedIDMax, id < .max, !isTaken(id) { return id }
            seed += 1
        }
    }

    /// The order that lists and SELECT's indexes go by: that of creation.
    package static func isListed(_ a: KeyspaceDefinition, before b: KeyspaceDefinition) -> Bool {
        a.created != b.created ? a.created < b.created : a.id < b.id
    }
}
