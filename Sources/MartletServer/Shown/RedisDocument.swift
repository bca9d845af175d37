/// docs/REDIS.md, made from the command table and the list of known differences, so that it can't drift.
package enum RedisDocument {
    package static func markdown() -> String {
        var out = introduction.split(separator: "\n", omittingEmptySubsequences: false).map {
            wrapped(String($0))
        }
        .joined()
        for group in groups {
            let rows = CommandSpecification.all.filter { $0.group == group.name && $0.isOfRedis }
            out += "\n## \(group.title)\n\n"
            out += table(
                rows.flatMap {
                    $0.subcommands.isEmpty ? [$0] : $0.isContainer ? $0.subcommands : [$0] + $0.subcommands
                })
        }
        out += "\n## Martlet's own\n\n" + ownText + "\n"
        let own = CommandSpecification.all.filter { !$0.isOfRedis }
        out += table(own.flatMap { $0.isContainer ? $0.subcommands : [$0] }, isOwn: true)
        out += "\n## Refused with a sentence\n\n" + refusedText
        for (sentence, names) in refusals { out += wrapped("- \(names): `\(sentence)`") }
        out += "\n## Absent\n\n" + absentText
        for (what, why) in absent { out += wrapped("- \(what): \(why)") }
        out += "\n## Known differences\n\n" + differencesText
        for difference in RedisDifference.allCases {
            out += wrapped("- **\(difference.commands)**: \(difference.reason)")
        }
        return out
    }

    private static func table(_ rows: [CommandSpecification], isOwn: Bool = false) -> String {
        var out =
            isOwn ? "| command | what it does |\n|---|---|\n" : "| command | how it differs |\n|---|---|\n"
        for row in rows {
            let name = row.name.uppercased().replacing("|", with: " ")
            let usage = (row.usage.isEmpty ? name : "\(name) \(row.usage)").replacing("|", with: "\\|")
            let text = isOwn ? row.summary + "." : row.note.isEmpty ? "same" : row.note
            out += "| `\(usage)` | \(text.replacing("|", with: "\\|")) |\n"
        }
        return out
    }

    /// Sentences, each with the commands that answer it, in the order of the table.
    private static var refusals: [(sentence: String, names: String)] {
        var list: [(sentence: String, names: [String])] = []
        for row in CommandSpecification.refused {
            let name = row.name.uppercased()
            // Commands of one kind differ in their name only.
            let sentence =
                row.group != "transactions" && row.note.hasPrefix(name)
                ? "…" + row.note.dropFirst(name.count) : row.note
            if let index = list.firstIndex(where: { $0.sentence == sentence }) {
                list[index].names.append(name)
            } else {
                list.append((sentence, [name]))
            }
        }
        return list.map { ("ERR \($0.sentence)", $0.names.joined(separator: ", ")) }
    }

    /// A paragraph or a point of a list in lines that fit.
    private static func wrapped(_ text: String) -> String {
        let columnsMax = 110
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > columnsMax {
                lines.append(line)
                line = text.hasPrefix("- ") ? "  \(word)" : "\(word)"
            } else {
                line += line.isEmpty ? "\(word)" : " \(word)"
            }
        }
        lines.append(line)
        return lines.joined(separator: "\n") + "\n"
    }

    // MARK: Text

    private static let groups = [
        (name: "string", title: "Strings"), (name: "generic", title: "Keys"),
        (name: "connection", title: "Connection"), (name: "server", title: "Server"),
        (name: "cluster", title: "Cluster, on port 7380"),
    ]

    private static let introduction = """
        # Redis commands

        <!-- Made by `make docs`: change the command table in Sources/MartletServer, not this page. -->

        Martlet speaks the Redis protocol, RESP2 and RESP3, and says that it is Redis 7.0.15. A command \
        that is here takes the arguments of Redis 7.0's and gives its replies, types and error texts to the \
        letter; what differs is said beside it. A test runs generated sequences of commands on a real \
        redis-server and on Martlet side by side and allows only the differences listed below.

        Three things hold for all of them:

        - A command can fail for reasons that a single server doesn't have: `UNAVAILABLE`, `TIMEOUT`, \
        `OVERLOADED`, `SKEW`, `LOADING`, `STOPPING`. After a `TIMEOUT` a write may have happened; after the \
        others nothing was sent.
        - Each key is an operation of its own. A command with several keys isn't one step, and neither is \
        one that reads and then writes, where that is noted: two clients at the same time may undo each \
        other's part. Two values of one key never mix: the last writer wins with the whole of it.
        - A key may have `key_bytes_max`, a value `value_bytes_max`; longer ones answer `TOOLARGE` and the \
        connection stays. Over 512 MiB Redis's own errors come first.
        """

    private static let ownText =
        "docs/PROTOCOL.md has them in full; `MARTLET HELP` lists them with the others.\n"

    private static let refusedText = """
        These are known, so that whoever uses one learns why it isn't there. COMMAND doesn't list them.


        """

    private static let absentText = """
        These answer Redis's error for unknown commands, word for word.


        """

    private static let absent = [
        (
            "lists, hashes, sets, sorted sets, streams, geo, HyperLogLog and bitmaps (LPUSH, HSET, SADD, "
                + "ZADD, XADD, GEOADD, PFADD, SETBIT and their families)",
            "a value is a string. Sets and maps that merge are to come; the others need an order of writes."
        ),
        (
            "RENAME, RENAMENX, COPY, MOVE, SORT, LCS, DUMP, RESTORE, MIGRATE",
            "they move values between keys, which here have different owners; read and write instead."
        ),
        (
            "SWAPDB, SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, SHUTDOWN, REPLICAOF, FAILOVER, ROLE, PSYNC",
            "there is no snapshot and no master: nodes are stopped with `martlet down`."
        ),
        (
            "SLOWLOG, LATENCY, MONITOR, DEBUG, MEMORY STATS and DOCTOR",
            "`MARTLET METRICS` shows what a node does."
        ),
        (
            "ACL, MODULE, CLIENT TRACKING, CACHING, GETREDIR, PAUSE, UNPAUSE, UNBLOCK",
            "there are no users, modules, invalidations or blocking commands."
        ),
    ]

    private static let differencesText = """
        All of them; anything else that a client of Redis 7.0 sees otherwise is a bug.


        """
}

extension CommandSpecification {
    fileprivate var isContainer: Bool { code == .container }
    /// Martlet's own count their versions from 0.
    fileprivate var isOfRedis: Bool { !since.hasPrefix("0.") }
}
