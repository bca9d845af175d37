/// Every bound of the program that no setting changes, in one place. `checkRelations` states what must hold
/// between them, and is called when a process starts.
package enum Limits {
    // MARK: The ring
    /// Redis Cluster's slots: the top 14 bits of a token.
    package static let slots = 16_384
    package static let nodesMax = 1_024
    package static let tokensPerNodeMax = 256
    /// Of one data centre.
    package static let replicationFactorMax = 7
    /// Data centres that a replication factor names.
    package static let dataCentersMax = 8
    /// Owners of a key, over all data centres.
    package static let ownersMax = 21
    /// Places of a request: the owners of a slot before a change of the ring and after it, each a bit of 32.
    package static let placesMax = 32
    package static let keyspacesMax = 256
    /// Definitions of keyspaces, those of dropped ones included, which stay for ever.
    package static let definitionsMax = 1_024
    /// Changes of definitions that a node carries out at once: creations, flushes and so on.
    package static let definitionChangesMax = 64
    /// Names of nodes, zones, data centres, clusters and keyspaces, in bytes.
    package static let nameBytesMax = 64

    // MARK: Keys and values
    package static let keyBytesMax = 64 << 10
    package static let valueBytesMax = 512 << 20
    /// What a record adds to its value: kind, stamps, expiry, lengths.
    package static let recordOverheadMax = 128
    package static let recordBytesMax = valueBytesMax + recordOverheadMax
    /// All that is kept under one key of a keyspace with siblings, as far as one coordinator knows; a put
    /// that would make it more is refused.
    package static let siblingsBytesMax = 24 << 20
    /// Puts of one key with siblings that wait for the one before them.
    package static let siblingPutsMax = 1_024

    // MARK: Clients
    /// A line of a request: an inline command, or the length of what follows. Redis's
    /// `PROTO_INLINE_MAX_SIZE`.
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
    /// A frame's bytes after the length field. Holds one record of the largest size, behind what an exchange
    /// sends together.
    package static let frameBytesMax = valueBytesMax + keyBytesMax + 2 * exchangeBytesMax
    /// UDP packets, whatever `packet_bytes_max` says.
    package static let packetBytesMax = 65_507
    /// Nodes that a node counts while it runs: as many of the ring as there may be, the rest strangers.
    package static let peersMax = 4 * nodesMax
    /// Connections with peers, in both directions.
    package static let peerLinksMax = 4 * nodesMax
    /// What may wait to be read by one peer; a connection over it is closed.
    package static let peerOutputBytesMax = 64 << 20
    /// Nodes whose folders' age is remembered, those that are no members included.
    package static let epochsMax = 4 * nodesMax
    /// How long a node that has started waits for the others to vouch for its data folder. Longer: an older
    /// copy is noticed though the network is slow; but a node beside a dead one, of whose death nobody tells
    /// it, answers reads later.
    package static let vouchingMax = Interval.seconds(3)
    /// How long a node whose name is taken waits for the one that has it to be held dead, before it takes it
    /// for alive and stops. Far above what SWIM needs.
    package static let nameTakenMax = Interval.seconds(60)
    /// How often the greatest time heard from each peer is written down.
    package static let heardTimesEvery = Interval.seconds(1)
    /// Exchanges under way at once at a node that rebuilds its disk. The others hold the same records for the
    /// most part: with several at once each of them would send these.
    package static let rebuildExchangesMax = 1
    /// Exchanges at a time that bring a node the slots that it gains: one, for the same reason.
    package static let handoverExchangesMax = 1
    /// How long a node that joins listens for others that do, and waits for each that goes before it.
    package static let joinersHeardWithin = Interval.milliseconds(500)
    /// Acts on the ring that wait for one that may do them.
    package static let ringWishesMax = 16
    /// Spans of slots that wait to be erased.
    package static let erasuresMax = keyspacesMax * slots
    /// How soon an exchange that failed is tried again.
    package static let rebuildRetryAfter = Interval.milliseconds(500)
    /// Entries in one view of the ring that is sent to a peer.
    package static let viewEntriesMax = nodesMax
    /// A coordinator's attempts on a ring that differs from its replicas'.
    package static let placementRetriesMax = 3

    // MARK: Memory of stamps
    /// Stamps a replica remembers for twice `clock_skew_max`, so that it can answer `dominated`.
    package static let rememberedStampsMax = 1 << 20

    // MARK: Queues of the core
    /// Deadlines of requests that have ended, beside as many as are under way.
    package static let deadlinesKept = 4_096
    /// Merges that wait until the stamp ceiling is raised above their stamps.
    package static let parkedMergesMax = 4_096
    /// Merges and reads that a replica has under way for its peers.
    package static let replicaRequestsMax = 65_536

    /// When a read asks one more replica while too few were measured to know how long they take.
    package static let speculationDelayDefault = Interval.milliseconds(50)

    // MARK: Scans
    /// Pages that a coordinator makes at once, and parts of pages that a replica makes.
    package static let scansMax = 64
    package static let replicaScansMax = 256
    /// Keys that one page holds, or one replica lists at a time: then the next token begins a new one.
    package static let scanKeysMax = 1_000
    package static let scanKeyBytesMax = 256 << 10
    /// What a replica's list may come to when many large keys share its last token.
    package static let scanAnswerBytesMax = 8 << 20
    /// Records that a replica passes for one list, or for one count, live or not.
    package static let scanPassedMax = 16_000
    /// What those records may come to: a few tenths of a second of a slow disk.
    package static let scanPassedBytesMax = 16 << 20
    /// Questions to replicas for one page, those on a newer placement included; answers tell them apart by
    /// six bits.
    package static let scanStepsMax = 60
    /// After so long a page goes to the client as it is.
    package static let scanPageTimeMax = Interval.milliseconds(200)
    /// Keys in doubt that a page has read at once.
    package static let scanReadsMax = 32
    /// After so long without a replica's list another one is asked in its stead.
    package static let scanPatience = Interval.milliseconds(250)

    // MARK: Hints
    /// Puts that were answered and still wait for their last replicas, and what they hold: above either the
    /// replicas that haven't answered get hints at once.
    package static let answeredPutsMax = 32_768
    package static let answeredPutBytesMax = 64 << 20
    /// Hints on their way to the disk, and as many that wait while those of earlier runs are counted.
    package static let hintsStoringMax = 65_536
    /// Hints that a node reads for one target at a time.
    package static let hintPageMax = 256
    package static let hintPageBytesMax = 1 << 20
    /// Hints under way to one target, and their bytes, of which one hint may have more.
    package static let hintWindowMax = 128
    package static let hintWindowBytesMax = 2 << 20
    /// Targets that hints are replayed to at once; each has one page of hints read.
    package static let hintTargetsMax = 64
    /// Scans of hints at once: a page for each of these targets, or the one that counts at the start.
    package static let hintScansMax = hintTargetsMax

    // MARK: Exchanges
    /// Exchanges that a node has begun and not ended, and questions of peers' exchanges that it works on.
    package static let exchangesMax = 8
    package static let exchangeQuestionsMax = 128
    /// Transfers among them: others are left room. And slots side by side that one source is asked for.
    package static let transfersMax = exchangesMax / 2
    package static let transferSlots = 16
    package static let transferLeavesFirst = 256
    /// Listings of one exchange under way at once.
    package static let exchangeBatchesMax = 8
    /// Leaves of one listing, and the keys that are listed of them: as many as answers have lately covered.
    /// And the parts of a listing, each of leaves that lie side by side.
    package static let exchangeLeavesMin = 16
    package static let exchangeLeavesFirst = 2_048
    package static let exchangeLeavesMax = 1 << 15
    package static let exchangeSegmentsMax = 1 << 15
    package static let exchangeKeysMin = 256
    package static let exchangeKeysMax = 8_192
    /// Records that travel together, and what they may come to; one record may be larger. They are merged in
    /// one go, and no request is handled meanwhile: for about a millisecond.
    package static let exchangeRecordsMax = 128
    package static let exchangeBytesMax = 1 << 16
    /// Records between two ranges of leaves that are passed by; with more of them the next range is sought,
    /// which takes about as long.
    package static let digestGapMax = 16
    /// Tags or records in one message all the same: keys that share a token are never parted, and whoever
    /// looks for them can find many.
    package static let exchangeItemsMax = 1 << 20
    /// How often listings of an exchange may be answered in part, with less than half of what a message may
    /// hold.
    package static let exchangePartsMax = 1 << 16
    /// Records that a rescan passes at a time, and what they may come to.
    package static let rescanRecordsMax = 20_000
    package static let rescanBytesMax = 16 << 20
    /// Leaves of a rescan, and ranges of them.
    package static let rescanLeavesMax = 1 << 13
    package static let rescanRangesMax = 256
    /// What the trees of all keyspaces may take on disk.
    package static let checkpointBytesMax = 64 << 20
    /// Jobs that exchanges have at the storage at once: one for each question and each batch of an exchange,
    /// and one for its rescan.
    package static let exchangeJobsMax = exchangeQuestionsMax + exchangesMax * (exchangeBatchesMax + 1)
    /// An exchange ends when the other side is silent for so long.
    package static let exchangePatience = Interval.seconds(10)
    /// A peer that waits for our rescan hears how far it is each time.
    package static let exchangeNoticeInterval = Interval.seconds(1)
    /// And so often: then it has taken too long.
    package static let exchangeNoticesMax = 3_600

    // MARK: Purging
    /// Proofs that an owner has under way: one for each node that drives a round, and keyspace.
    package static let purgeProofsMax = nodesMax * keyspacesMax
    /// Ranges that wait to be swept; above that a whole keyspace is.
    package static let sweepsMax = 4_096
    /// Keys merged into while one page of a sweep is read.
    package static let sweptTouchesMax = 16_384

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
    /// Incarnations above this are refused, so that there is always a higher one to refute an accusation
    /// with.
    package static let incarnationMax: UInt64 = 1 << 62
    /// The same of ring entries; a node begins its incarnation in gossip above that of its entry.
    package static let entryIncarnationMax: UInt64 = 1 << 61

    // MARK: The loop
    /// What one read of a TCP connection takes in at most.
    package static let readBufferBytes = 64 << 10
    /// Eight datagrams of the largest size, which one call receives: libuv gives each 64 KiB.
    package static let datagramBufferBytes = 8 * (64 << 10)
    /// What a connection whose peer reads slowly hands to the system at a time.
    package static let outputChunkBytes = 64 << 10
    /// Buffers of a connection that have grown beyond this are given back once they are empty.
    package static let outputRetainedBytesMax = 64 << 10
    package static let inputRetainedBytesMax = 64 << 10
    /// Messages that an inbox keeps room for while it is empty.
    package static let inboxRetainedMax = 16_384
    /// Connections that wait to be accepted.
    package static let listenBacklog = 511
    /// How long a connection that is to be closed may take to send its last bytes.
    package static let closingFlushMax = Interval.seconds(5)

    // MARK: Redis sessions
    /// Keys that one connection has under way in the core; a bit of a word each.
    package static let clientOperationsMax = 64
    /// Commands of one connection whose replies are due. At this many its further ones wait unparsed.
    package static let clientCommandsMax = 1_024
    /// Replies that a client hasn't read, above which its further commands wait.
    package static let clientOutputPauseBytes = 1 << 20
    /// What CONFIG SET takes for `client_output_max`; as in cluster.yaml.
    package static let clientOutputMaxRange = (64 << 10)...(4 << 30)
    /// A name that a client gives itself.
    package static let clientNameBytesMax = 1_024
    /// A deadline that a client may ask for.
    package static let clientTimeoutMax = Interval.hours(1)
    /// After so long without a byte the system asks whether the client is still there. (Redis:
    /// tcp-keepalive.)
    package static let clientKeepAlive = Interval.minutes(5)
    /// INFO's commands a second are of at least so long.
    package static let rateSampleMin = Interval.milliseconds(100)
    /// At most one log line of bad input of clients in this time, however much of it there is.
    package static let badInputLogInterval = Interval.minutes(1)
    /// How long a session goes by a keyspace's definition before it looks again.
    package static let keyspaceAgeMax = Interval.milliseconds(100)

    /// What SCAN's COUNT is cut to. It answers before that with what it has, if only a cursor, once it has so
    /// many bytes of keys, has asked the core for so many pages, or has taken so long.
    package static let clientScanCountMax = 100_000
    package static let clientScanBytesMax = 1 << 20
    package static let clientScanPagesMax = 1_024
    package static let clientScanTimeMax = Interval.milliseconds(200)
    /// What a reply of keys has beside them: headers and the cursor.
    package static let clientScanHeaderBytesMax = 64

    // MARK: Configuration
    /// cluster.yaml: 1,024 nodes with every key take a quarter of this.
    package static let configurationBytesMax = 1 << 20
    package static let configurationDepthMax = 8
    package static let configurationNodesMax = 1 << 16
    /// Complaints about one file that are told at once.
    package static let configurationIssuesMax = 20
    /// A path that cluster.yaml names.
    package static let pathBytesMax = 1_024

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
    /// Merges of one key, blind to what is stored, after which the engine looks whether it can store their
    /// join instead.
    package static let blindMergesMax = 8
    /// IDENTITY, EPOCH and LOCK: a few lines of text.
    package static let folderFileBytesMax = 4 << 10

    // MARK: The Swift client
    /// The port of a seed that names none: the cluster face.
    package static let clientPortDefault: UInt16 = 7_380
    /// Calls that a client may be allowed to have under way.
    package static let clientCallsMax = 1_000_000
    /// Questions to a client about itself that wait for their answer.
    package static let clientQuestionsMax = 1_024
    /// How much earlier than at a call's deadline a node is told to give up.
    package static let clientAnswerMargin = Interval.milliseconds(50)
    /// Bytes that wait to be sent to a node, above which its further requests wait.
    package static let clientPendingOutputBytes = 4 << 20
    /// A connection that owes an answer and is silent for so long is avoided.
    package static let clientSuspicionAfter = Interval.milliseconds(500)
    /// How much longer than it was told a node may take.
    package static let clientSilenceSlack = Interval.seconds(1)
    package static let clientReconnectPauseMin = Interval.milliseconds(50)
    package static let clientReconnectPauseMax = Interval.seconds(5)
    /// Second nodes that may be asked, as a share of all reads and on top of that.
    package static let clientSpeculationShare = 0.1
    package static let clientSpeculationsPerSecond = 100
    /// When a second node is asked while too few reads were measured, and at the soonest.
    package static let clientSpeculationSamplesMin = 100
    package static let clientSpeculationPauseDefault = Interval.milliseconds(50)
    package static let clientSpeculationPauseMin = Interval.milliseconds(1)

    package static func checkRelations() {
        invariant(slots.nonzeroBitCount == 1, "slots must be a power of two: they are a token's top bits")
        invariant(nodesMax * 1 <= slots, "every node needs a slot boundary of its own")
        invariant(
            frameBytesMax >= keyBytesMax + valueBytesMax + recordOverheadMax,
            "a frame must hold one record of the largest size")
        invariant(frameBytesMax >= scanAnswerBytesMax + keyBytesMax, "a frame must hold a replica's list")
        invariant(
            frameBytesMax >= exchangeBytesMax + keyBytesMax + valueBytesMax + recordOverheadMax,
            "a frame must hold an exchange's records, the last of the largest size")
        invariant(
            ownersMax * siblingsBytesMax <= recordBytesMax,
            "what all owners add to a key must fit into a record")
        invariant(scanStepsMax < 64, "a step's number has six bits")
        invariant(frameBytesMax < Int(Int32.max), "a frame's length is a positive 32-bit number")
        invariant(replicationFactorMax <= nodesMax, "more copies than nodes")
        invariant(gossipMembersMax >= nodesMax, "gossip must know every node of the ring")
        invariant(
            gossipStreamBytesMax >= 128 * (gossipMembersMax + rumoursMax) + rumourBytesMax,
            "a push-pull message must hold the lists of all members and facts, or the largest fact")
        invariant(
            datagramBufferBytes / 8 >= packetBytesMax, "a datagram of the largest size must be received whole"
        )
        invariant(peersMax > nodesMax, "a ring forms of nodes that were strangers")
        invariant(peersMax <= Int(UInt16.max), "a peer's index has 16 bits")
        invariant(replicationFactorMax <= ownersMax, "a data centre's copies are owners")
        invariant(ownersMax <= placesMax, "every owner has a place")
        invariant(placesMax <= 32, "the answer of a place is a bit of 32")
        invariant(nodesMax < Int(UInt16.max), "a node's ordinal has 16 bits, and one value for none")
        invariant(valueBytesMax <= bulkBytesMax, "a client must be able to announce every value")
        invariant(keyBytesMax <= requestSlackBytesMax, "a request must hold a key beside its value")
    }
}
