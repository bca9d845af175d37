/// Every bound of the program that no setting changes, in one place. `checkRelations` states what must hold between
/// them, and is called when a process starts.
package enum Limits {
    // MARK: The ring
    /// Redis Cluster's slots: the top 14 bits of a token.
    package static let slots = 16_384
    package static let nodesMax = 1_024
    package static let tokensPerNodeMax = 256
    package static let replicationFactorMax = 7
    package static let keyspacesMax = 256
    /// Names of nodes, zones, data centres, clusters and keyspaces, in bytes.
    package static let nameBytesMax = 64

    // MARK: Keys and values
    package static let keyBytesMax = 64 << 10
    package static let valueBytesMax = 512 << 20
    /// What a record adds to its value: kind, stamps, expiry, lengths.
    package static let recordOverheadMax = 128

    // MARK: Peers
    /// A frame's bytes after the length field. Holds one record of the largest size.
    package static let frameBytesMax = valueBytesMax + keyBytesMax + 4_096
    /// UDP packets, whatever `packet_bytes_max` says.
    package static let packetBytesMax = 65_507
    /// Entries in one view of the ring that is sent to a peer.
    package static let viewEntriesMax = nodesMax
    /// A coordinator's attempts on a ring that differs from its replicas'.
    package static let placementRetriesMax = 3

    // MARK: Memory of stamps
    /// Stamps a replica remembers for twice `clock_skew_max`, so that it can answer `dominated`.
    package static let rememberedStampsMax = 1 << 20

    // MARK: Storage
    /// One page of a scan of the store.
    package static let scanRecordsMax = 1_000
    package static let scanBytesMax = 4 << 20
    /// Table files that the engine keeps open; RocksDB's own log and manifest come on top.
    package static let openFilesMax = 512
    /// Earlier starts whose log the engine keeps.
    package static let engineLogFilesMax = 4
    /// The engine looks at the disk's free space each time it has written this much.
    package static let spaceCheckBytes = 64 << 10
    /// Free space that the engine needs beside its tables in memory, whatever `disk_free_min` says.
    package static let spaceReserveBytes = 16 << 20
    /// A record that is larger isn't kept in the record cache.
    package static let cachedRecordBytesMax = 64 << 10
    /// Merges of one key, blind to what is stored, after which the engine looks whether it can store their join instead.
    package static let blindMergesMax = 8
    /// IDENTITY, EPOCH and LOCK: a few lines of text.
    package static let folderFileBytesMax = 4 << 10

    package static func checkRelations() {
        invariant(slots.nonzeroBitCount == 1, "slots must be a power of two: they are a token's top bits")
        invariant(nodesMax * 1 <= slots, "every node needs a slot boundary of its own")
        invariant(
            frameBytesMax >= keyBytesMax + valueBytesMax + recordOverheadMax,
            "a frame must hold one record of the largest size")
        invariant(frameBytesMax < Int(Int32.max), "a frame's length is a positive 32-bit number")
        invariant(replicationFactorMax <= nodesMax, "more copies than nodes")
    }
}
