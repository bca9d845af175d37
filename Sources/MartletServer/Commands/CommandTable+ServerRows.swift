// The rows of the command table. What a row says of a command of Redis's is what Redis 7.0 answers to COMMAND
// INFO and COMMAND DOCS, as far as it holds here.

extension CommandSpecification {
    /// Every command, in the order in which COMMAND and MARTLET HELP list them.
    static let all = connection + server + strings + data + keyspace + own + cluster

    private static let connection = [
        CommandSpecification(
            .ping, "ping", -1, "fast", group: "connection", categories: "connection",
            tips: "request_policy:all_shards response_policy:all_succeeded", since: "1.0.0", "[message]",
            "Ping the server"),
        CommandSpecification(
            .echo, "echo", 2, "loading stale fast", group: "connection", categories: "connection",
            since: "1.0.0", "message", "Echo the given string"),
        CommandSpecification(
            .hello, "hello", -1, "noscript loading stale fast no_auth allow_busy", group: "connection",
            categories: "connection", since: "6.0.0", "[protover [AUTH username password] [SETNAME name]]",
            "Handshake: choose the protocol, log in, name the connection"),
        CommandSpecification(
            .auth, "auth", -2, "noscript loading stale fast no_auth allow_busy", group: "connection",
            categories: "connection", since: "1.0.0", "[username] password", "Authenticate to the server",
            note: "As in a Redis without a password."),
        CommandSpecification(
            .quit, "quit", -1, "noscript loading stale fast no_auth allow_busy", group: "connection",
            categories: "connection", since: "1.0.0", "", "Close the connection"),
        CommandSpecification(
            .reset, "reset", 1, "noscript loading stale fast no_auth allow_busy", group: "connection",
            categories: "connection", since: "6.2.0", "", "Reset the connection",
            note: "Restores the consistency levels, too."),
        CommandSpecification(
            .select, "select", 2, "loading stale fast", group: "connection", categories: "connection",
            since: "1.0.0", "index|keyspace", "Change the selected database for the current connection",
            note: "A database is a keyspace, chosen by its index or its name."),
        CommandSpecification(
            .container, "client", -2, group: "connection", since: "2.4.0", "",
            "A container for client connection commands",
            subcommands: [
                CommandSpecification(
                    .clientID, "client|id", 2, "noscript loading stale", group: "connection",
                    categories: "connection", since: "5.0.0", "",
                    "Returns the client ID for the current connection"),
                CommandSpecification(
                    .clientGetName, "client|getname", 2, "noscript loading stale", group: "connection",
                    categories: "connection", since: "2.6.9", "", "Get the current connection name"),
                CommandSpecification(
                    .clientSetName, "client|setname", 3, "noscript loading stale", group: "connection",
                    categories: "connection", since: "2.6.9", "name", "Set the current connection name"),
                CommandSpecification(
                    .clientSetInfo, "client|setinfo", 4, "noscript loading stale", group: "connection",
                    categories: "connection", since: "7.2.0", "LIB-NAME|LIB-VER value",
                    "Set what library the client uses",
                    note: "As in Redis 7.2."),
                CommandSpecification(
                    .clientInfo, "client|info", 2, "noscript loading stale", group: "connection",
                    categories: "connection", tips: "nondeterministic_output", since: "6.2.0", "",
                    "Returns information about the current client connection",
                    note: "Fields that mean nothing here are 0."),
                CommandSpecification(
                    .clientList, "client|list", -2, "admin noscript loading stale", group: "connection",
                    categories: "connection", tips: "nondeterministic_output", since: "2.4.0",
                    "[TYPE type|ID id ...]", "Get the list of client connections",
                    note: "Fields that mean nothing here are 0."),
                CommandSpecification(
                    .clientKill, "client|kill", -3, "admin noscript loading stale", group: "connection",
                    categories: "connection", since: "2.4.0",
                    "address|[ID id] [ADDR address] [LADDR address] [TYPE type] [USER name] [SKIPME yes|no]",
                    "Kill the connection of a client"),
                CommandSpecification(
                    .clientReply, "client|reply", 3, "noscript loading stale", group: "connection",
                    categories: "connection", since: "3.2.0", "ON|OFF|SKIP",
                    "Instruct the server whether to reply to commands"),
                CommandSpecification(
                    .clientNoEvict, "client|no-evict", 3, "admin noscript loading stale", group: "connection",
                    categories: "connection", since: "7.0.0", "ON|OFF",
                    "Set client eviction mode for the current connection",
                    note: "Accepted; no client is evicted."),
                CommandSpecification(
                    .clientNoTouch, "client|no-touch", 3, "noscript loading stale", group: "connection",
                    categories: "connection", since: "7.2.0", "ON|OFF",
                    "Accepted, without effect: there is no eviction order",
                    note: "As in Redis 7.2; there is no eviction order to keep keys out of."),
                CommandSpecification(
                    .clientHelp, "client|help", 2, "loading stale", group: "connection",
                    categories: "connection",
                    since: "5.0.0", "", "Show helpful text about the different subcommands",
                    note: "Made from this table."),
            ]),
    ]

    private static let server = [
        CommandSpecification(
            .command, "command", -1, "loading stale", group: "server", categories: "connection",
            tips: "nondeterministic_output_order", since: "2.8.13", "", "Get details of the commands",
            note: "What there is here, Martlet's own commands included.",
            subcommands: [
                CommandSpecification(
                    .commandCount, "command|count", 2, "loading stale", group: "server",
                    categories: "connection",
                    since: "2.8.13", "", "Get total number of Redis commands",
                    note: "What there is here, Martlet's own commands included."),
                CommandSpecification(
                    .commandInfo, "command|info", -2, "loading stale", group: "server",
                    categories: "connection",
                    tips: "nondeterministic_output_order", since: "2.8.13", "[name ...]",
                    "Get array of specific Redis command details, or all when no argument is given"),
                CommandSpecification(
                    .commandDocs, "command|docs", -2, "loading stale", group: "server",
                    categories: "connection",
                    tips: "nondeterministic_output_order", since: "7.0.0", "[name ...]",
                    "Get array of specific Redis command documentation",
                    note: "Summary, since and group; no arguments, no history."),
                CommandSpecification(
                    .commandList, "command|list", -2, "loading stale", group: "server",
                    categories: "connection",
                    tips: "nondeterministic_output_order", since: "7.0.0",
                    "[FILTERBY MODULE name|ACLCAT category|PATTERN pattern]",
                    "Get an array of Redis command names",
                    note: "What there is here, Martlet's own commands included."),
                CommandSpecification(
                    .commandGetKeys, "command|getkeys", -4, "loading stale", group: "server",
                    categories: "connection", since: "2.8.13", "command [argument ...]",
                    "Extract keys given a full Redis command"),
                CommandSpecification(
                    .commandGetKeysAndFlags, "command|getkeysandflags", -4, "loading stale", group: "server",
                    categories: "connection", since: "7.0.0", "command [argument ...]",
                    "Extract keys and access flags given a full Redis command"),
                CommandSpecification(
                    .commandHelp, "command|help", 2, "loading stale", group: "server",
                    categories: "connection",
                    since: "5.0.0", "", "Show helpful text about the different subcommands",
                    note: "Made from this table."),
            ]),
        CommandSpecification(
            .container, "config", -2, group: "server", since: "2.0.0", "",
            "A container for server configuration commands",
            subcommands: [
                CommandSpecification(
                    .configGet, "config|get", -3, "admin noscript loading stale", group: "server",
                    since: "2.0.0",
                    "pattern [pattern ...]", "Get the values of configuration parameters",
                    note: "Those of Redis's that clients read, and cluster.yaml's as " + "`section.key`."),
                CommandSpecification(
                    .configSet, "config|set", -4, "admin noscript loading stale", group: "server",
                    tips: "request_policy:all_nodes response_policy:all_succeeded", since: "2.0.0",
                    "name value [name value ...]", "Set configuration parameters to the given values",
                    note: "`maxclients`, `loglevel` and the hard limit of "
                        + "`client-output-buffer-limit normal`, or the same by cluster.yaml's "
                        + "names. It holds for this node until it ends."),
                CommandSpecification(
                    .configResetStat, "config|resetstat", 2, "admin noscript loading stale", group: "server",
                    since: "2.0.0", "", "Reset the stats returned by INFO"),
                CommandSpecification(
                    .configHelp, "config|help", 2, "loading stale", group: "server", since: "5.0.0", "",
                    "Show helpful text about the different subcommands",
                    note: "Made from this table."),
            ]),
        CommandSpecification(
            .info, "info", -1, "loading stale", group: "server", categories: "dangerous",
            tips: "nondeterministic_output request_policy:all_shards response_policy:special", since: "1.0.0",
            "[section ...]", "Get information and statistics about the server",
            note: "Redis's sections with what has a meaning here, and `martlet`."),
        CommandSpecification(
            .time, "time", 1, "loading stale fast", group: "server", tips: "nondeterministic_output",
            since: "2.6.0", "", "Return the current server time",
            note: "The clock of the node that is asked."),
        CommandSpecification(
            .wait, "wait", 3, "noscript", group: "generic", categories: "connection",
            tips: "request_policy:all_shards response_policy:agg_min", since: "3.0.0",
            "numreplicas timeout",
            "Get the number of copies beside the first that acknowledged writes of this connection have",
            note: "Never blocks: a write is acknowledged when it has met its level. The answer is the number "
                + "of further copies that the connection's write level stands for, whatever `numreplicas` "
                + "says: QUORUM of 3 gives 1, ALL of 3 gives 2, ONE and ANY give 0."),
    ]
}
