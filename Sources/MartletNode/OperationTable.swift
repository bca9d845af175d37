import MartletBase

/// Names one request under way at its coordinator, and one attempt at it: what a replica's answer repeats.
struct RequestNumber: Hashable, Sendable {
    enum Kind: UInt64 { case read = 0, write = 1 }

    let bits: UInt64

    init(bits: UInt64) { self.bits = bits }

    /// kind 1 | attempt 7 | generation 32 | index 24
    init(kind: Kind, attempt: UInt8, generation: UInt32, index: Int) {
        bits = kind.rawValue << 63 | UInt64(attempt & 0x7F) << 56 | UInt64(generation) << 24 | UInt64(index)
    }

    var kind: Kind { bits >> 63 == 0 ? .read : .write }
    var attempt: UInt8 { UInt8(truncatingIfNeeded: bits >> 56) & 0x7F }
    var generation: UInt32 { UInt32(truncatingIfNeeded: bits >> 24) }
    var index: Int { Int(bits & 0xFF_FFFF) }
}

/// Requests under way: an array with a free list. A generation tells an answer for a request from one for an earlier
/// request in the same place.
struct OperationTable<Operation> {
    private var slots: [Operation?] = []
    private var generations: [UInt32] = []
    private var free: [Int] = []
    private(set) var count = 0

    mutating func insert(_ operation: Operation) -> (index: Int, generation: UInt32) {
        count += 1
        if let index = free.popLast() {
            slots[index] = operation
            return (index, generations[index])
        }
        slots.append(operation)
        generations.append(1)
        return (slots.count - 1, 1)
    }

    /// Whether the number names an operation that is under way.
    func contains(_ number: RequestNumber) -> Bool {
        number.index < slots.count && generations[number.index] == number.generation
            && slots[number.index] != nil
    }

    subscript(index: Int) -> Operation {
        @inline(__always) _read { yield slots[index]! }
        @inline(__always) _modify { yield &slots[index]! }
    }

    mutating func remove(_ index: Int) {
        slots[index] = nil
        generations[index] &+= 1
        free.append(index)
        count -= 1
    }

    /// The places in use, lowest first.
    var indices: [Int] { slots.indices.filter { slots[$0] != nil } }
    func generation(_ index: Int) -> UInt32 { generations[index] }
}
