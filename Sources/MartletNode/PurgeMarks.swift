import MartletBase
import MartletRing
import MartletVersions

/// How far the slots of a keyspace have come on the way to letting go of their tombstones.
///
/// A *tombstone* must outlive every older version of its key that may still come: from a replica that missed
/// it, a hint, a coordinator that was paused, a disk that was away. No time is long enough for that, so each
/// slot has a **purge floor** F, a stamp that only rises. What lies at or below it and shows nothing
/// (`Record.isHidden`: tombstones, and values that had expired by then) is left out of reads, digests and
/// exchanges, and may be deleted. A floor f is reached in four steps, each of them durable before the next,
/// and each a mark here:
///
/// 1. *promised*: every node of the ring, alive or not, has said that it owes the slot nothing at or below f:
///    it keeps no hint and has no put under way of that age, will take no such hint, and stamps above f.
///    Who is silent blocks the floor. It says so of all slots at once: each of as many drivers as there are
///    nodes asks every node, and only the first to ask for a floor costs a write.
/// 2. *closed*: every owner has closed f: a put stamped at or below it isn't merged, but stamped anew.
/// 3. *proved*: after all have closed, every owner has completed an exchange with every other, begun since,
///    and holds durably what it brought. All this under one storage epoch of each owner.
/// 4. *floor*: it is told to everybody.
///
/// **Why nothing returns.** Let U be all versions at or below f that any owner holds when the last of them
/// has closed, and J(k) the join of those of key k.
///
/// a. *Nothing enters but what J covers.* After closing, an owner merges a version at or below f only when it
///    comes by an exchange, by read repair, or as the value under a new expiry: each carries what some owner
///    held, and that is in U or covered by it, since records only grow. Puts are refused (2), and hints of
///    that age are gone, because each was delivered to an owner before its keeper promised (1).
/// b. *All come to hold J.* Exchanges are pairwise and direct, begun after all have closed, so each owner has
///    got what every other held. So when all have proved, every owner holds J(k) for every k, and by (a) no
///    more.
/// c. *It stays so.* At or below F an owner takes nothing that it doesn't hold (`Node.admit`), whoever sends
///    it, and an exchange of equal records moves none. So a version that J covered finds no owner that merges
///    it, though the tombstone that covered it is gone.
/// d. *Who has deleted and who hasn't agree*, because both leave out what is hidden. Requests carry the floor
///    in their placement's digest: an owner that is behind for longer than a floor takes to be told (an older
///    disk) takes part in no quorum. It must be rebuilt from owners at F, and what of its versions at or
///    below F they lack is deleted: they are older than the tombstone that is gone.
///
/// **Simpler rules, and what breaks them** (each is a scenario of the simulator, PurgeScenarioTests):
///
/// - *After a fixed grace* (Cassandra's `gc_grace_seconds`): a replica that was away longer brings the value
///   back; so does a coordinator that was paused for longer while it read, and then repairs with what it had
///   read. Here their silence blocks (1).
/// - *After an exchange with each other owner, without closing*: an older put, or an older delete, may be on
///   its way still, and arrives behind the exchange, at one owner.
/// - *When one owner has proved*, or each by its own proof: it may have been compared with another before the
///   deletion came to it from a third. So one has purged, and the other still shows the value. Here hiding
///   follows the floor, and that rises when all have proved.
/// - *Without promises*: a hint of the value, which may be the only copy, comes when the floor is above it.
/// - *A disk that was set back goes on as it was*: its proof is gone, and what it holds of that age is
///   deleted when it is told the floor (d). But so is the mark that it has closed: between the two it would
///   take a put again that all others have closed, and delete it after it was acknowledged (`Rebuilding`, old
///   puts).
/// - *By the value's stamp alone*: a value without expiry that one replica missed to be replaced by one with
///   expiry would be as old as what may go; so what is hidden is the whole record, by its later stamp.
///
/// Kept as runs of slots with equal marks. Floors are rounded down to the repair interval, so neighbouring
/// slots soon agree, and the runs are few.
///
/// Deviation from Riak and Cassandra, which delete by age or after a read at ALL: nothing here depends on a
/// time being long enough. `tombstone_grace` only says how old what is deleted must at least be.
package struct PurgeMarks {
    /// The marks of one slot.
    package struct Levels: Hashable {
        package var promised = HybridTime.zero
        package var closed = HybridTime.zero
        package var proved = HybridTime.zero
        package var floor = HybridTime.zero
        /// The floor before this one: requests made on it are served for a moment.
        package var former = HybridTime.zero

        package static let none = Levels()

        /// A switch, not key paths: marks are read for each run of slots at each step of each round, and a
        /// key path takes many times as long.
        package subscript(mark: Mark) -> HybridTime {
            get {
                switch mark {
                case .promised: promised
                case .closed: closed
                case .proved: proved
                case .floor: floor
                case .former: former
                }
            }
            set {
                switch mark {
                case .promised: promised = newValue
                case .closed: closed = newValue
                case .proved: proved = newValue
                case .floor: floor = newValue
                case .former: former = newValue
                }
            }
        }
    }

    /// In the order in which they are stored.
    package enum Mark: CaseIterable, Sendable { case promised, closed, proved, floor, former }

    package struct Run: Hashable {
        package let last: UInt16
        package var levels: Levels
    }

    /// Ascending, to the last slot; neighbours differ.
    package private(set) var runs = [Run(last: SlotSpan.all.last, levels: .none)]
    /// Of all slots: at or below it a merge needs a second look.
    package private(set) var highestClosed = HybridTime.zero
    package private(set) var highestPromised = HybridTime.zero

    package init() {}

    package subscript(slot: UInt16) -> Levels { runs[position(of: slot)].levels }

    private func position(of slot: UInt16) -> Int {
        var (low, high) = (0, runs.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].last < slot { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The runs from one slot to another, cut to these.
    package func runs(in span: SlotSpan) -> [Run] {
        var found: [Run] = []
        for run in runs[position(of: span.first)...] {
            found.append(Run(last: min(run.last, span.last), levels: run.levels))
            if run.last >= span.last { break }
        }
        return found
    }

    package func lowest(_ mark: Mark, in spans: [SlotSpan]) -> HybridTime {
        var lowest = HybridTime.latest
        for span in spans {
            for run in runs[position(of: span.first)...] {
                lowest = min(lowest, run.levels[mark])
                if run.last >= span.last { break }
            }
        }
        return lowest
    }

    /// Raises a mark of these slots to a stamp; where it is above that it stays. False when nothing changed.
    package mutating func raise(_ mark: Mark, to stamp: HybridTime, in spans: [SlotSpan]) -> Bool {
        var hasChanged = false
        // Those that are told together are ascending as a rule: then all of them are one pass.
        var left = spans[...]
        while !left.isEmpty {
            var count = 1
            while count < left.count,
                left[left.startIndex + count - 1].last < left[left.startIndex + count].first
            {
                count += 1
            }
            let ascending = left.prefix(count)
            left = left.dropFirst(count)
            guard ascending.contains(where: { lowest(mark, in: [$0]) < stamp }) else { continue }
            hasChanged = true
            replace(ascending) { levels in
                guard levels[mark] < stamp else { return }
                if mark == .floor { levels.former = levels.floor }
                levels[mark] = stamp
            }
        }
        if hasChanged { noteHighest() }
        return hasChanged
    }

    /// - Parameter spans: ascending, none touching another's slots.
    private mutating func replace(_ spans: ArraySlice<SlotSpan>, _ change: (inout Levels) -> Void) {
        var all: [Run] = []
        all.reserveCapacity(runs.count + 2 * spans.count)
        func append(_ last: UInt16, _ levels: Levels) {
            if let before = all.last, before.levels == levels { all.removeLast() }
            all.append(Run(last: last, levels: levels))
        }
        var left = spans
        var first = 0
        for run in runs {
            // Up to where the run, or a span that begins or ends in it, does.
            while first <= Int(run.last) {
                while let span = left.first, Int(span.last) < first { left.removeFirst() }
                var levels = run.levels
                var last = run.last
                if let span = left.first {
                    if Int(span.first) <= first {
                        change(&levels)
                        last = min(last, span.last)
                    } else {
                        last = min(last, span.first - 1)
                    }
                }
                append(last, levels)
                first = Int(last) + 1
            }
        }
        runs = all
    }

    private mutating func noteHighest() {
        highestClosed = .zero
        highestPromised = .zero
        for run in runs {
            highestClosed = max(highestClosed, max(run.levels.closed, run.levels.floor))
            highestPromised = max(highestPromised, max(run.levels.promised, run.levels.floor))
        }
    }

    // MARK: On disk

    private static let format: UInt8 = 1

    /// `format 1 | runs | of each: last slot 2, marks of 8 each`
    package func encoded() -> Blob {
        var writer = ByteWriter(reservingCapacity: 4 + runs.count * 42)
        writer.u8(Self.format)
        writer.varint(UInt64(runs.count))
        for run in runs {
            writer.u16(run.last)
            for mark in Mark.allCases { writer.u64(run.levels[mark].bits) }
        }
        return Blob(writer.bytes)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        guard try reader.u8() == Self.format else { throw .invalid("format of purge marks") }
        var all: [Run] = []
        for _ in 0..<(try reader.count(max: Limits.slots, "purge marks")) {
            let last = try reader.u16()
            guard all.last.map({ $0.last < last }) ?? true else { throw .invalid("purge marks") }
            var levels = Levels.none
            for mark in Mark.allCases { levels[mark] = HybridTime(bits: try reader.u64()) }
            all.append(Run(last: last, levels: levels))
        }
        guard all.last?.last == SlotSpan.all.last else { throw .invalid("purge marks") }
        runs = all
        noteHighest()
    }
}
