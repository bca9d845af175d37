import MartletBase

extension Setting where Root == ClusterConfiguration {
    /// Every scalar of cluster.yaml, by section, in the order of the file.
    package static let all: [Setting] = cluster + ports + ring + requests + storage + gossip + upkeep + log

    /// The names of the sections in which these are, in the order of the file.
    package static let sections: [String] = all.reduce(into: []) { names, setting in
        if names.last != setting.section { names.append(setting.section) }
    }

    static func find(_ name: String) -> Setting? { all.first { $0.name == name } }

    private static let cluster: [Setting] = [
        Setting(
            "cluster", "name", .name(\.cluster.name, .cluster),
            """
            The cluster's name, in every packet and handshake between nodes: nodes of another cluster are \
            refused. Fixed once a node's data folder exists.
            """)
    ]

    private static let ports: [Setting] = [
        Setting(
            "ports", "peers", .port(\.ports.peers),
            "Where nodes speak with each other, TCP and UDP. Needed as soon as there is more than one node."),
        Setting(
            "ports", "redis", .port(\.ports.redis),
            "The Redis protocol, the cluster looking like one Redis."),
        Setting(
            "ports", "redis_cluster", .port(\.ports.redisCluster),
            "The Redis protocol, the cluster looking like a Redis Cluster, for clients that route by slot."),
        Setting(
            "ports", "http", .port(\.ports.http), "Health, metrics, administration and dashboard over HTTP."),
    ]

    private static let ring: [Setting] = [
        Setting(
            "ring", "tokens_per_node",
            .count(\.ring.tokensPerNode, 1...Limits.tokensPerNodeMax, "whole number"),
            "In how many places of the ring a node stands. Fixed once the ring has formed.",
            raising: """
                A lost or new node's work is spread over more of the others, and the load is more even; \
                tables grow, and a range is repaired with more partners.
                """,
            lowering:
                "Fewer pairs of nodes share ranges, so fewer losses of several nodes at once touch a key.")
    ]

    private static let requests: [Setting] = [
        Setting(
            "requests", "timeout", .time(\.requests.timeout, .milliseconds(10)...(.minutes(10))),
            "How long a coordinator waits for replicas before it answers TIMEOUT.",
            raising: "Slow replicas are waited for; a client learns later that a request won't succeed.",
            lowering: "Clients hear sooner; under load more requests time out that would have succeeded."),
        Setting(
            "requests", "speculative", .speculation(\.requests.speculative),
            """
            When a read asks one more replica than it needs: once it has taken longer than this \
            percentile of the keyspace's recent reads (50 ms while fewer than 100 were measured), or \
            than this time; or never.
            """,
            raising: "Fewer extra reads, a longer tail.",
            lowering: "A shorter tail when a replica stalls, more reads to serve."),
        Setting(
            "requests", "in_flight_max", .count(\.requests.inFlightMax, 1...1_000_000, "whole number"),
            "Requests that one node coordinates at once; more are refused with OVERLOADED before any work.",
            raising: "More is queued at peaks: more memory, longer waits.",
            lowering: "Peaks are refused sooner, what is accepted is answered faster."),
        Setting(
            "requests", "key_bytes_max", .size(\.requests.keyBytesMax, 1...Limits.keyBytesMax),
            "The longest key; longer ones are refused with TOOLARGE.",
            raising: "Longer keys are taken; each is held in memory by indexes and caches.",
            lowering: "Longer keys are refused; those already stored stay readable."),
        Setting(
            "requests", "value_bytes_max", .size(\.requests.valueBytesMax, 1...Limits.valueBytesMax),
            "The largest value; larger ones are discarded as they come in and refused with TOOLARGE.",
            raising: "Larger values are taken, and delay what shares a connection with them.",
            lowering: "Less memory for a request and steadier latencies."),
        Setting(
            "requests", "clients_max", .count(\.requests.clientsMax, 1...1_000_000, "whole number"),
            "Client connections to one node, both ports together; more are refused.",
            raising: "More clients; the limit on open files must allow them.",
            lowering: "Less memory at worst."),
        Setting(
            "requests", "client_output_max", .size(\.requests.clientOutputMax, (64 << 10)...(4 << 30)),
            "Replies waiting for one client to read them; a client that lets more pile up is disconnected.",
            raising: "Slow readers of large replies are kept; more memory at worst.",
            lowering: "Slow readers are cut off sooner. Not below value_bytes_max: a reply must fit."),
        Setting(
            "requests", "clock_skew_max", .time(\.requests.clockSkewMax, .milliseconds(1)...(.minutes(1))),
            """
            How far the clocks of two nodes may differ. A node more than half of this away from the \
            others' median refuses to coordinate writes (SKEW) until its clock is right.
            """,
            raising: "Worse clocks are put up with; expired values and remembered stamps are kept longer.",
            lowering: "Clocks must be better; less memory for remembered stamps."),
        Setting(
            "requests", "siblings_max", .count(\.requests.siblingsMax, 2...1_024, "whole number"),
            """
            Concurrent versions of one key in a keyspace with siblings; a put that would make more is \
            refused.
            """,
            raising: "Careless writers go on longer; their keys' reads grow.",
            lowering: "Writers that never resolve are stopped sooner."),
        Setting(
            "requests", "siblings_warn", .count(\.requests.siblingsWarn, 1...1_024, "whole number"),
            "Concurrent versions of one key from which on the log warns and names the key.",
            raising: "Fewer warnings.", lowering: "Earlier warnings."),
    ]

    private static let storage: [Setting] = [
        Setting(
            "storage", "data", .folder(\.storage.data),
            """
            Where data lies: a node's folder is this and its name. In the file it is relative to the \
            file's folder; as MARTLET_DATA or --data to the working directory, and then it wins over a \
            node's own `data` too.
            """),
        Setting(
            "storage", "durability", .choice(\.storage.durability),
            "When a write is acknowledged.",
            choosing: """
                `batch`: after it is synced to disk, one sync for all writes that came meanwhile. \
                `periodic`: before that; a power cut loses up to sync_interval of acknowledged writes of \
                that node.
                """),
        Setting(
            "storage", "sync_interval", .time(\.storage.syncInterval, .milliseconds(1)...(.minutes(1))),
            "How often the log is synced to disk with durability: periodic.",
            raising: "Fewer syncs; more to lose in a power cut.", lowering: "The reverse."),
        Setting(
            "storage", "block_cache", .size(\.storage.blockCache, (1 << 20)...(1 << 40)),
            "Memory for blocks read from disk.",
            raising: "More reads are answered from memory.", lowering: "More reads go to disk."),
        Setting(
            "storage", "record_cache", .size(\.storage.recordCache, (64 << 10)...(1 << 40)),
            "Memory for whole records that are written or read often.",
            raising: "Hot keys are merged in memory, not in chains on disk.", lowering: "Less memory."),
        Setting(
            "storage", "memtable", .size(\.storage.memtable, (1 << 20)...(64 << 30)),
            "Writes collected in memory before they are sorted into a file.",
            raising: "Fewer and larger files, less compaction; a longer start after a crash.",
            lowering: "The reverse."),
        Setting(
            "storage", "disk_free_min", .size(\.storage.diskFreeMin, 0...(16 << 40)),
            "Free disk space below which writes answer OVERLOADED, until there is more again.",
            raising: "More room for compaction and for the operator to act.",
            lowering: "The disk may be filled further, down to where compaction can't make room."),
    ]

    private static let gossip: [Setting] = [
        Setting(
            "gossip", "probe_interval", .time(\.gossip.probeInterval, .milliseconds(50)...(.minutes(1))),
            "How often a node probes another.",
            raising: "Less traffic; failures are seen later.", lowering: "The reverse."),
        Setting(
            "gossip", "probe_timeout", .time(\.gossip.probeTimeout, .milliseconds(10)...(.minutes(1))),
            """
            How long a probe's answer is waited for before others are asked to probe too. Below \
            probe_interval.
            """,
            raising: "Slow networks raise fewer suspicions.", lowering: "Failures are seen sooner."),
        Setting(
            "gossip", "push_pull_interval", .time(\.gossip.pushPullInterval, .seconds(1)...(.hours(1))),
            "How often a node compares all it knows of the ring with another.",
            raising: "Less traffic.", lowering: "What lost packets withheld is learnt sooner."),
        Setting(
            "gossip", "packet_bytes_max",
            .count(\.gossip.packetBytesMax, 512...Limits.packetBytesMax, "whole number of bytes"),
            "The largest UDP packet.",
            raising:
                """
                News spreads in fewer packets; above the network's MTU packets are cut and lost more \
                easily.
                """,
            lowering: "For networks with a small MTU."),
    ]

    private static let upkeep: [Setting] = [
        Setting(
            "repair", "repair_interval", .time(\.repair.repairInterval, .seconds(1)...(.hours(720))),
            "How often each range is compared with each of its other owners.",
            raising: "Less work in the background; divergence that reads don't meet lasts longer.",
            lowering: "The reverse."),
        Setting(
            "repair", "hint_window", .time(\.repair.hintWindow, .zero...(.hours(720))),
            """
            How long writes are kept for a node that is down. What is older reaches it by comparing instead, \
            unless the hint counted towards an acknowledgement: then it is kept until it is delivered.
            """,
            raising: "A node away for longer is made whole by hints alone; more disk for them.",
            lowering: "Less disk; more comparing when it returns."),
        Setting(
            "repair", "hint_bytes_max", .size(\.repair.hintBytesMax, 0...(16 << 40)),
            """
            Bytes of hints that one node keeps for another. Hints that count towards an acknowledgement (at \
            level ANY, or under a sloppy quorum) have as much room of their own and are never dropped: when \
            it is full, such writes are OVERLOADED.
            """,
            raising: "More is made whole by hints alone.", lowering: "Less disk."),
        Setting(
            "repair", "hints", .flag(\.repair.hints),
            """
            Whether writes are kept for replicas that miss them. Hints that count towards an acknowledgement \
            always are.
            """,
            choosing: "`false`: only reads and comparing mend a replica that was away."),
        Setting(
            "repair", "tombstone_grace", .time(\.repair.tombstoneGrace, .zero...(.hours(8_760))),
            """
            How old a delete must be before its tombstone may be purged, once all owners have it. At \
            least twice clock_skew_max.
            """,
            raising: "Tombstones take room for longer.", lowering: "Room is given back sooner."),
        Setting(
            "transfer", "transfer_bytes_per_second_max",
            .size(\.transfer.transferBytesPerSecondMax, 0...(1 << 40)),
            """
            The rate at which one node moves records that are handed over, compared or replayed from \
            hints, in either direction. 0B: held back by the latency of requests alone.
            """,
            raising: "Joining, leaving and healing end sooner.",
            lowering: "They take less of the network and the disk."),
    ]

    private static let log: [Setting] = [
        Setting(
            "log", "level", .choice(\.log.level), "The least important lines that are logged.",
            choosing: "`debug` logs each decision, `error` only what needs an operator."),
        Setting(
            "log", "format", .choice(\.log.format), "How a line is written; the names are the same in both.",
            choosing: "`logfmt` for people and grep, `json` for programs."),
    ]
}

extension Setting where Root == NodeSettings {
    /// The keys of one entry of `nodes`, but for its ports.
    package static let ofNodes: [Setting] = [
        Setting(
            "nodes[]", "name", .name(\.name, .node),
            "The node's name, in the logs, in errors, and of its data folder. Required."),
        Setting(
            "nodes[]", "address", .address(\.address),
            "The address that it binds and that others use. Required."),
        Setting(
            "nodes[]", "zone", .name(\.zone, .place), "What fails together: replicas are spread over zones."),
        Setting(
            "nodes[]", "datacenter", .name(\.datacenter, .place),
            "What LOCAL levels stay within; replication factors may be given a data centre."),
        Setting("nodes[]", "data", .optionalFolder(\.data), "In place of storage.data, for this node."),
    ]
}

extension Setting where Root == PortOverrides {
    /// The keys of an entry's `ports`: those of the cluster's that differ on this node.
    package static let ofNodePorts: [Setting] = [
        Setting("nodes[].ports", "peers", .optionalPort(\.peers), "In place of ports.peers, for this node."),
        Setting("nodes[].ports", "redis", .optionalPort(\.redis), "In place of ports.redis, for this node."),
        Setting(
            "nodes[].ports", "redis_cluster", .optionalPort(\.redisCluster),
            "In place of ports.redis_cluster, for this node."),
        Setting("nodes[].ports", "http", .optionalPort(\.http), "In place of ports.http, for this node."),
    ]
}

extension Setting where Root == KeyspaceSettings {
    /// The keys of one keyspace.
    package static let ofKeyspaces: [Setting] = [
        Setting(
            "keyspaces.<name>", "replication_factor", .copies(\.replicationFactor),
            "On how many nodes a key is kept. Levels count from it, also while there are fewer nodes.",
            raising: "More nodes may be lost; writes and disk cost more.", lowering: "The reverse."),
        Setting(
            "keyspaces.<name>", "conflict", .choice(\.conflict),
            "What becomes of writes to a key that didn't know of each other.",
            choosing: "`lww`: the last writer wins. `siblings`: all are kept until a client resolves them."),
        Setting(
            "keyspaces.<name>", "read", .choice(\.read, without: .any, ignoringCase: true),
            "How many replicas a read must agree with, unless the session or the request says otherwise.",
            raising: "Fresher reads; fewer failures are survived. QUORUM with QUORUM reads what was written.",
            lowering: "Faster reads that survive more, and may be stale."),
        Setting(
            "keyspaces.<name>", "write", .choice(\.write, ignoringCase: true),
            "How many replicas must have a write before it is acknowledged, unless said otherwise.",
            raising: "A write survives more losses; fewer failures are survived by writing.",
            lowering: "Faster writes that survive more failures, and fewer losses."),
        Setting(
            "keyspaces.<name>", "sloppy_quorum", .flag(\.sloppyQuorum),
            "Whether the next healthy nodes stand in for replicas that are down (Dynamo) or not (Cassandra).",
            choosing: "`true`: writes go on through more failures, and a quorum read may miss them meanwhile."
        ),
        Setting(
            "keyspaces.<name>", "ttl", .time(\.ttl, .zero...(.hours(876_000))),
            "How long a value lives that is written without a TTL. 0s: for ever.",
            raising: "Values live longer.", lowering: "Room is given back sooner."),
    ]
}
