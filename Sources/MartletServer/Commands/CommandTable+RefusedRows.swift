// Commands of Redis's that are known only to be refused with a sentence of their own, because a user needs to
// hear why and what to do instead. COMMAND doesn't list them. Others get Redis's error for unknown commands.

extension CommandSpecification {
    static let refused =
        transactions + conditional + counters + scripts + messages

    private static func refusal(
        _ name: String, _ arity: Int, _ group: String, _ sentence: String
    ) -> CommandSpecification {
        CommandSpecification(
            .refused, name, arity, group: group, since: "1.0.0", "", "Refused", note: sentence)
    }

    // EXEC too: it is whose reply clients show.
    private static let transactions = [
        ("multi", 1), ("exec", 1), ("discard", 1), ("watch", -2), ("unwatch", 1),
    ]
    .map { name, arity in
        refusal(
            name, arity, "transactions",
            "MULTI is not supported: Martlet has no transactions (redis-py: pipeline(transaction=False))")
    }

    private static let conditional = [("setnx", 3), ("msetnx", -3)].map { name, arity in
        refusal(
            name, arity, "string",
            "\(name.uppercased()) needs agreement among replicas, which this version does not have")
    }

    private static let counters = [
        ("incr", 2), ("incrby", 3), ("incrbyfloat", 3), ("decr", 2), ("decrby", 3),
    ].map { name, arity in
        refusal(
            name, arity, "string",
            "\(name.uppercased()) is not supported: this version has no counters; "
                + "let each writer count in a key of its own, and add the keys up to read")
    }

    private static let scripts = [
        ("eval", -3), ("evalsha", -3), ("eval_ro", -3), ("evalsha_ro", -3), ("fcall", -3), ("fcall_ro", -3),
        ("script", -2), ("function", -2),
    ].map { name, arity in
        refusal(
            name, arity, "scripting",
            "\(name.uppercased()) is not supported: Martlet runs no scripts; "
                + "send the commands one by one, or in a pipeline")
    }

    private static let messages = [
        ("subscribe", -2), ("psubscribe", -2), ("ssubscribe", -2), ("unsubscribe", -1), ("punsubscribe", -1),
        ("sunsubscribe", -1), ("publish", 3), ("spublish", 3), ("pubsub", -2),
    ].map { name, arity in
        refusal(
            name, arity, "pubsub",
            "\(name.uppercased()) is not supported: Martlet passes no messages between clients; "
                + "use a message broker beside it")
    }
}
