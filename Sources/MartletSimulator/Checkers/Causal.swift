import MartletBase
import MartletVersions

/// Causal: a put with a context replaces exactly what the context covers; a concurrent put is never lost.
///
/// The checker keeps full causal histories, as sets of dots. What a client has seen is what its reads showed
/// and, for each version shown, what that version's client had seen; so the versions of a record, with what
/// they have seen, are all that the record may claim to know. That is checked of every record that goes to a
/// disk, whatever was lost on the way:
///
/// 1. A dot names one put, and a put has one dot, unless its client has tried it again.
/// 2. No version of a record was seen by the put of another one: what is covered is replaced.
/// 3. The record's context covers nothing but its versions and what they have seen: nothing is lost.
///
/// And of acknowledged puts: a read whose level meets theirs shows them, or versions that have seen them; and
/// at the end the owners' disks hold them together, or such versions.
struct Causal {
    struct Put {
        let key: Int
        /// The dots that its client had seen; nil when it isn't known for sure.
        var seen: Set<Stamp>?
        let isDelete: Bool
        var dots: Set<Stamp> = []
        /// Its client has sent it again.
        var isRepeated = false
        /// Its client was told that nothing was done.
        var isRefused = false
    }

    private(set) var puts: [UInt64: Put] = [:]
    private var putOfDot: [Stamp: UInt64] = [:]
    /// By key: the dots that have left their coordinator, in the order in which they did. (One that the
    /// coordinator's disk refused, or lost, has never been.)
    private var dots: [[Stamp]]
    /// Of a delete that was stamped anew: the dots that it had before. Nothing else tells them, for it has no
    /// value that names its put.
    private var earlier: [Stamp: Set<Stamp>] = [:]
    /// By key: acknowledged puts and their classes of levels, and whether a hint may have been enough.
    private var acknowledged: [[(number: UInt64, levelClass: Int, isHinted: Bool)]]
    /// By key: the highest purge floor that a node has had. What a version below it had seen may be known by
    /// a context alone: the version itself is left out where a later one has replaced it.
    private var purged: [HybridTime]
    /// By key: the puts that are deletes.
    private var deletes: [[UInt64]]
    let levels: LevelTable
    private(set) var checked = 0
    private(set) var mostSiblings = 0

    init(levels: LevelTable, keys: Int) {
        self.levels = levels
        dots = Array(repeating: [], count: keys)
        acknowledged = Array(repeating: [], count: keys)
        deletes = Array(repeating: [], count: keys)
        purged = acknowledged.map { _ in .zero }
    }

    mutating func asked(_ number: UInt64, _ put: Put) {
        puts[number] = put
        if put.isDelete { deletes[put.key].append(number) }
    }

    mutating func repeated(_ number: UInt64) { puts[number]?.isRepeated = true }

    mutating func refused(_ number: UInt64) {
        if puts[number]?.isRepeated == false { puts[number]?.isRefused = true }
    }

    /// What somebody has seen who has read these versions; nil when it isn't known for sure.
    func known(_ versions: [Stamp]) -> Set<Stamp>? {
        var known = Set(versions)
        for dot in versions {
            if let before = earlier[dot] { known.formUnion(before) }
            guard let number = putOfDot[dot], let seen = puts[number]?.seen else { return nil }
            known.formUnion(seen)
        }
        return known
    }

    /// A put was acknowledged, or timed out, as this dot.
    mutating func named(_ number: UInt64, _ dot: Stamp) throws(Violation) {
        guard let put = puts[number] else { return }
        if let other = putOfDot[dot], other != number {
            throw Violation("Causal", "the dot \(dot) names two puts: \(other) and \(number) of c\(put.key)")
        }
        putOfDot[dot] = number
        puts[number]?.dots.insert(dot)
        let isSecond = put.dots.count > 0 && !put.dots.contains(dot)
        if isSecond, !put.isRepeated {
            throw Violation("Causal", "put \(number) of c\(put.key) has two dots: \(put.dots) and \(dot)")
        }
    }

    /// A record goes to a disk, to another node, or to a client.
    ///
    /// - Parameter leaves: whether others may know of it from now on.
    mutating func met(_ record: Blob, key: Int, leaves: Bool) throws(Violation) {
        checked += 1
        let context = Record.context(of: record.span)
        var versions: [Stamp] = []
        var values: [(dot: Stamp, number: UInt64)] = []
        Record.forEachVersion(record.span) { version in
            versions.append(version.stamp)
            if version.state == .present,
                let number = WorkloadValues.operation(of: version.value(in: record.span))
            {
                values.append((version.stamp, number))
            }
        }
        for (dot, number) in values {
            guard let put = puts[number], put.key == key, !put.isDelete else {
                throw Violation("NoPhantom", "c\(key) holds a value that no client wrote to it")
            }
            // Stamped anew because a replica took the first dot for too old, it replaces that.
            let isRestamped = put.dots.allSatisfy {
                $0 != dot && context.covers($0) && !versions.contains($0)
            }
            if isRestamped, !put.dots.isEmpty {
                puts[number]?.seen?.formUnion(put.dots)
                puts[number]?.isRepeated = true
            }
            try named(number, dot)
        }
        noteEarlier(record, key, context, versions)
        if leaves { for dot in versions { published(dot, key) } }
        mostSiblings = max(mostSiblings, versions.count)
        for dot in versions {
            for other in versions where other != dot {
                guard let number = putOfDot[other], puts[number]?.seen?.contains(dot) == true else {
                    continue
                }
                throw Violation(
                    "Causal",
                    "c\(key) keeps \(text(dot)) beside \(text(other)), whose client had seen it")
            }
        }
        guard let known = known(versions) else { return }
        for dot in dots[key]
        where dot.time > purged[key] && context.covers(dot) && !known.contains(dot) {
            throw Violation(
                "Causal",
                "c\(key) has lost \(text(dot)): its context covers it, but none of its versions has seen it: "
                    + versions.map { text($0) }.joined(separator: ", "))
        }
    }

    /// A delete is met for the first time: what its coordinator had stamped before, nobody has named, and is
    /// replaced by it, is the same delete, which a replica took for too old.
    private mutating func noteEarlier(
        _ record: Blob, _ key: Int, _ context: CausalContext, _ versions: [Stamp]
    ) {
        var fresh: [Stamp] = []
        Record.forEachVersion(record.span) { version in
            if version.state != .present, earlier[version.stamp] == nil { fresh.append(version.stamp) }
        }
        for dot in fresh {
            earlier[dot] = Set(
                dots[key].filter { before in
                    before.writer == dot.writer && before < dot && putOfDot[before] == nil
                        && context.covers(before) && !versions.contains(before)
                })
        }
    }

    private mutating func published(_ dot: Stamp, _ key: Int) {
        if !dots[key].contains(dot) { dots[key].append(dot) }
    }

    private func text(_ dot: Stamp) -> String {
        "put \(putOfDot[dot].map { "\($0)" } ?? "?") [\(dot)]"
    }

    // MARK: Acknowledged puts

    /// - Parameters:
    ///   - dot: the one that the answer named. Another that the put had, when it was sent before, may have
    ///     been refused by the only disk that it was on its way to.
    ///   - isHinted: it is there in the end, and no read need show it before.
    mutating func acknowledged(_ number: UInt64, as dot: Stamp, _ levelClass: Int, isHinted: Bool) {
        guard let put = puts[number] else { return }
        published(dot, put.key)
        acknowledged[put.key].append((number, levelClass, isHinted))
    }

    /// Whether one lost disk may take what a level has acknowledged.
    func isFragile(_ levelClass: Int, _ isSloppy: Bool) -> Bool { isSloppy || levels.isFragile(levelClass) }

    /// A disk is lost, and with it perhaps what rested on it alone.
    mutating func lost(isSloppy: Bool) {
        for key in acknowledged.indices {
            acknowledged[key] = acknowledged[key].filter { !isFragile($0.levelClass, isSloppy) }
        }
    }

    /// The puts that a read that begins now must know of.
    func floor(_ key: Int, _ levelClass: Int) -> [UInt64] {
        acknowledged[key].filter { !$0.isHinted && levels.meet($0.levelClass, levelClass) }.map(\.number)
    }

    /// Whether the record knows of the puts.
    func check(_ record: Blob?, key: Int, knows numbers: [UInt64], _ what: String) throws(Violation) {
        var versions: [Stamp] = []
        if let record { Record.forEachVersion(record.span) { versions.append($0.stamp) } }
        guard let known = known(versions) else { return }
        for number in numbers {
            guard let put = puts[number], put.dots.isDisjoint(with: known),
                !put.dots.contains(where: mayBePurged)
            else { continue }
            throw Violation(
                "Causal",
                "\(what) c\(key) without put \(number), which was acknowledged as \(put.dots), or a version "
                    + "that has seen it: \(versions.map { text($0) })")
        }
    }

    mutating func purged(_ key: Int, through floor: HybridTime) { purged[key] = max(purged[key], floor) }

    /// Whether a delete that has seen the version, or is it, is at or below a purge floor: then nothing need
    /// be left of it. A delete that timed out may have happened: one that nobody has named, at any time, and
    /// one that was sent again, under a dot that nobody has told.
    private func mayBePurged(_ dot: Stamp) -> Bool {
        guard let number = putOfDot[dot], let put = puts[number] else { return true }
        guard dot.time <= purged[put.key] else { return false }
        return put.isDelete
            || deletes[put.key].contains { number in
                guard let delete = puts[number], !delete.isRefused, delete.seen?.contains(dot) ?? true else {
                    return false
                }
                return delete.dots.isEmpty || delete.isRepeated
                    || delete.dots.contains { $0.time <= purged[put.key] }
            }
    }

    func acknowledgedPuts(_ key: Int) -> [UInt64] { acknowledged[key].map(\.number) }
}
