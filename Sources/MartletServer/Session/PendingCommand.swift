import MartletBase
import MartletNode
import MartletRESP
import MartletVersions

/// A command whose reply was not written yet: it waits for its operations, or for the commands before it.
struct PendingCommand {
    /// What its reply looks like.
    enum Shape: UInt8 {
        /// The bytes are there.
        case ready
        /// GET, GETDEL, GETEX, GETSET; SET with GET.
        case value
        /// GETRANGE.
        case part
        /// TYPE, OBJECT, MEMORY USAGE: a number or a word that says something of the value.
        case fact
        /// SCAN, KEYS, DBSIZE, RANDOMKEY: the bytes that the walk made.
        case walk
        /// FLUSHDB and others that change keyspaces: the bytes are there when it is done.
        case change
        case ok
        /// The sum over its keys.
        case number
        /// MGET.
        case values
        /// VGET.
        case versions
        /// VSET, VDEL.
        case version
    }

    let shape: Shape
    let protocolVersion: RESPVersion
    /// CLIENT REPLY has it say nothing.
    let isMuted: Bool
    /// Of the command table.
    let row: Int32
    let began: Instant
    /// Operations that are not done.
    var outstanding: Int32
    var number: Int64 = 0
    /// GET: the record. GETRANGE: the part. Ready, and walks: the bytes.
    var bytes: Blob?
    var parts: CommandParts?

    /// In places without a command.
    static var vacant: PendingCommand {
        PendingCommand(
            shape: .ready, protocolVersion: .two, isMuted: false, row: 0, began: .zero, outstanding: 0)
    }
}

/// Why an operation came to nothing.
enum OperationFailure {
    case request(RequestFailure)
    /// What was read showed that it can't be done: the error, prefix and all.
    case refused(String)
}

/// What only some commands have: those with more than one key, those about versions, and those that fail.
final class CommandParts {
    var keys: [Blob]
    /// MSET: a value for each key.
    let values: [Blob]
    /// MGET: what was found, by key.
    var records: [Blob?] = []
    /// How many of the keys have become operations.
    var admitted = 0
    /// Of the keys that become operations.
    var template: OperationTemplate?
    var stamp: Stamp?
    /// What a put of siblings replaces; nil for a register's.
    var context: CausalContext?
    var showsMeta = false

    private(set) var failure: OperationFailure?
    /// The first key, in the command's order, that failed.
    private(set) var failedElement = 0
    private(set) var failedCount = 0

    init(keys: [Blob] = [], values: [Blob] = []) {
        self.keys = keys
        self.values = values
    }

    func fail(_ element: Int, _ failure: OperationFailure) {
        if self.failure == nil || element < failedElement {
            self.failure = failure
            failedElement = element
        }
        failedCount += 1
    }
}

/// The commands of one session whose replies are due, oldest first: a ring whose storage is reused. A command
/// is named by its sequence number, which counts up from 0. Free places hold `vacant`, not nil: reading one
/// field through an optional copies the whole command.
struct CommandQueue {
    /// A power of two.
    private var storage = ContiguousArray(repeating: PendingCommand.vacant, count: Self.storageMin)
    private static let storageMin = 4
    private var first: UInt64 = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }
    /// The sequence number that the next command gets.
    var next: UInt64 { first + UInt64(count) }

    private func index(_ sequence: UInt64) -> Int { Int(sequence & UInt64(storage.count - 1)) }

    mutating func append(_ command: PendingCommand) {
        if count == storage.count { grow() }
        storage[index(next)] = command
        count += 1
    }

    private mutating func grow() {
        var larger = ContiguousArray(repeating: PendingCommand.vacant, count: 2 * storage.count)
        for sequence in first..<next {
            larger[Int(sequence & UInt64(larger.count - 1))] = storage[index(sequence)]
        }
        storage = larger
    }

    /// The command must be in the queue.
    subscript(sequence: UInt64) -> PendingCommand {
        @inline(__always) _read { yield storage[index(sequence)] }
        @inline(__always) _modify { yield &storage[index(sequence)] }
    }

    /// Takes the oldest command out if none of its operations is outstanding.
    mutating func popDone() -> PendingCommand? {
        guard count > 0 else { return nil }
        let index = index(first)
        guard storage[index].outstanding == 0 else { return nil }
        var command = PendingCommand.vacant
        swap(&command, &storage[index])
        first += 1
        count -= 1
        return command
    }

    mutating func removeAll() {
        first = next
        count = 0
        storage = ContiguousArray(repeating: PendingCommand.vacant, count: Self.storageMin)
    }
}
