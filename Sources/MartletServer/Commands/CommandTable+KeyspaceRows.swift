// The rows of the command table for what a key is like, and for commands that go over the keys.

import MartletBase

extension CommandSpecification {
    private static let walkNote =
        "Goes over the whole cluster, page after page, at the connection's read level; keys that are written "
        + "or deleted meanwhile may count or not."

    private static let flushNote =
        "Answered when all nodes that live have it on disk, owners of every key among them as many as the "
        + "connection's write level asks for. ASYNC and SYNC make no difference: the keys are gone when it "
        + "is answered, and their space is given back behind that."

    static let keyspace = [
        CommandSpecification(
            .type, "type", 2, "readonly fast", keys: .one, access: "RO", group: "generic",
            categories: "keyspace", since: "1.0.0", "key", "Determine the type stored at key",
            note: "Everything is a string."),
        CommandSpecification(
            .container, "object", -2, group: "generic", since: "2.2.3", "",
            "A container for object introspection commands",
            subcommands: [
                CommandSpecification(
                    .objectEncoding, "object|encoding", 3, "readonly", keys: .second, access: "RO",
                    group: "generic",
                    categories: "keyspace", tips: "nondeterministic_output", since: "2.2.3", "key",
                    "Inspect the internal encoding of a Redis object",
                    note: "As Redis stores what SET gives it: `int`, `embstr` or `raw`. Redis says `raw` of "
                        + "every value that APPEND or SETRANGE has changed."),
                CommandSpecification(
                    .objectFreq, "object|freq", 3, "readonly", keys: .second, access: "RO", group: "generic",
                    categories: "keyspace", tips: "nondeterministic_output", since: "4.0.0", "key",
                    "Get the logarithmic access frequency counter of a Redis object",
                    note: "Always refused: accesses are not counted."),
                CommandSpecification(
                    .objectIdleTime, "object|idletime", 3, "readonly", keys: .second, access: "RO",
                    group: "generic",
                    categories: "keyspace", tips: "nondeterministic_output", since: "2.2.3", "key",
                    "Get the time since a Redis object was last accessed",
                    note: "The seconds since the last write: reads are not remembered."),
                CommandSpecification(
                    .objectRefCount, "object|refcount", 3, "readonly", keys: .second, access: "RO",
                    group: "generic",
                    categories: "keyspace", tips: "nondeterministic_output", since: "2.2.3", "key",
                    "Get the number of references to the value of the key",
                    note: "Always 1: values are not shared."),
                CommandSpecification(
                    .objectHelp, "object|help", 2, "loading stale", group: "generic", categories: "keyspace",
                    since: "6.2.0", "", "Show helpful text about the different subcommands",
                    note: "Made from this table."),
            ]),
        CommandSpecification(
            .container, "memory", -2, group: "server", since: "4.0.0", "",
            "A container for memory diagnostics commands",
            subcommands: [
                CommandSpecification(
                    .memoryUsage, "memory|usage", -3, "readonly", keys: .second, access: "RO",
                    group: "server", since: "4.0.0", "key [SAMPLES count]",
                    "Estimate the memory usage of a key",
                    note: "The bytes of key and value, and what a record adds at most. They are on disk."),
                CommandSpecification(
                    .memoryHelp, "memory|help", 2, "loading stale", group: "server", since: "4.0.0", "",
                    "Show helpful text about the different subcommands", note: "Made from this table."),
            ]),
        CommandSpecification(
            .flushDatabase, "flushdb", -1, "write", group: "server", categories: "keyspace dangerous",
            tips: "request_policy:all_shards response_policy:all_succeeded", since: "1.0.0",
            "[ASYNC|SYNC]", "Remove all keys from the current database",
            note: flushNote),
        CommandSpecification(
            .flushAll, "flushall", -1, "write", group: "server", categories: "keyspace dangerous",
            tips: "request_policy:all_shards response_policy:all_succeeded", since: "1.0.0",
            "[ASYNC|SYNC]", "Remove all keys from all databases",
            note: "FLUSHDB of every keyspace. " + flushNote),
        CommandSpecification(
            .databaseSize, "dbsize", 1, "readonly fast", group: "server", categories: "keyspace",
            tips: "request_policy:all_shards response_policy:agg_sum", since: "1.0.0", "",
            "Return the number of keys in the selected database",
            note: "Counts the keys, so it takes time in proportion to them. \(walkNote)"),
        CommandSpecification(
            .scan, "scan", -2, "readonly", group: "generic", categories: "keyspace",
            tips: "nondeterministic_output request_policy:special", since: "2.8.0",
            "cursor [MATCH pattern] [COUNT count] [TYPE type]", "Incrementally iterate the keys space",
            note: "The cursor is a token: it holds on any node and for ever. A key that is there throughout "
                + "comes exactly once. COUNT is cut to \(Limits.clientScanCountMax)."),
        CommandSpecification(
            .keys, "keys", 2, "readonly", group: "generic", categories: "keyspace dangerous",
            tips: "request_policy:all_shards nondeterministic_output_order", since: "1.0.0", "pattern",
            "Find all keys matching the given pattern",
            note: "\(walkNote) A reply over `client_output_max` is refused with TOOLARGE, and a pattern with "
                + "more than \(GlobPattern.starredBytesMax) bytes from its first `*` on with ERR."),
        CommandSpecification(
            .randomKey, "randomkey", 1, "readonly", group: "generic", categories: "keyspace",
            tips: "request_policy:all_shards nondeterministic_output", since: "1.0.0", "",
            "Return a random key from the keyspace",
            note: "The first key at or after a random token: nearly even over the keys, but not quite."),
    ]
}
