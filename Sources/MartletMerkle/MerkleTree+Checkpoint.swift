import MartletBase

/// A tree on disk: `runs u32 | of each: last slot u16, truncation u64, purge floor u64 |
/// of each slot: its clean leaves u16, those of them that are purgeable u16, those whose sum isn't zero u16,
/// their sums u64 each`.
extension MerkleTree {
    private static let slotLeaves = leavesMax / Limits.slots

    /// What a tree comes to at most.
    package static let checkpointBytesMax = 4 + Limits.slots * (18 + 6 + 8 * slotLeaves)

    /// Appends what is known of the leaves.
    ///
    /// - Parameter horizon: of a slot, behind which its leaves were summed.
    package func write(to writer: inout ByteWriter, horizon: (Int) -> Horizon) {
        let start = writer.bytes.count
        writer.u32(0)
        var runs: UInt32 = 0
        var run = horizon(0)
        for slot in 1...Limits.slots {
            let next = slot < Limits.slots ? horizon(slot) : run
            guard slot == Limits.slots || next != run else { continue }
            writer.u16(UInt16(slot - 1))
            writer.u64(run.truncation)
            writer.u64(run.purgeFloor)
            runs += 1
            run = next
        }
        writer.patch(u32: runs, at: start)
        for slot in 0..<Limits.slots { write(slot, to: &writer) }
    }

    private func write(_ slot: Int, to writer: inout ByteWriter) {
        var clean: UInt16 = 0
        var purgeable: UInt16 = 0
        var summed: UInt16 = 0
        let first = UInt32(slot * Self.slotLeaves)
        for place in 0..<UInt32(Self.slotLeaves) where !isDirty(first + place) {
            clean |= 1 << UInt16(place)
            if isPurgeable(first + place) { purgeable |= 1 << UInt16(place) }
            if self[first + place] != 0 { summed |= 1 << UInt16(place) }
        }
        writer.u16(clean)
        writer.u16(purgeable)
        writer.u16(summed)
        for place in 0..<UInt32(Self.slotLeaves) where summed & 1 << UInt16(place) != 0 {
            writer.u64(self[first + place])
        }
    }

    /// Takes up what was written; leaves of slots that have another horizon now are dirty.
    package init(from reader: inout ByteReader, horizon: (Int) -> Horizon) throws(WireError) {
        self.init(isDirty: true)
        var runs: [(last: Int, horizon: Horizon)] = []
        for _ in 0..<Int(try reader.u32()) {
            let last = Int(try reader.u16())
            guard last < Limits.slots, runs.last.map({ $0.last < last }) ?? true else {
                throw .invalid("horizons of a tree")
            }
            let truncation = try reader.u64()
            runs.append((last, Horizon(truncation: truncation, purgeFloor: try reader.u64())))
        }
        guard runs.last?.last == Limits.slots - 1 else { throw .invalid("horizons of a tree") }
        var run = 0
        for slot in 0..<Limits.slots {
            if slot > runs[run].last { run += 1 }
            try read(slot, from: &reader, isKept: horizon(slot) == runs[run].horizon)
        }
    }

    private mutating func read(
        _ slot: Int, from reader: inout ByteReader, isKept: Bool
    ) throws(WireError) {
        let clean = try reader.u16()
        let purgeable = try reader.u16()
        let summed = try reader.u16()
        guard (summed | purgeable) & ~clean == 0 else { throw .invalid("leaves of a tree") }
        for place in 0..<Self.slotLeaves where clean & 1 << UInt16(place) != 0 {
            let sum = summed & 1 << UInt16(place) != 0 ? try reader.u64() : 0
            guard isKept else { continue }
            restore(
                UInt32(slot * Self.slotLeaves + place), sum,
                isPurgeable: purgeable & 1 << UInt16(place) != 0)
        }
    }
}
