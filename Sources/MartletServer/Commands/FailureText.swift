import MartletBase
import MartletNode
import MartletRing
import MartletVersions

/// The errors that are Martlet's own, to the letter: `PREFIX name=value ...: sentence`. Clients and scripts
/// read the fields; their names and order are a contract, the sentences are for people.
enum FailureText {
    /// What a command answers that failed, in part or as a whole.
    static func text(_ failure: OperationFailure, _ parts: CommandParts, named node: String) -> String {
        switch failure {
        case .request(let failure): text(failure, parts, named: node)
        case .refused(let text): text
        }
    }

    static func text(_ failure: RequestFailure, _ parts: CommandParts, named node: String) -> String {
        let key = parts.failedElement < parts.keys.count ? parts.keys[parts.failedElement] : nil
        let isOfMany = parts.template != nil && parts.keys.count > 1
        let suffix =
            isOfMany ? " keys_failed=\(parts.failedCount) key=\(field(key ?? .empty))" : ""
        switch failure {
        case .unavailable(let kind, let level, let required, let alive, let up, let down):
            return "UNAVAILABLE op=\(kind.rawValue) level=\(level) required=\(required) alive=\(alive) "
                + "up=\(list(up)) down=\(list(down))\(suffix): nothing was sent; "
                + "wait for the nodes that are down, or ask at a lower level (CONSISTENCY)"
        case .timeout(
            let kind, let level, let required, let acked, let names, let unknown, let version, let after):
            let token = version.flatMap { stamp in key.map { VersionToken.encode(stamp, key: $0.span) } }
            let fields =
                "TIMEOUT op=\(kind.rawValue) level=\(level) required=\(required) acknowledged=\(acked) "
                + "acked=\(list(names)) unknown=\(list(unknown))"
                + (token.map { " version=\($0)" } ?? "") + " after_ms=\(after.milliseconds)\(suffix): "
            switch kind {
            case .write: return fields + "the write may have happened; repair will finish it"
            case .read: return fields + "too few replicas answered in time; ask again"
            case .define:
                return fields + "the change holds at the nodes that acknowledged it, and reaches the others "
                    + "by gossip; asking again waits for them"
            }
        case .overloaded(let node, let limit):
            return overloaded(node, limit: limit.description, suffix)
        case .skew(let node, let ahead, let max):
            return
                "SKEW node=\(node) ahead_ms=\(ahead) max_ms=\(max)\(suffix): nothing was sent; this node's "
                + "clock is too far from its peers'; set it right, meanwhile write through another node"
        case .siblings(let limit, let found, let max):
            return "TOOMANYSIBLINGS limit=\(limit) found=\(found) max=\(max) key=\(field(key ?? .empty)): "
                + "nothing was done; read the key with VGET, and write one value with its context"
        case .loading(let waits):
            return "LOADING waits=\(list(waits))\(suffix): "
                + "nothing was sent; they have not been heard since this node started"
        case .stopping:
            return "STOPPING node=\(node)\(suffix): nothing was sent; the node shuts down, ask another one"
        case .noSuchKeyspace: return "ERR the selected keyspace does not exist any more: SELECT another one"
        case .keyspace(let refusal): return text(refusal)
        case .badLevel(let level): return badLevel(level.description, forReads: true)
        case .ringAct(let refusal): return text(refusal)
        case .localRead(let why): return "ERR this node's copy can not be read: \(why)"
        }
    }

    private static func text(_ refusal: RingActRefusal) -> String {
        switch refusal {
        case .unknownNode:
            "ERR the ring has no such node, or it owns nothing any more: MARTLET STATUS lists all"
        case .alive: "ERR the node is up: only a node that is down can be removed; let it leave instead"
        case .tooFew:
            "ERR fewer nodes would be left than some keyspace has copies: add a node first, call off a leave "
                + "that is in hand, or lower the keyspace's replication_factor"
        case .notChanging:
            "ERR nothing is under way that could be called off: the node neither joins, leaves nor moves"
        case .busy:
            "ERR the change of the ring in hand may be about to be completed, and not every node answers: "
                + "MARTLET STATUS says which; remove those that are dead, or ask again in a moment"
        case .badTokens: "ERR tokens must be different slots, 1 to \(Limits.tokensPerNodeMax) of them"
        case .tokensTaken: "ERR another node has one of these tokens, or wants it: MARTLET RING lists all"
        case .changing: "ERR the node joins, leaves or moves already: MARTLET STATUS shows it"
        case .noRoom: "ERR the ring is full"
        case .notServing: "ERR this node has just started, or is rebuilt, or is no member: ask another one"
        }
    }

    private static func text(_ refusal: KeyspaceRefusal) -> String {
        switch refusal {
        case .exists(let name): "ERR there is a keyspace named '\(name)' already"
        case .unknown(let name, let known): unknownKeyspace(name, known: known)
        case .fixed(let keyspace, let option, let reason):
            "ERR \(option) of keyspace '\(keyspace)' can not be changed: \(reason)"
        case .unknownDataCenter(let name, let known):
            "ERR replication_factor: no node is in a data centre '\(name)': there are \(list(known))"
        case .first(let name):
            "ERR keyspace '\(name)' can not be dropped: connections begin in it; FLUSHDB empties it"
        case .tooMany(let max):
            "ERR there are \(max) keyspaces, those that were dropped included: a cluster has no more"
        case .tooFewNodes(let factor, let nodes):
            "ERR replication_factor \(factor) needs a node for each copy, in each data centre that it names, "
                + "and the ring has \(nodes), without those that leave: add nodes first"
        case .altering(let name, let factor):
            "ERR keyspace '\(name)' is being given replication_factor \(factor): wait until MARTLET STATUS "
                + "shows no change, or call it off by altering it to the one in force"
        case .tooManyOwners(let max):
            "ERR a slot would have more than \(max) owners by the one replication_factor or the other: take "
                + "two steps"
        }
    }

    static func siblings(_ count: Int) -> String {
        "SIBLINGS \(count) concurrent versions of this key: read them with VGET"
    }

    static func unknownKeyspace(_ name: String, known: [String]) -> String {
        "ERR no keyspace is named '\(name)': there are \(known.joined(separator: ", "))"
    }

    static func overloaded(_ node: String, limit: String, _ suffix: String = "") -> String {
        "OVERLOADED node=\(node) limit=\(limit)\(suffix): refused before any work; "
            + "ask again after a pause, or ask another node"
    }

    static func badLevel(_ name: String, forReads: Bool) -> String {
        let levels = ConsistencyLevel.allCases.filter { !forReads || !$0.isForWritesOnly }
        let list = levels.map(\.description).joined(separator: " ")
        return name.uppercased() == "ANY"
            ? "ERR ANY is a write level: a read takes one of \(list)"
            : "ERR unknown consistency level '\(name)': it is one of \(list)"
    }

    static func tooLarge(_ what: String, bytes: Int, max: Int, key: Blob? = nil) -> String {
        let key = key.map { " key=\(field($0))" } ?? ""
        return "TOOLARGE what=\(what) bytes=\(bytes) max=\(max)\(key): nothing was done; "
            + "requests.\(what == "key" ? "key" : "value")_bytes_max in cluster.yaml sets the limit"
    }

    static func tooManyKeys(_ command: String, bytes: Int, max: Int) -> String {
        "TOOLARGE what=reply bytes=\(bytes) max=\(max): \(command) found more keys than a client may leave "
            + "unread; page through them with SCAN "
            + "(requests.client_output_max in cluster.yaml sets the limit)"
    }

    static func badContext(_ reason: VersionToken.Refusal) -> String {
        let sentence =
            switch reason {
            case .checksum: "it was damaged on its way; read the key again with VGET"
            case .key: "it belongs to another key"
            case .future: "it is from the future: the clock of this node or of the one that gave it is wrong"
            case .truncated: "it is not a context or version that Martlet gave"
            }
        return "BADCONTEXT reason=\(reason.rawValue): \(sentence)"
    }

    private static func list(_ names: [String]) -> String { names.joined(separator: ",") }

    /// A key as the value of a field: printable, without what ends a field, cut after 64 bytes.
    static func field(_ key: Blob) -> String {
        var out = ""
        for byte in key.bytes.prefix(64) {
            switch byte {
            case UInt8(ascii: ":"), UInt8(ascii: "="), UInt8(ascii: "\\"): out += "\\x" + hexByte(byte)
            case 0x21...0x7E: out.unicodeScalars.append(Unicode.Scalar(byte))
            default: out += "\\x" + hexByte(byte)
            }
        }
        return key.count > 64 ? out + "..." : out
    }
}
