import MartletBase
import MartletNode
import MartletRing
import MartletVersions

/// One key's part of a command: one request to the core, or a read and then a write that depends on what was
/// read.
///
/// An operation is *waiting* while another on the same key of this connection is under way, and *submitted*
/// while the core has a request of it.
struct Operation {
    enum Program {
        /// A read or a write; its reply is the operation's.
        case single
        /// GETRANGE: a read, of whose value a part is kept.
        case part(ValuePart)
        /// A page of a walk over the keys; the session has only this one under way then.
        case walk
        /// A change of keyspaces; the same.
        case change
        /// DEL: a read for the count, then a tombstone, whatever was read.
        case delete
        /// EXPIRE and its like: the record that was read, with another expiry.
        case expire(ExpiryChange)
        /// SET with KEEPTTL or GET, GETSET, GETDEL, APPEND, SETRANGE: what was read gives the reply, the
        /// expiry or a part of the value.
        case replace(Replacement)

        /// Whether a write follows the read: only then is the request needed again.
        var hasSecondStep: Bool {
            switch self {
            case .single, .part, .walk, .change: false
            case .delete, .expire, .replace: true
            }
        }
    }

    let program: Program
    /// The command it is a part of.
    let sequence: UInt64
    /// Its place in a command with many keys.
    let element: Int
    let key: Blob
    /// The next request, as long as it isn't submitted. A program of two steps keeps it until its second.
    var request: ClientRequest?
    let writeLevel: ConsistencyLevel?
    /// The operation on the same key that waits for this one.
    var successor: Int?
    /// Programs of two steps: whether the write is under way.
    var isWriting = false
    /// What the command counts: 1 when the key was there, when the expiry was changed.
    var number: Int64 = 0
    /// The record that SET GET, GETSET, GETDEL and GETEX reply with.
    var previous: Blob?
    /// The request that the core has.
    var asked: AskedRequest?

    /// In places without an operation.
    static let vacant = Operation(
        program: .single, sequence: 0, element: 0, key: .empty, request: nil, writeLevel: nil)
}

/// What EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, PERSIST and GETEX do to a live record.
struct ExpiryChange {
    /// Milliseconds since 1970; nil for never.
    var expiry: Int64?
    /// GETEX looks for the key before it looks at the time: what it answers when there is a key.
    var refusal: String?
    var isOnlyIfNone = false
    var isOnlyIfSome = false
    var isOnlyIfGreater = false
    var isOnlyIfLess = false

    /// Redis's rules: without an expiry a key lives for ever, which is longer than any expiry.
    func applies(to present: Int64?) -> Bool {
        if isOnlyIfNone && present != nil { return false }
        if isOnlyIfSome && present == nil { return false }
        guard let expiry else { return present != nil }
        if isOnlyIfGreater {
            guard let present, expiry > present else { return false }
        }
        if isOnlyIfLess, let present, expiry >= present { return false }
        return true
    }
}

/// The operations of one session, at most `Limits.clientOperationsMax`, and which waits for which.
///
/// Keys are told apart by a hash of keyspace and key alone: two keys that share one only wait for each other
/// without need. So finding what an operation must wait for is a walk over a few numbers.
///
/// A free place holds `vacant`, which refers to nothing, and not nil: reading one field through an optional
/// copies the whole operation.
struct OperationTable {
    private var operations: ContiguousArray<Operation> = []
    private var hashes: ContiguousArray<UInt64> = []
    private var occupied: UInt64 = 0

    var isFull: Bool { occupied.nonzeroBitCount >= Limits.clientOperationsMax }
    var count: Int { occupied.nonzeroBitCount }

    /// Adds an operation behind the last one with the same hash.
    ///
    /// - Returns: its index, and whether it may be submitted at once.
    mutating func insert(_ operation: consuming Operation, hash: UInt64) -> (index: Int, isFirst: Bool) {
        let index = (~occupied).trailingZeroBitCount
        invariant(index < Limits.clientOperationsMax, "more operations than a connection may have")
        let last = last(hash)
        if index == operations.count {
            operations.append(operation)
            hashes.append(hash)
        } else {
            operations[index] = operation
            hashes[index] = hash
        }
        occupied |= 1 << UInt64(index)
        if let last { operations[last].successor = index }
        return (index, last == nil)
    }

    /// The operation that a new one with this hash must wait for.
    private func last(_ hash: UInt64) -> Int? {
        var rest = occupied
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            if hashes[index] == hash, operations[index].successor == nil { return index }
        }
        return nil
    }

    /// What follows the core's answer to an operation's request.
    enum Next { case page, change, secondStep, end }

    /// The request that the core has, and what follows its answer; nil when no operation is at the index.
    func standing(_ index: Int) -> (asked: AskedRequest?, next: Next)? {
        guard contains(index) else { return nil }
        let asked = operations[index].asked
        switch operations[index].program {
        case .walk: return (asked, .page)
        case .change: return (asked, .change)
        case .single, .part: return (asked, .end)
        case .delete, .expire, .replace: return (asked, operations[index].isWriting ? .end : .secondStep)
        }
    }

    /// Whether there is an operation at the index.
    func contains(_ index: Int) -> Bool { occupied & 1 << UInt64(index) != 0 }

    subscript(index: Int) -> Operation {
        @inline(__always) _read {
            invariant(contains(index), "there is no operation \(index)")
            yield operations[index]
        }
        @inline(__always) _modify {
            invariant(contains(index), "there is no operation \(index)")
            yield &operations[index]
        }
    }

    /// Takes the operation out.
    @discardableResult
    mutating func remove(_ index: Int) -> Operation {
        invariant(contains(index), "an operation was removed twice")
        occupied &= ~(1 << UInt64(index))
        var operation = Operation.vacant
        swap(&operation, &operations[index])
        return operation
    }

    /// Takes out the request that is to be submitted; a program of two steps keeps its own for the second.
    mutating func takeRequest(_ index: Int) -> ClientRequest {
        guard let request = operations[index].request else {
            invariantBroken("an operation was submitted without a request")
        }
        if !operations[index].program.hasSecondStep { operations[index].request = nil }
        return request
    }

    func checkInvariants() {
        for (index, operation) in operations.enumerated() {
            guard contains(index) else { continue }
            if let next = operation.successor {
                invariant(contains(next), "an operation that was removed still waits")
                invariant(hashes[next] == hashes[index], "an operation waits for another key")
            }
        }
    }
}
