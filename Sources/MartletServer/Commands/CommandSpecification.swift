/// What a session does for a command. One case for each row of the table that can be carried out.
enum CommandCode: UInt8 {
    /// A name that only subcommands have something behind.
    case container
    case ping, echo, hello, auth, quit, reset, select
    case clientID, clientGetName, clientSetName, clientSetInfo, clientInfo, clientList, clientKill,
        clientReply
    case clientNoEvict, clientNoTouch, clientHelp
    case command, commandCount, commandInfo, commandDocs, commandList, commandGetKeys, commandGetKeysAndFlags
    case commandHelp
    case configGet, configSet, configResetStat, configHelp
    case info
    case get, set, mget, mset
    case setEx, psetEx, getSet, getDel, getEx, append, getRange, setRange, strlen
    case del, exists
    case ttl, pttl, expireTime, pexpireTime
    case expire, pexpire, expireAt, pexpireAt, persist
    case type, objectEncoding, objectFreq, objectIdleTime, objectRefCount, objectHelp
    case memoryUsage, memoryHelp
    case scan, keys, databaseSize, randomKey
    case flushDatabase, flushAll
    case time, wait
    case consistency, vget, vset, vdel
    case clusterSlots, clusterShards, clusterNodes, clusterInfo, clusterMyID, clusterKeySlot, clusterLinks
    case clusterCountKeys, clusterGetKeys, clusterReplicas, clusterHelp, clusterRefused
    /// READONLY, READWRITE, ASKING.
    case clusterSwitch
    case martletStatus, martletRing, martletHints, martletRepair, martletKeyspace, martletNode,
        martletMetrics, martletHelp
    /// Known, and refused with a sentence of its own, since a user needs to hear why.
    case refused
}

/// A row of the command table: all that is known of a command without carrying it out.
///
/// From it come the dispatch, the check of the number of arguments, the keys, COMMAND with its subcommands,
/// and MARTLET HELP. Facts about Redis's commands are Redis 7.0's.
struct CommandSpecification: Sendable {
    /// Where the keys are: Redis's first key, last key (negative: from the end) and step.
    struct Keys: Sendable {
        let first: Int
        let last: Int
        let step: Int

        static let none = Keys(first: 0, last: 0, step: 0)
        static let one = Keys(first: 1, last: 1, step: 1)
        /// Behind a subcommand.
        static let second = Keys(first: 2, last: 2, step: 1)
        static let all = Keys(first: 1, last: -1, step: 1)
        static let pairs = Keys(first: 1, last: -1, step: 2)

        /// The positions of the keys among `count` arguments, the name included.
        func positions(count: Int) -> [Int] {
            if first == 0 { return [] }
            let end = last < 0 ? count + last : last
            return Array(stride(from: first, through: min(end, count - 1), by: step))
        }
    }

    let code: CommandCode
    /// In lower case. A subcommand's is `command|subcommand`.
    let name: String
    /// The number of arguments, the name included; negative: at least so many.
    let arity: Int
    /// Redis's flags, in Redis's order, apart by spaces; so are `access`, `categories` and `tips`.
    let flags: String
    let keys: Keys
    /// What is done to the keys.
    let access: String
    let group: String
    /// Those that don't follow from the flags.
    let categories: String
    let tips: String
    let since: String
    /// The arguments as help shows them.
    let usage: String
    let summary: String
    /// Where it differs from Redis's, for docs/REDIS.md; of a refused command: the sentence that it answers.
    let note: String
    /// What COMMAND INFO says of the keys in words.
    let keysNote: String
    let subcommands: [CommandSpecification]

    init(
        _ code: CommandCode, _ name: String, _ arity: Int, _ flags: String = "", keys: Keys = .none,
        access: String = "", group: String, categories: String = "", tips: String = "", since: String,
        _ usage: String, _ summary: String, note: String = "", keysNote: String = "",
        subcommands: [CommandSpecification] = []
    ) {
        self.code = code
        self.name = name
        self.arity = arity
        self.flags = flags
        self.keys = keys
        self.access = access
        self.group = group
        self.categories = categories
        self.tips = tips
        self.since = since
        self.usage = usage
        self.summary = summary
        self.note = note
        self.keysNote = keysNote
        self.subcommands = subcommands
    }

    func takes(_ count: Int) -> Bool { arity >= 0 ? count == arity : count >= -arity }

    /// With those that follow from the flags, in the order of Redis's bits.
    var allCategories: [String] {
        let flags = words(flags)
        var has = Set(words(categories))
        if flags.contains("write") { has.insert("write") }
        if flags.contains("readonly") { has.insert("read") }
        if flags.contains("admin") { has.formUnion(["admin", "dangerous"]) }
        has.insert(flags.contains("fast") ? "fast" : "slow")
        let order = [
            "keyspace", "read", "write", "string", "admin", "fast", "slow", "dangerous", "connection",
        ]
        return order.filter(has.contains)
    }
}

/// The parts between spaces.
func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }
