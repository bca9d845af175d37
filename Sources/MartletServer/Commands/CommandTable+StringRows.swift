// The rows of the command table for strings.

extension CommandSpecification {
    private static let readFirst = "Reads and then writes, not in one step"
    private static let readFirstNote =
        "\(readFirst): of two at the same time on one key, one may undo what the other did."

    static let strings = [
        CommandSpecification(
            .get, "get", 2, "readonly fast", keys: .one, access: "RO access", group: "string",
            categories: "string", since: "1.0.0", "key", "Get the value of a key"),
        CommandSpecification(
            .set, "set", -3, "write denyoom", keys: .one, access: "RW access update variable_flags",
            group: "string", categories: "string", since: "1.0.0",
            "key value [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]", "Set the string value of a key",
            note: "NX and XX are refused: they need agreement among replicas. With KEEPTTL or GET it reads "
                + "and then writes, not in one step.",
            keysNote: "RW and ACCESS due to the optional `GET` argument"),
        CommandSpecification(
            .setEx, "setex", 4, "write denyoom", keys: .one, access: "OW update", group: "string",
            categories: "string", since: "2.0.0", "key seconds value",
            "Set the value and expiration of a key"),
        CommandSpecification(
            .psetEx, "psetex", 4, "write denyoom", keys: .one, access: "OW update", group: "string",
            categories: "string", since: "2.6.0", "key milliseconds value",
            "Set the value and expiration in milliseconds of a key"),
        CommandSpecification(
            .getSet, "getset", 3, "write denyoom fast", keys: .one, access: "RW access update",
            group: "string", categories: "string", since: "1.0.0", "key value",
            "Set the string value of a key and return its old value", note: readFirstNote),
        CommandSpecification(
            .getDel, "getdel", 2, "write fast", keys: .one, access: "RW access delete", group: "string",
            categories: "string", since: "6.2.0", "key", "Get the value of a key and delete the key",
            note: readFirstNote),
        CommandSpecification(
            .getEx, "getex", -2, "write fast", keys: .one, access: "RW access update", group: "string",
            categories: "string", since: "6.2.0", "key [EX s|PX ms|EXAT s|PXAT ms|PERSIST]",
            "Get the value of a key and optionally set its expiration",
            note: "\(readFirst). The expiry belongs to the value that was read: it does nothing to one that "
                + "is written meanwhile.",
            keysNote: "RW and UPDATE because it changes the TTL"),
        CommandSpecification(
            .append, "append", 3, "write denyoom fast", keys: .one, access: "RW insert", group: "string",
            categories: "string", since: "2.0.0", "key value", "Append a value to a key",
            note: readFirstNote),
        CommandSpecification(
            .getRange, "getrange", 4, "readonly", keys: .one, access: "RO access", group: "string",
            categories: "string", since: "2.4.0", "key start end",
            "Get a substring of the string stored at a key"),
        CommandSpecification(
            .getRange, "substr", 4, "readonly", keys: .one, access: "RO access", group: "string",
            categories: "string", since: "1.0.0", "key start end",
            "Get a substring of the string stored at a key"),
        CommandSpecification(
            .setRange, "setrange", 4, "write denyoom", keys: .one, access: "RW update", group: "string",
            categories: "string", since: "2.2.0", "key offset value",
            "Overwrite part of a string at key starting at the specified offset", note: readFirstNote),
        CommandSpecification(
            .strlen, "strlen", 2, "readonly fast", keys: .one, access: "RO", group: "string",
            categories: "string", since: "2.2.0", "key", "Get the length of the value stored in a key"),
        CommandSpecification(
            .mget, "mget", -2, "readonly fast", keys: .all, access: "RO access", group: "string",
            categories: "string", tips: "request_policy:multi_shard", since: "1.0.0", "key [key ...]",
            "Get the values of all the given keys", note: "Each key is read for itself."),
        CommandSpecification(
            .mset, "mset", -3, "write denyoom", keys: .pairs, access: "OW update", group: "string",
            categories: "string", tips: "request_policy:multi_shard response_policy:all_succeeded",
            since: "1.0.1", "key value [key value ...]", "Set multiple keys to multiple values",
            note: "Each key is written for itself; an error says how many were not, and names one."),
    ]
}
