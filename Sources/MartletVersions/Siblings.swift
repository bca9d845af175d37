import MartletBase

/// The record that keeps concurrent writes: a dotted version vector set (Preguiça, Baquero, Almeida, Fonte,
/// Gonçalves: "Dotted Version Vectors", 2010; and "Scalable and Accurate Causality Tracking for Eventually
/// Consistent Stores", 2014).
///
/// Terms:
///
/// - *dot*: the identity of one put: the hybrid time that its coordinator gave it, and the coordinator's
///   *actor*. The dot is the version's stamp, so expiries, purge floors and truncations date a version as
///   they date a register.
/// - *actor*: one run of one node as a coordinator of siblings: a `Writer` whose boot is drawn at random at
///   each start (see below).
/// - *context*: for each actor the time through which all of its dots are known, and single dots beyond
///   (`CausalContext`).
///
/// A record is a context, and under it the versions that no put has replaced, and for each actor the time of
/// the last put that replaced something of it (`covered`). The join works on each actor alone:
///
///     through  the greater           beyond   both, without what is at or below `through`
///     covered  the greater
///     versions those that both have, and of the others those that the other side's context doesn't cover
///
/// A dot names one put, so two records' versions under one dot are the same, or one of them has shed its
/// expired value; to be total, the join takes the greater (state, expiry, bytes). This is a product of
/// semilattices (Almeida, Shoker, Baquero: "Delta State Replicated Data Types", 2018, causal stores), so the
/// three laws hold (`SiblingsLawTests`).
///
/// Why `through` may say *all*: a put is coordinated by an owner, one at a time for each key; it reads the
/// owner's own record, which has all that this actor ever published for the key, makes the new record durable
/// there, and only then sends it, whole. So each record in which a dot of an actor occurs descends from one
/// that has the actor's earlier dots, alive or replaced.
///
/// So a dot needs no contiguous counter, only times that rise. The paper's own encoding, a count and the last
/// few values whose dots it implies, would be wrong here with any counter of a node over all its keys: the
/// gaps that other keys leave would be read as versions seen. And a counter of a node that is taken *before*
/// the read, or beside another put of the key, is wrong in any encoding: the later dot may be published from
/// a record without the earlier one, claim it, and so kill a version that nobody has read.
///
/// For the same reason an actor ends with the process. Whatever happened to its disk meanwhile (it was lost,
/// set back to an older copy, or recovered without its last unsynced writes), a record may come back from
/// peers that names the old actor but has not all that it published; under a new actor nothing is claimed but
/// what the new run itself has written. A key that was purged or flushed and is made anew continues with
/// later times, which no old context covers. A node that regains a slot must draw a new actor too.
///
/// Size: an actor stays in a record's context until it has no version left and `covered` is at or below the
/// purge floor (`Record.seen`): then all owners know of the puts that replaced its versions, and nothing of
/// their age may enter any more. Its own times being that old isn't enough: a version may be as old as the
/// cluster and have been replaced a moment ago, which an owner that still holds it must learn. So a context
/// has at most the runs of the owners within `tombstone_grace` and some, however many clients write.
///
/// Deviations from the papers: times instead of counters; deletes leave a version without a value, which a
/// concurrent put survives, and not only an emptier set, so that it can be dated and shown.
///
/// Encoding (canonical):
///
///     kind 1 | actors varint | for each, ascending: as in `CausalContext` | covered varint
///         | versions varint | for each, ascending: time 8 | flags 1 | expiry 8, when there is one | value
///
/// where value is: length varint and the bytes (present), nothing (tombstone), or hash 8 and length varint
/// (dropped).
package enum Siblings {
    static let stateMask: UInt8 = 0b0000_0011
    static let hasExpiry: UInt8 = 0b0000_0100

    /// All that a record knows of one actor.
    struct Part {
        var entry: CausalContext.Entry
        /// When the last put was made that replaced something of it; zero for none.
        var covered = HybridTime.zero
        /// By time, ascending.
        var versions: [VersionView] = []

        /// Whether nobody need know of it behind a horizon.
        func isForgotten(behind horizon: Horizon) -> Bool {
            versions.isEmpty
                && max(covered, entry.latest).bits <= max(horizon.purgeFloor, horizon.truncation)
        }

        /// Leaves out what the horizon hides, in one spelling: two owners that know different things of that
        /// must not seem to differ. Tells whether there was any.
        mutating func hide(behind horizon: Horizon) -> Bool {
            let before = self
            versions.removeAll { $0.stamp.time.bits <= horizon.truncation }
            // What is hidden from all is known to all.
            entry.join(through: HybridTime(bits: horizon.truncation), beyond: [])
            if covered.bits <= max(horizon.purgeFloor, horizon.truncation) { covered = .zero }
            return entry != before.entry || covered != before.covered
                || versions.count != before.versions.count
        }

        func writeHead(to writer: inout ByteWriter) {
            entry.write(to: &writer)
            writer.varint(covered.bits)
            writer.varint(UInt64(versions.count))
        }
    }

    /// `Record.isPurgeable`: a part whose last version was replaced, or of which something was (`Part.hide`,
    /// `Part.isForgotten`), or a version that is a tombstone or expires.
    static func isPurgeable(_ bytes: RawSpan) -> Bool {
        guard let parts = try? parts(bytes) else { return false }
        return parts.contains { part in
            part.versions.isEmpty || part.covered > .zero
                || part.versions.contains { $0.isTombstone || $0.expiry != nil }
        }
    }

    /// The parts of an encoded record; refuses every spelling but the canonical one.
    static func parts(_ bytes: RawSpan) throws(WireError) -> [Part] {
        var parts: [Part] = []
        try read(bytes) { (entry, covered, version) throws(WireError) in
            if let version {
                parts[parts.count - 1].versions.append(version)
            } else {
                parts.append(Part(entry: entry, covered: covered))
            }
        }
        return parts
    }

    /// Calls `body` for each actor, and then for each version under it.
    static func read(
        _ bytes: RawSpan, _ body: (CausalContext.Entry, HybridTime, VersionView?) throws(WireError) -> Void
    ) throws(WireError) {
        var reader = ByteReader(bytes)
        guard try reader.u8() == RecordKind.siblings.rawValue else { throw .invalid("record kind") }
        let actors = try reader.count(max: reader.remaining / 20, "actors")
        guard actors > 0 else { throw .invalid("actors") }
        var last: Writer?
        for _ in 0..<actors {
            let entry = try CausalContext.Entry(from: &reader)
            if let last, last >= entry.writer { throw .invalid("actors") }
            last = entry.writer
            let covered = HybridTime(bits: try reader.varint())
            guard covered <= .latest else { throw .invalid("time of a version") }
            try body(entry, covered, nil)
            var lastTime = HybridTime.zero
            for _ in 0..<(try reader.count(max: reader.remaining / 9, "versions")) {
                let version = try readVersion(&reader, bytes, of: entry.writer)
                guard version.stamp.time > lastTime, entry.covers(version.stamp.time) else {
                    throw .invalid("dot")
                }
                lastTime = version.stamp.time
                try body(entry, covered, version)
            }
        }
        try reader.expectEnd()
    }

    private static func readVersion(
        _ reader: inout ByteReader, _ bytes: RawSpan, of writer: Writer
    ) throws(WireError) -> VersionView {
        let start = reader.offset
        let time = HybridTime(bits: try reader.u64())
        let flags = try reader.u8()
        guard flags & ~(stateMask | hasExpiry) == 0,
            let state = RegisterView.State(rawValue: flags & stateMask)
        else { throw .invalid("version flags") }
        var expiry: Int64?
        if flags & hasExpiry != 0 {
            let milliseconds = try reader.u64()
            guard milliseconds > 0, milliseconds <= UInt64(Int64.max) else { throw .invalid("expiry") }
            expiry = Int64(milliseconds)
        }
        var offset = reader.offset
        switch state {
        case .present:
            let length = try reader.count(max: Limits.valueBytesMax, "value")
            offset = reader.offset
            _ = try reader.take(length)
        case .tombstone: break
        case .dropped:
            _ = try reader.u64()
            _ = try reader.count(max: Limits.valueBytesMax, "dropped value")
        }
        return VersionView(
            stamp: Stamp(time: time, writer: writer), state: state, expiry: expiry,
            range: start..<reader.offset, valueOffset: offset, valueLength: reader.offset - offset)
    }

    // MARK: Join

    static func join(_ a: RawSpan, _ b: RawSpan, into writer: inout ByteWriter) -> Record.JoinOutcome {
        if compare(a, b) == 0 { return .first }
        guard let x = try? parts(a), let y = try? parts(b) else {
            invariantBroken("records that were just validated don't decode")
        }
        let start = writer.bytes.count
        writer.u8(RecordKind.siblings.rawValue)
        let actors = Set(x.map(\.entry.writer)).union(y.map(\.entry.writer)).count
        writer.varint(UInt64(actors))
        var (i, j) = (0, 0)
        while i < x.count || j < y.count {
            if j == y.count || (i < x.count && x[i].entry.writer < y[j].entry.writer) {
                write(x[i], from: a, to: &writer)
                i += 1
            } else if i == x.count || y[j].entry.writer < x[i].entry.writer {
                write(y[j], from: b, to: &writer)
                j += 1
            } else {
                join(x[i], a, y[j], b, into: &writer)
                i += 1
                j += 1
            }
        }
        for (bytes, outcome) in [(0, Record.JoinOutcome.first), (1, .second)] {
            let isSame = writer.bytes.withUnsafeBytes { buffer in
                (bytes == 0 ? a : b).withUnsafeBytes { compareBytes(.init(rebasing: buffer[start...]), $0) }
            }
            guard isSame == 0 else { continue }
            writer.bytes.removeLast(writer.bytes.count - start)
            return outcome
        }
        return .written
    }

    private static func join(
        _ a: Part, _ aBytes: RawSpan, _ b: Part, _ bBytes: RawSpan, into writer: inout ByteWriter
    ) {
        var joined = Part(entry: a.entry, covered: max(a.covered, b.covered))
        joined.entry.join(through: b.entry.through, beyond: b.entry.beyond)
        var kept: [(version: VersionView, isFirst: Bool)] = []
        var (i, j) = (0, 0)
        while i < a.versions.count || j < b.versions.count {
            let x = i < a.versions.count ? a.versions[i] : nil
            let y = j < b.versions.count ? b.versions[j] : nil
            if let x, let y, x.stamp == y.stamp {
                let isFirst = !isLess(x, aBytes, than: y, bBytes)
                kept.append((isFirst ? x : y, isFirst))
                i += 1
                j += 1
            } else if let x, y.map({ x.stamp < $0.stamp }) ?? true {
                if !b.entry.covers(x.stamp.time) { kept.append((x, true)) }
                i += 1
            } else if let y {
                if !a.entry.covers(y.stamp.time) { kept.append((y, false)) }
                j += 1
            }
        }
        joined.versions = kept.map(\.version)
        joined.writeHead(to: &writer)
        for (version, isFirst) in kept {
            writer.raw((isFirst ? aBytes : bBytes).extracting(version.range))
        }
    }

    /// The order of what two records say of one dot.
    private static func isLess(
        _ a: VersionView, _ aBytes: RawSpan, than b: VersionView, _ bBytes: RawSpan
    ) -> Bool {
        if a.state != b.state { return a.state < b.state }
        if a.expiry != b.expiry { return (a.expiry ?? 0) < (b.expiry ?? 0) }
        return compare(aBytes.extracting(a.range), bBytes.extracting(b.range)) < 0
    }

    static func write(_ part: Part, from bytes: RawSpan, to writer: inout ByteWriter) {
        part.writeHead(to: &writer)
        for version in part.versions { writer.raw(bytes.extracting(version.range)) }
    }

    // MARK: Put

    /// What a put writes.
    package struct NewVersion {
        package var dot: Stamp
        /// Nil for a delete.
        package var value: Blob?
        /// Milliseconds since 1970; nil for never.
        package var expiry: Int64?

        package init(dot: Stamp, value: Blob?, expiry: Int64?) {
            self.dot = dot
            self.value = value
            self.expiry = expiry
        }

        func write(to writer: inout ByteWriter) {
            writer.u64(dot.time.bits)
            let state: RegisterView.State = value == nil ? .tombstone : .present
            writer.u8(state.rawValue | (expiry == nil ? 0 : hasExpiry))
            if let expiry { writer.u64(UInt64(expiry)) }
            if let value { writer.blob(value) }
        }
    }

    /// The coordinator's record after a put: what it held, without what the context covers, and with the new
    /// version.
    ///
    /// - Parameters:
    ///   - held: all that this actor has published for the key, nil when it held nothing that counts.
    ///   - new: its dot is later than all that is held or covered.
    package static func putting(_ new: NewVersion, over held: Blob?, context: CausalContext) -> Blob {
        let bytes = held ?? .empty
        var parts: [Part] = []
        if let held {
            guard let decoded = try? Self.parts(held.span) else {
                invariantBroken("a stored record does not decode: \(held)")
            }
            parts = decoded
        }
        for entry in context.entries { cover(entry, in: &parts, at: new.dot.time) }
        let actor = new.dot.writer
        cover(CausalContext.Entry(writer: actor, through: .zero), in: &parts, at: .zero)
        let value = new.value?.count ?? 0
        var writer = ByteWriter(reservingCapacity: bytes.count + value + 64)
        writer.u8(RecordKind.siblings.rawValue)
        writer.varint(UInt64(parts.count))
        for part in parts {
            guard part.entry.writer == actor else {
                write(part, from: bytes.span, to: &writer)
                continue
            }
            invariant(part.entry.latest < new.dot.time, "\(new.dot) is not later than what it follows")
            CausalContext.Entry(writer: actor, through: new.dot.time).write(to: &writer)
            writer.varint(part.covered.bits)
            writer.varint(UInt64(part.versions.count + 1))
            for version in part.versions { writer.raw(bytes.span.extracting(version.range)) }
            new.write(to: &writer)
        }
        return Blob(writer.bytes)
    }

    private static func cover(_ entry: CausalContext.Entry, in parts: inout [Part], at time: HybridTime) {
        let index = parts.firstIndex { $0.entry.writer >= entry.writer } ?? parts.count
        if index < parts.count, parts[index].entry.writer == entry.writer {
            let before = (parts[index].entry, parts[index].versions.count)
            parts[index].entry.join(through: entry.through, beyond: entry.beyond)
            parts[index].versions.removeAll { entry.covers($0.stamp.time) }
            if before != (parts[index].entry, parts[index].versions.count) {
                parts[index].covered = max(parts[index].covered, time)
            }
        } else {
            parts.insert(Part(entry: entry, covered: time), at: index)
        }
    }

    // MARK: Views

    /// What of the record counts behind a horizon, nil for nothing; the record itself when all does.
    static func seen(_ record: Blob, behind horizon: Horizon) -> Blob? {
        guard var parts = try? parts(record.span) else { return record }
        var isWhole = true
        for index in parts.indices where parts[index].hide(behind: horizon) { isWhole = false }
        let known = parts.count
        parts.removeAll { $0.isForgotten(behind: horizon) }
        if parts.isEmpty { return nil }
        if isWhole && parts.count == known { return record }
        return encode(parts, from: record)
    }

    static func digest(_ bytes: RawSpan) -> UInt64 {
        var digest: UInt64 = 2
        try? read(bytes) { (entry, covered, version) throws(WireError) in
            guard let version else {
                let words: InlineArray<4, UInt64> = [
                    entry.writer.node, entry.writer.run, entry.through.bits, covered.bits,
                ]
                digest = XXH3.hash(words.span.bytes, seed: digest)
                for time in entry.beyond { digest = XXH3.hash(time.bits, seed: digest) }
                return
            }
            // A dropped value was present: both must give one digest.
            let words: InlineArray<4, UInt64> = [
                version.state == .tombstone ? 1 : 2, version.stamp.time.bits, UInt64(version.expiry ?? 0),
                version.valueHash(bytes),
            ]
            digest = XXH3.hash(words.span.bytes, seed: digest)
        }
        return digest
    }

    /// Drops the values that expired before an instant; false when there are none.
    static func dropExpired(
        _ bytes: RawSpan, before wallMilliseconds: Int64, into writer: inout ByteWriter
    ) -> Bool {
        func isShed(_ version: VersionView) -> Bool {
            guard version.state == .present, let expiry = version.expiry else { return false }
            // A value shorter than what replaces it stays: dropping it would make the record grow.
            return expiry < wallMilliseconds && version.valueLength > 8 + 1
        }
        guard let parts = try? parts(bytes), parts.contains(where: { $0.versions.contains(where: isShed) })
        else { return false }
        writer.u8(RecordKind.siblings.rawValue)
        writer.varint(UInt64(parts.count))
        for part in parts {
            part.writeHead(to: &writer)
            for version in part.versions {
                guard isShed(version), let expiry = version.expiry else {
                    writer.raw(bytes.extracting(version.range))
                    continue
                }
                writer.u64(version.stamp.time.bits)
                writer.u8(RegisterView.State.dropped.rawValue | hasExpiry)
                writer.u64(UInt64(expiry))
                writer.u64(version.valueHash(bytes))
                writer.varint(UInt64(version.valueLength))
            }
        }
        return true
    }
}
