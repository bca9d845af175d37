/// Every bound of the program that no setting changes, in one place. `checkRelations` states what must hold between
/// them, and is called when a process starts.
package enum Limits {
    // MARK: The ring
    /// Redis Cluster's slots: the top 14 bits of a token.
    package static let slots = 16_384
    package static let nodesMax = 1_024
    package static let tokensPerNodeMax = 256
    package static let replicationFactorMax = 7
    /// Owners of one slot, over all data centres: a preference list's places are bits of one word.
    package static let placesMax = 32
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

    // MARK: Queues of the core
    /// Merges that wait until the stamp ceiling is raised above their stamps.
    package static let parkedMergesMax = 4_096
    /// Merges and reads that a replica has under way for its peers.
    package static let replicaRequestsMax = 65_536
    // MARK: Gossip
    /// Members known, dead ones and those that left included.
    package static let gossipMembersMax = 2 * nodesMax
    /// Facts that gossip stores and spreads: ring entries, verdicts, keyspace definitions.
    package static let rumoursMax = 8 * nodesMax
    package static let rumourBytesMax = 64 << 10
    /// One message of a push-pull. What doesn't fit waits for the next one.
    package static let gossipStreamBytesMax = 16 << 20
    package static let gossipSeedsMax = nodesMax
    /// Probes under way at once: the regular one, and those that a broken connection or a suspicion asks for.
    package static let gossipProbesMax = 64
    /// Indirect probes that a node runs for others at once.
    package static let gossipRelaysMax = 256
    /// Ids that are refused because the node was told to forget them.
    package static let forgottenMembersMax = 4 * nodesMax
    /// Members named in one suspicion.
    package static let accusersMax = 8
    /// Incarnations above this are refused, so that there is always a higher one to refute an accusation with.
    package static let incarnationMax: UInt64 = 1 << 62

    package static func checkRelations() {
        invariant(slots.nonzeroBitCount == 1, "slots must be a power of two: they are a token's top bits")
        invariant(nodesMax * 1 <= slots, "every node needs a slot boundary of its own")
        invariant(
            frameBytesMax >= keyBytesMax + valueBytesMax + recordOverheadMax,
            "a frame must hold one record of the largest size")
        invariant(frameBytesMax < Int(Int32.max), "a frame's length is a positive 32-bit number")
        invariant(replicationFactorMax <= nodesMax, "more copies than nodes")
        invariant(gossipMembersMax >= nodesMax, "gossip must know every node of the ring")
        invariant(
            gossipStreamBytesMax >= 128 * (gossipMembersMax + rumoursMax) + rumourBytesMax,
            "a push-pull message must hold the lists of all members and facts, or the largest fact")
    }
}
