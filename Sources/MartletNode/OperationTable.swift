import MartletBase

/// Names one request under way at its coordinator, and one attempt at it: what a replica's answer repeats.
struct RequestNumber: Hashable, Sendable {
    enum Kind: UInt64 {
        case read = 0
        case write = 1
        case scan = 2
        case hint = 3
        case definition = 4
        case sweep = 5
        case exchange = 6
        case batch = 7
        /// A read of what is held under a key, before something old is merged there.
        case admission = 8
        /// Puts of one key with siblings, at their coordinator, and a put that another node coordinates.
        case round = 10
        case forward = 11
    }

    let bits: UInt64

    init(bits: UInt64) { self.bits = bits }

    /// kind 4 | attempt 6 | generation 30 | index 24
    init(kind: Kind, attempt: UInt8, generation: UInt32, index: Int) {
        bits =
            kind.rawValue << 60 | UInt64(attempt & 0x3F) << 54
            | UInt64(generation & Self.generationMask) << 24 | UInt64(index)
    }

    var kind: Kind? { Kind(rawValue: bits >> 60) }
    var attempt: UInt8 { UInt8(truncatingIfNeeded: bits >> 54) & 0x3F }
    var generation: UInt32 { UInt32(truncatingIfNeeded: bits >> 24) & Self.generationMask }
    var index: Int { Int(bits & 0xFF_FFFF) }

    static let generationMask: UInt32 = (1 << 30) - 1
}

/// Requests under way: an array with a free list. A generation tells an answer for a request from one for an
/// earlier request in the same place.
///
/// A free place holds `vacant`, which refers to nothing, and not nil: reading one field through an optional
/// copies the whole operation, and that cost more than all else on the way of a request.
struct OperationTable<Operation> {
    private let vacant: Operation
    private var slots: ContiguousArray<Operation> = []
    private var isUsed: ContiguousArray<Bool> = []
    private var generations: [UInt32] = []
    private var free: [Int] = []
    private(set) var count = 0

    init(vacant: Operation) { self.vacant = vacant }

    mutating func insert(_ operation: consuming Operation) -> (index: Int, generation: UInt32) {
        count += 1
        if let index = free.popLast() {
            slots[index] = operation
            isUsed[index] = true
            return (index, generations[index])
        }
        slots.append(operation)
        isUsed.append(true)
        generations.append(1)
        return (slots.count - 1, 1)
    }

    /// Whether the number names an operation that is under way.
    func contains(_ number: RequestNumber) -> Bool {
        number.index < slots.count && generations[number.index] == number.generation
            && isUsed[number.index]
    }

    subscript(index: Int) -> Operation {
        @inline(__always) _read {
            invariant(isUsed[index], "no request is under way at place \(index)")
            yield slots[index]
        }
        @inline(__always) _modify {
            invariant(isUsed[index], "no request is under way at place \(index)")
            yield &slots[index]
        }
    }

    mutating func remove(_ index: Int) {
        invariant(isUsed[index], "a request ends once")
        slots[index] = vacant
        isUsed[index] = false
        generations[index] = (generations[index] + 1) & RequestNumber.generationMask
        free.append(index)
        count -= 1
    }

    /// The places in use, lowest first.
    var indices: [Int] { slots.indices.filter { isUsed[$0] } }
    func isInUse(_ index: Int) -> Bool { isUsed[index] }
    func generation(_ index: Int) -> UInt32 { generations[index] }
}
