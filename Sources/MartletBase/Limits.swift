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

    // MARK: Clients
    /// A line of a request: an inline command, or the length of what follows. Redis's `PROTO_INLINE_MAX_SIZE`.
    package static let inlineBytesMax = 64 << 10
    /// A length that a client may announce, stored or skipped. Redis's `proto-max-bulk-len`.
    package static let bulkBytesMax = 512 << 20
    package static let argumentCountMax = 1 << 20
    /// What a request may hold beside one value of the largest size.
    package static let requestSlackBytesMax = 64 << 20
    /// Requests before authentication.
    package static let strangerArgumentCountMax = 10
    package static let strangerBulkBytesMax = 16 << 10
    /// Space that a connection's parser keeps from one request to the next.
    package static let keptArgumentsMax = 1_024
    package static let keptInlineBytesMax = 4 << 10
    /// Replies, as our own clients take them.
    package static let replyDepthMax = 32
    package static let replyElementsMax = 16 << 20
    package static let replyBytesMax = 1 << 30
    package static let replyLineBytesMax = 64 << 10

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

    package static func checkRelations() {
        invariant(slots.nonzeroBitCount == 1, "slots must be a power of two: they are a token's top bits")
        invariant(nodesMax * 1 <= slots, "every node needs a slot boundary of its own")
        invariant(
            frameBytesMax >= keyBytesMax + valueBytesMax + recordOverheadMax,
            "a frame must hold one record of the largest size")
        invariant(frameBytesMax < Int(Int32.max), "a frame's length is a positive 32-bit number")
        invariant(replicationFactorMax <= nodesMax, "more copies than nodes")
        invariant(valueBytesMax <= bulkBytesMax, "a client must be able to announce every value")
        invariant(keyBytesMax <= requestSlackBytesMax, "a request must hold a key beside its value")
    }
}
