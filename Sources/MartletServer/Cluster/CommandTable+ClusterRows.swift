// The rows of the command table for what Redis Cluster adds. Facts are Redis 7.0's.

extension CommandSpecification {
    static let cluster = [
        CommandSpecification(
            .container, "cluster", -2, group: "cluster", since: "3.0.0", "",
            "A container for cluster commands", subcommands: clusterShown + clusterRefused),
        CommandSpecification(
            .clusterSwitch, "readonly", 1, "loading stale fast", group: "cluster", categories: "connection",
            since: "3.0.0", "", "Enables read queries for a connection to a cluster replica node"),
        CommandSpecification(
            .clusterSwitch, "readwrite", 1, "loading stale fast", group: "cluster", categories: "connection",
            since: "3.0.0", "", "Disables read queries for a connection to a cluster replica node"),
        CommandSpecification(
            .clusterSwitch, "asking", 1, "fast", group: "cluster", categories: "connection", since: "3.0.0",
            "", "Sent by cluster clients after an -ASK redirect, which there never is"),
    ]

    private static let clusterShown = [
        shown(
            .clusterSlots, "slots", 2, "", "Get array of Cluster slot to node mappings",
            note: "Each slot has one live owner as its master, and no replicas."),
        shown(
            .clusterShards, "shards", 2, "", "Get array of cluster slots to node mappings", since: "7.0.0",
            note: "Each node is a shard of its own."),
        shown(.clusterNodes, "nodes", 2, "", "Get Cluster config for the node"),
        shown(.clusterInfo, "info", 2, "", "Provides info about Redis Cluster node state"),
        shown(.clusterMyID, "myid", 2, "", "Return the node id", isSteady: true),
        shown(
            .clusterMyID, "myshardid", 2, "", "Return the id of the node's shard, which is the node's",
            since: "7.2.0", isSteady: true,
            note: "Redis 7.2's: the id of the node."),
        shown(
            .clusterKeySlot, "keyslot", 3, "key", "Returns the hash slot of the specified key",
            isSteady: true),
        shown(
            .clusterCountKeys, "countkeysinslot", 3, "slot",
            "Return the number of keys in the specified hash slot",
            isSteady: true,
            note: "Counted over the cluster, whichever node is asked."),
        shown(
            .clusterGetKeys, "getkeysinslot", 4, "slot count", "Return key names in the specified hash slot",
            note: "Of the whole cluster, whichever node is asked."),
        shown(
            .clusterLinks, "links", 2, "", "Returns a list of all TCP links to peer nodes in cluster",
            since: "7.0.0",
            note: "Connections to other nodes, without times and sizes of buffers."),
        shown(
            .clusterReplicas, "replicas", 3, "node-id", "List replica nodes: there are only masters",
            since: "5.0.0", "admin stale",
            note: "There are only masters: an empty list."),
        shown(
            .clusterReplicas, "slaves", 3, "node-id", "List replica nodes: there are only masters",
            "admin stale",
            note: "There are only masters: an empty list."),
        CommandSpecification(
            .clusterHelp, "cluster|help", 2, "loading stale", group: "cluster", since: "5.0.0", "",
            "Show helpful text about the different subcommands"),
    ]

    private static func shown(
        _ code: CommandCode, _ name: String, _ arity: Int, _ usage: String, _ summary: String,
        since: String = "3.0.0", _ flags: String = "stale", isSteady: Bool = false, note: String = ""
    ) -> CommandSpecification {
        CommandSpecification(
            code, "cluster|\(name)", arity, flags, group: "cluster",
            tips: isSteady ? "" : "nondeterministic_output", since: since, usage, summary,
            note: note)
    }

    /// What changes a Redis Cluster. Known, so that a user who tries hears why not.
    private static let clusterRefused = [
        ("addslots", -3), ("addslotsrange", -4), ("bumpepoch", 2), ("delslots", -3), ("delslotsrange", -4),
        ("failover", -2), ("flushslots", 2), ("forget", 3), ("meet", -4), ("replicate", 3), ("reset", -2),
        ("saveconfig", 2), ("set-config-epoch", 3), ("setslot", -4),
    ].map { name, arity in
        CommandSpecification(
            .clusterRefused, "cluster|\(name)", arity, "admin stale no_async_loading", group: "cluster",
            since: "3.0.0", "", "Refused: Martlet's nodes share out the slots themselves",
            note: "Refused with a sentence: the nodes share out the slots themselves.")
    }
}
