/// Where Martlet answers a command of Redis 7.0's otherwise, on purpose. The differential test allows these
/// and nothing else, and docs/REDIS.md lists them.
package enum RedisDifference: String, CaseIterable, Sendable {
    case refused
    case conditional
    case identity
    case table
    case configuration
    case encoding
    case access
    case memory
    case expired
    case order
    case wait
    case select
    case clock

    /// The commands that it shows in.
    package var commands: String {
        switch self {
        case .refused: "INCR, EVAL, PUBLISH, MULTI and others"
        case .conditional: "SET NX, SET XX, SETNX, MSETNX"
        case .identity: "HELLO, INFO, CLIENT ID, CLIENT INFO, CLIENT LIST, RESET"
        case .table: "COMMAND, COMMAND COUNT, LIST, DOCS; the HELP of each command"
        case .configuration: "CONFIG GET, CONFIG SET"
        case .encoding: "OBJECT ENCODING"
        case .access: "OBJECT IDLETIME, FREQ, REFCOUNT; TOUCH"
        case .memory: "MEMORY USAGE"
        case .expired: "DBSIZE, MEMORY USAGE"
        case .order: "SCAN, KEYS, RANDOMKEY"
        case .wait: "WAIT"
        case .select: "SELECT"
        case .clock: "TIME, TTL, PTTL, EXPIRETIME, PEXPIRETIME"
        }
    }

    package var reason: String {
        switch self {
        case .refused:
            "Commands that users ask for and that can't be had yet, or at all, answer a sentence that says "
                + "why and what to do instead. All others that are missing answer Redis's error for unknown "
                + "commands, word for word."
        case .conditional:
            "To write only if nobody else has needs agreement among replicas, which merging doesn't give."
        case .identity:
            "They name the server, the node and the connection. INFO has Redis's sections with what has a "
                + "meaning here, and one of Martlet's own. RESET restores the consistency levels, too."
        case .table:
            "The table holds what there is, Martlet's own commands included. COMMAND DOCS gives summary, "
                + "since and group, and no arguments or history. HELP is made from the table."
        case .configuration:
            "CONFIG GET shows those of Redis's settings that clients read, and cluster.yaml's by section and "
                + "key. CONFIG SET changes `maxclients`, `loglevel` and the hard limit of "
                + "`client-output-buffer-limit normal`; to set another of Redis's to what it is does "
                + "nothing, and anything else is refused. CONFIG REWRITE is unknown: cluster.yaml is "
                + "the same on all nodes and isn't written by one."
        case .encoding:
            "It follows from the value alone. Redis says `raw` of what APPEND or SETRANGE has changed."
        case .access: "Accesses are neither remembered nor counted, and values aren't shared."
        case .memory: "Another store takes other space."
        case .expired:
            "They know what can be read. Redis also counts keys that have expired and that nobody "
                + "has asked for since."
        case .order:
            "Keys come in the order of their tokens, and a cursor is a token: it holds on every node, and "
                + "a key that is there throughout comes exactly once, where Redis may give it twice."
        case .wait:
            "Redis waits for replicas that acknowledge after the write. Here a write isn't acknowledged "
                + "before it has met its level, so the answer is known."
        case .select:
            "It takes a keyspace's name too, so the error for a name that no keyspace has lists those that "
                + "there are."
        case .clock: "They follow the clock of the node that is asked."
        }
    }
}
