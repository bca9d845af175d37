import MartletBase

/// The first byte of every stored record. Kinds are ordered: of two records of different kinds under one key
/// the greater kind wins whole, so that the join stays total.
package enum RecordKind: UInt8, Sendable {
    case register = 1
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
        _ = try RegisterView(bytes)
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
        switch (x, y) {
        case (.some(let x), .some(let y)): return RegisterView.join(x, a, y, b, into: &writer)
        case (.some, .none): return .first
        case (.none, .some): return .second
        case (.none, .none): return compare(a, b) >= 0 ? .first : .second
        }
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
        guard let view = try? RegisterView(bytes) else { return XXH3.hash(bytes) }
        let digest = view.digest(bytes)
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
        guard horizon != .none, let view = try? RegisterView(bytes) else { return false }
        if view.stamp.time.bits <= horizon.truncation { return true }
        guard max(view.stamp.time, view.expiryStamp.time).bits <= horizon.purgeFloor else { return false }
        if view.isTombstone { return true }
        guard let expiry = view.expiry else { return false }
        return expiry <= HybridTime(bits: horizon.purgeFloor).milliseconds
    }
}
