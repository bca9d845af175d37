// The rows of the command table for keys and their expiry, and for what is Martlet's own.

extension CommandSpecification {
    private static let expiryNote =
        "Reads and then writes, not in one step. The expiry belongs to the value that was read: it does "
        + "nothing to one that is written meanwhile."

    static let data = [
        CommandSpecification(
            .del, "del", -2, "write", keys: .all, access: "RM delete", group: "generic",
            categories: "keyspace", tips: "request_policy:multi_shard response_policy:agg_sum",
            since: "1.0.0", "key [key ...]", "Delete keys; the count is a read, the deletion unconditional",
            note: "The count comes from a read before it; each key is deleted whatever that found."),
        CommandSpecification(
            .del, "unlink", -2, "write fast", keys: .all, access: "RM delete", group: "generic",
            categories: "keyspace", tips: "request_policy:multi_shard response_policy:agg_sum",
            since: "4.0.0", "key [key ...]", "Delete a key, as DEL does", note: "The same as DEL."),
        CommandSpecification(
            .exists, "exists", -2, "readonly fast", keys: .all, access: "RO", group: "generic",
            categories: "keyspace", tips: "request_policy:multi_shard response_policy:agg_sum",
            since: "1.0.0", "key [key ...]", "Determine if a key exists"),
        CommandSpecification(
            .exists, "touch", -2, "readonly fast", keys: .all, access: "RO", group: "generic",
            categories: "keyspace", tips: "request_policy:multi_shard response_policy:agg_sum",
            since: "3.2.1", "key [key ...]", "Count the keys that exist",
            note: "Counts, and changes nothing: no key is evicted, so none is kept from it."),
        CommandSpecification(
            .ttl, "ttl", 2, "readonly fast", keys: .one, access: "RO access", group: "generic",
            categories: "keyspace", tips: "nondeterministic_output", since: "1.0.0", "key",
            "Get the time to live for a key in seconds"),
        CommandSpecification(
            .pttl, "pttl", 2, "readonly fast", keys: .one, access: "RO access", group: "generic",
            categories: "keyspace", tips: "nondeterministic_output", since: "2.6.0", "key",
            "Get the time to live for a key in milliseconds"),
        CommandSpecification(
            .expireTime, "expiretime", 2, "readonly fast", keys: .one, access: "RO access", group: "generic",
            categories: "keyspace", since: "7.0.0", "key", "Get the expiration Unix timestamp for a key"),
        CommandSpecification(
            .pexpireTime, "pexpiretime", 2, "readonly fast", keys: .one, access: "RO access",
            group: "generic", categories: "keyspace", since: "7.0.0", "key",
            "Get the expiration Unix timestamp for a key in milliseconds"),
        CommandSpecification(
            .expire, "expire", -3, "write fast", keys: .one, access: "RW update", group: "generic",
            categories: "keyspace", since: "1.0.0", "key seconds [NX|XX|GT|LT]",
            "Set a key's time to live in seconds", note: expiryNote),
        CommandSpecification(
            .pexpire, "pexpire", -3, "write fast", keys: .one, access: "RW update", group: "generic",
            categories: "keyspace", since: "2.6.0", "key milliseconds [NX|XX|GT|LT]",
            "Set a key's time to live in milliseconds", note: expiryNote),
        CommandSpecification(
            .expireAt, "expireat", -3, "write fast", keys: .one, access: "RW update", group: "generic",
            categories: "keyspace", since: "1.2.0", "key unix-time-seconds [NX|XX|GT|LT]",
            "Set the expiration for a key as a UNIX timestamp", note: expiryNote),
        CommandSpecification(
            .pexpireAt, "pexpireat", -3, "write fast", keys: .one, access: "RW update", group: "generic",
            categories: "keyspace", since: "2.6.0", "key unix-time-milliseconds [NX|XX|GT|LT]",
            "Set the expiration for a key as a UNIX timestamp specified in milliseconds", note: expiryNote),
        CommandSpecification(
            .persist, "persist", 2, "write fast", keys: .one, access: "RW update", group: "generic",
            categories: "keyspace", since: "2.2.0", "key", "Remove the expiration from a key",
            note: expiryNote),
    ]

    /// What Redis lacks.
    static let own = [
        CommandSpecification(
            .consistency, "consistency", -1, "loading stale fast", group: "connection",
            categories: "connection",
            since: "0.1.0", "[level | read write | DEFAULT]",
            "Show or set the consistency levels of this connection"),
        CommandSpecification(
            .vget, "vget", -2, "readonly fast", keys: .one, access: "RO access", group: "string",
            categories: "string", since: "0.1.0", "key [CONSISTENCY level] [TIMEOUT ms] [LOCAL] [META]",
            "Get the values of a key and their causal context"),
        CommandSpecification(
            .vset, "vset", -3, "write denyoom", keys: .one, access: "OW update", group: "string",
            categories: "string", since: "0.1.0",
            "key value [CONSISTENCY level] [CONTEXT c] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL] [VERSION v] "
                + "[TIMEOUT ms]",
            "Set the value of a key at a level, after a context"),
        CommandSpecification(
            .vdel, "vdel", -2, "write", keys: .one, access: "RM delete", group: "generic",
            categories: "keyspace", since: "0.1.0",
            "key [CONSISTENCY level] [CONTEXT c] [VERSION v] [TIMEOUT ms]",
            "Delete a key at a level, after a context"),
        CommandSpecification(
            .container, "martlet", -2, group: "server", since: "0.1.0", "",
            "A container for commands about the cluster",
            subcommands: [
                CommandSpecification(
                    .martletStatus, "martlet|status", 2, "loading stale", group: "server", since: "0.1.0", "",
                    "Show the cluster as this node sees it, as JSON"),
                CommandSpecification(
                    .martletRing, "martlet|ring", -2, "loading stale", group: "server", since: "0.1.0",
                    "[key]",
                    "Show tokens, ranges and their replicas of the selected keyspace, as JSON"),
                CommandSpecification(
                    .martletHints, "martlet|hints", 2, "loading stale", group: "server", since: "0.1.0", "",
                    "Show the hints that this node keeps for others, as JSON"),
                CommandSpecification(
                    .martletRepair, "martlet|repair", -2, "loading stale", group: "server", since: "0.2.0",
                    "[START [KEYSPACE name] [RANGE first-slot last-slot] [TURNS]]",
                    "Show how far owners have compared what they hold, as JSON, or have them do it now",
                    note: "START answers with how many owners this node exchanges with; with TURNS only with "
                        + "those that it begins exchanges with by itself, for who asks all nodes."),
                CommandSpecification(
                    .martletKeyspace, "martlet|keyspace", -3, "loading stale", group: "server",
                    since: "0.2.0",
                    "LIST | SHOW name | CREATE name [option value ...] | ALTER name option value ... "
                        + "| DROP name",
                    "List and change keyspaces; lists and definitions are JSON",
                    note: "Options are cluster.yaml's: `replication_factor` (3, or dc1:3,dc2:2), `conflict`, "
                        + "`read`, `write`, `sloppy_quorum`, `ttl`. A change is answered when all nodes that "
                        + "live have it on disk."),
                CommandSpecification(
                    .martletNode, "martlet|node", -3, "loading stale", group: "server", since: "0.3.0",
                    "LEAVE | REMOVE name | ABORT name | MOVE [slot ...] [ZONE zone] | DRAIN",
                    "Have the node that is asked leave the ring, take other tokens or another zone, or stop; "
                        + "give up a dead one; call a change off",
                    note: "Answered when this node has it on disk; `MARTLET STATUS` shows how far the change "
                        + "is. DRAIN is answered at once."),
                CommandSpecification(
                    .martletMetrics, "martlet|metrics", 2, "loading stale", group: "server", since: "0.1.0",
                    "",
                    "Show this node's metrics, as Prometheus text"),
                CommandSpecification(
                    .martletHelp, "martlet|help", -2, "loading stale", group: "server", since: "0.1.0",
                    "[command]", "Show what commands there are"),
            ]),
    ]
}
