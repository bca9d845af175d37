import MartletBase

/// How many nodes hold a copy of each key.
package enum ReplicationFactor: Hashable, Sendable {
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
}

/// What becomes of concurrent writes to a key.
package enum ConflictPolicy: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// The last writer's is kept.
    case lww = 0
    /// Both are kept, for the client to resolve.
    case siblings = 1

    package var description: String { self == .lww ? "lww" : "siblings" }
}

/// A keyspace as the cluster knows it; gossiped with the ring's entries and merged like them: the later stamp
/// wins whole, at equal stamps the greater canonical bytes. (A chain, so the join's three laws hold.)
///
/// Encoding (canonical):
///
///     id 4 | name | stamp 8 | replication factor | conflict 1 | read 1 | write 1 | sloppy quorum 1
///     | ttl in nanoseconds 8 | purge floor 8
package struct KeyspaceDefinition: Hashable, Sendable {
    /// The keyspace's part of the data keys; never reused.
    package var id: UInt32
    package var name: String
    /// The hybrid time of its last change, as bits.
    package var stamp: UInt64
    package var replication: ReplicationFactor
    package var conflict: ConflictPolicy
    /// The levels of requests that don't say theirs.
    package var read: ConsistencyLevel
    package var write: ConsistencyLevel
    /// Whether the next healthy nodes may stand in for owners (Dynamo), or only owners count (Cassandra).
    package var sloppyQuorum: Bool
    /// Of values that don't say theirs; zero for none.
    package var ttl: Interval
    /// Versions at or below this stamp have been purged; only rises.
    package var purgeFloor: UInt64

    package init(
        id: UInt32, name: String, stamp: UInt64, replication: ReplicationFactor,
        conflict: ConflictPolicy = .lww, read: ConsistencyLevel = .quorum,
        write: ConsistencyLevel = .quorum, sloppyQuorum: Bool = false, ttl: Interval = .zero,
        purgeFloor: UInt64 = 0
    ) {
        self.id = id
        self.name = name
        self.stamp = stamp
        self.replication = replication
        self.conflict = conflict
        self.read = read
        self.write = write
        self.sloppyQuorum = sloppyQuorum
        self.ttl = ttl
        self.purgeFloor = purgeFloor
        checkInvariants()
    }

    /// Joins another definition of the same keyspace into this one. True when that changed it.
    @discardableResult
    package mutating func merge(_ other: KeyspaceDefinition) -> Bool {
        invariant(id == other.id, "definitions of two keyspaces can't be merged: \(id) and \(other.id)")
        if self == other { return false }
        let isBelow = stamp != other.stamp ? stamp < other.stamp : encoded() < other.encoded()
        if isBelow { self = other }
        return isBelow
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        id = try reader.u32()
        name = try Names.read("keyspace name", from: &reader)
        stamp = try reader.u64()
        replication = try ReplicationFactor(from: &reader)
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
        purgeFloor = try reader.u64()
    }

    package func write(to writer: inout ByteWriter) {
        writer.u32(id)
        writer.string(name)
        writer.u64(stamp)
        replication.write(to: &writer)
        writer.u8(conflict.rawValue)
        read.write(to: &writer)
        write.write(to: &writer)
        writer.u8(sloppyQuorum ? 1 : 0)
        writer.u64(UInt64(ttl.nanoseconds))
        writer.u64(purgeFloor)
    }

    package func encoded() -> Blob {
        var writer = ByteWriter(reservingCapacity: 128)
        write(to: &writer)
        return Blob(writer.bytes)
    }

    package var digest: UInt64 { XXH3.hash(encoded()) }

    package func checkInvariants() {
        invariant(Names.isValid(name), "\"\(name)\" can't be the name of a keyspace")
        invariant(replication.isValid, "replication factor \(replication) of keyspace \(name)")
        invariant(!read.isForWritesOnly, "keyspace \(name) can't be read at \(read)")
        invariant(ttl >= .zero, "keyspace \(name) has a negative ttl")
    }
}
