import MartletBase

/// The first byte of every stored record. Kinds are ordered: of two records of different kinds under one key
/// the greater kind wins whole, so that the join stays total.
package enum RecordKind: UInt8, Sendable {
    case register = 1
    case siblings = 2

    /// Of bytes that begin like a record.
    @inlinable package init?(of bytes: RawSpan) {
        guard bytes.byteCount > 0 else { return nil }
        self.init(rawValue: bytes.unsafeLoad(as: UInt8.self))
    }
}

/// The one verb of the store, on encoded records: a pure, total join with no clock, floor or truncation in
/// it.
///
///     merge(a, a) = a      merge(a, b) = merge(b, a)      merge(a, merge(b, c)) = merge(merge(a, b), c)
///
/// Bytes are validated before they are stored; should undecodable ones be met all the same, they lose against
/// decodable ones, and among themselves the greater bytes win, so that the laws hold for every input.
package enum Record {
    /// Throws unless the bytes are the canonical encoding of a record.
    @inlinable package static func validate(_ bytes: RawSpan) throws(WireError) {
        _ = try RecordSummary(bytes)
    }

    /// Where the join of two records is found.
    package enum JoinOutcome: Sendable {
        case first, second
        /// Neither of them: it was appended to the writer.
        case written
    }

    /// The join of two encoded records: mostly one of them, and then nothing is copied.
    package static func join(_ a: RawSpan, _ b: RawSpan, into writer: inout ByteWriter) -> JoinOutcome {
        let x = try? RegisterView(a)
        let y = try? RegisterView(b)
        if let x, let y { return RegisterView.join(x, a, y, b, into: &writer) }
        let (isFirstSiblings, isSecondSiblings) = (areSiblings(a), areSiblings(b))
        if isFirstSiblings, isSecondSiblings { return Siblings.join(a, b, into: &writer) }
        if isFirstSiblings { return .first }
        if isSecondSiblings { return .second }
        switch (x, y) {
        case (.some, _): return .first
        case (.none, .some): return .second
        case (.none, .none): return compare(a, b) >= 0 ? .first : .second
        }
    }

    private static func areSiblings(_ bytes: RawSpan) -> Bool {
        RecordKind(of: bytes) == .siblings && (try? RecordSummary(siblings: bytes)) != nil
    }

    /// The same for records at hand.
    package static func join(_ a: Blob, _ b: Blob) -> Blob {
        var writer = ByteWriter()
        return switch join(a.span, b.span, into: &writer) {
        case .first: a
        case .second: b
        case .written: Blob(writer.bytes)
        }
    }

    /// The record's digest: equal on two replicas if and only if (but for hash collisions) they hold the same
    /// state. An absent record has digest zero.
    package static func digest(_ bytes: RawSpan) -> UInt64 {
        let digest =
            if let view = try? RegisterView(bytes) {
                view.digest(bytes)
            } else if areSiblings(bytes) {
                Siblings.digest(bytes)
            } else {
                XXH3.hash(bytes)
            }
        return digest == 0 ? 1 : digest
    }

    package static func digest(_ record: Blob?) -> UInt64 {
        guard let record else { return 0 }
        return digest(record.span)
    }

    /// Writes the record with its value dropped, when that value expired before `wallMilliseconds`.
    ///
    /// - Returns: whether anything was written; false means: keep the record as it is.
    package static func dropExpired(
        _ bytes: RawSpan, before wallMilliseconds: Int64, into writer: inout ByteWriter
    ) -> Bool {
        if RecordKind(of: bytes) == .siblings {
            return Siblings.dropExpired(bytes, before: wallMilliseconds, into: &writer)
        }
        guard let view = try? RegisterView(bytes), view.state == .present, let expiry = view.expiry,
            expiry < wallMilliseconds
        else { return false }
        // A value shorter than what replaces it stays: dropping it would make the record grow.
        guard view.valueLength > 8 + 1 else { return false }
        RegisterView.writeHead(
            state: .dropped, stamp: view.stamp, expiryStamp: view.expiryStamp, expiry: expiry, to: &writer)
        writer.u64(view.valueHash(bytes))
        writer.varint(UInt64(view.valueLength))
        return true
    }

    /// Whether the record lies behind the horizon: its value was written at or below the truncation; or, all
    /// of it at or below the purge floor, it is a tombstone, or a value that expired by then as well.
    ///
    /// A truncation goes by the value alone: who read a value before it and sets its expiry after it must not
    /// bring it back.
    ///
    /// Undecodable bytes are not hidden: they can't be dated.
    package static func isHidden(_ bytes: RawSpan, behind horizon: Horizon) -> Bool {
        guard horizon != .none, let summary = try? RecordSummary(bytes) else { return false }
        if summary.stamp.time.bits <= horizon.truncation { return true }
        let floor = HybridTime(bits: horizon.purgeFloor)
        return summary.latest <= floor && lapsed(bytes, by: floor.milliseconds)
    }

    /// Whether every version of the record is a tombstone, or expired by then.
    private static func lapsed(_ bytes: RawSpan, by milliseconds: Int64) -> Bool {
        var isLapsed = true
        forEachVersion(bytes) { version in
            let hasExpired = version.expiry.map { $0 <= milliseconds } ?? false
            if !version.isTombstone && !hasExpired { isLapsed = false }
        }
        return isLapsed
    }

    /// Whether a purge floor that rises may hide the record, or change what of it counts: only a tombstone, a
    /// value that expires, or what siblings remember of versions that were replaced.
    package static func isPurgeable(_ bytes: RawSpan) -> Bool {
        if RecordKind(of: bytes) == .siblings { return Siblings.isPurgeable(bytes) }
        guard let view = try? RegisterView(bytes) else { return false }
        return view.isTombstone || view.expiry != nil
    }

    /// The digest of what of a stored record counts; nil when it is hidden as a whole.
    package static func digest(_ bytes: RawSpan, behind horizon: Horizon) -> UInt64? {
        if isHidden(bytes, behind: horizon) { return nil }
        if horizon == .none || RecordKind(of: bytes) != .siblings { return digest(bytes) }
        return seen(Blob(copying: bytes), behind: horizon).map { digest($0.span) }
    }

    /// Whether a reader at `wall` sees a value in what isn't hidden.
    package static func isLive(_ bytes: RawSpan, _ wall: WallTime, behind horizon: Horizon) -> Bool {
        guard let summary = try? RecordSummary(bytes), summary.isLive(wall) else { return false }
        if horizon == .none { return true }
        guard summary.kind == .siblings else { return !isHidden(bytes, behind: horizon) }
        var isLive = false
        forEachVersion(bytes) { version in
            if version.isLive(wall), version.stamp.time.bits > horizon.truncation { isLive = true }
        }
        return isLive && !isHidden(bytes, behind: horizon)
    }

    /// What of the record counts behind the horizon; nil when it is hidden as a whole.
    ///
    /// Of siblings the versions at or below the truncation are left out, and actors of which nobody
    /// need know any more.
    package static func seen(_ record: Blob, behind horizon: Horizon) -> Blob? {
        if horizon == .none { return record }
        if isHidden(record.span, behind: horizon) { return nil }
        guard RecordKind(of: record.span) == .siblings else { return record }
        return Siblings.seen(record, behind: horizon)
    }

    // MARK: Versions

    /// Calls `body` with each version of the record, tombstones included.
    package static func forEachVersion(_ bytes: RawSpan, _ body: (VersionView) -> Void) {
        if let view = try? RegisterView(bytes) { return body(VersionView(view)) }
        try? Siblings.read(bytes) { (_, _, version) throws(WireError) in
            if let version { body(version) }
        }
    }

    /// What a reader at `wall` sees.
    package static func live(_ bytes: RawSpan, _ wall: WallTime) -> LiveVersions {
        var live = LiveVersions()
        forEachVersion(bytes) { version in
            guard version.isLive(wall) else { return }
            live.count += 1
            if live.first == nil { live.first = version }
        }
        return live
    }

    /// What somebody who has read the record has seen; empty for a register, whose stamp says it.
    package static func context(of bytes: RawSpan) -> CausalContext {
        var entries: [CausalContext.Entry] = []
        guard RecordKind(of: bytes) == .siblings else { return .empty }
        try? Siblings.read(bytes) { (entry, _, version) throws(WireError) in
            if version == nil { entries.append(entry) }
        }
        return CausalContext(entries)
    }
}
