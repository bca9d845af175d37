import MartletBase

/// One version within an encoded record of either kind, read in place.
package struct VersionView: Hashable, Sendable {
    /// Of a register the value's stamp, of siblings the dot.
    package let stamp: Stamp
    package let state: RegisterView.State
    /// Milliseconds since 1970; nil for never.
    package let expiry: Int64?
    /// Where in the encoded record the version is.
    let range: Range<Int>
    /// Where in the encoded record the value's bytes are.
    package let valueOffset: Int
    package let valueLength: Int

    @inlinable package var isTombstone: Bool { state == .tombstone }

    /// Whether a reader at `wall` sees a value.
    @inlinable package func isLive(_ wall: WallTime) -> Bool {
        state == .present && expiry.map { $0 > wall.milliseconds } ?? true
    }

    @_lifetime(copy bytes)
    package func value(in bytes: RawSpan) -> RawSpan {
        bytes.extracting(valueOffset..<(valueOffset + valueLength))
    }

    /// The hash that a dropped value keeps and a present one still has to compute.
    func valueHash(_ bytes: RawSpan) -> UInt64 {
        switch state {
        case .present: XXH3.hash(value(in: bytes))
        case .tombstone: 0
        case .dropped: value(in: bytes).unsafeLoadUnaligned(as: UInt64.self).bigEndian
        }
    }
}

extension VersionView {
    init(_ view: RegisterView) {
        self.init(
            stamp: view.stamp, state: view.state, expiry: view.expiry,
            range: 0..<(view.valueOffset + view.valueLength), valueOffset: view.valueOffset,
            valueLength: view.valueLength)
    }
}

/// What a reader sees of a record.
package struct LiveVersions: Hashable, Sendable {
    package var count = 0
    /// One of them: the only one, when there is one.
    package var first: VersionView?

    package init() {}
}

/// What a node asks of a record without knowing its kind.
package struct RecordSummary: Hashable, Sendable {
    package let kind: RecordKind
    /// Of a register the value's stamp; of siblings the latest dot.
    package let stamp: Stamp
    /// No part of the record was written later.
    package let latest: HybridTime
    /// No value in it was written before.
    package let oldest: HybridTime
    /// Readers see a value before this millisecond since 1970; zero when there is none, the greatest number
    /// when one never expires.
    package let liveUntil: Int64

    @inlinable package init(_ bytes: RawSpan) throws(WireError) {
        if bytes.byteCount > 0, bytes.unsafeLoad(as: UInt8.self) == RecordKind.siblings.rawValue {
            self = try RecordSummary(siblings: bytes)
            return
        }
        let view = try RegisterView(bytes)
        kind = .register
        stamp = view.stamp
        latest = max(view.stamp.time, view.expiryStamp.time)
        oldest = view.stamp.time
        liveUntil = view.state == .present ? view.expiry ?? .max : 0
    }

    package init(siblings bytes: RawSpan) throws(WireError) {
        var stamp = Stamp.zero
        var until: Int64 = 0
        var oldest = HybridTime.latest
        try Siblings.read(bytes) { (entry, _, version) throws(WireError) in
            stamp = max(stamp, Stamp(time: entry.latest, writer: entry.writer))
            if let version { oldest = min(oldest, version.stamp.time) }
            if let version, version.state == .present { until = max(until, version.expiry ?? .max) }
        }
        kind = .siblings
        self.stamp = stamp
        latest = stamp.time
        self.oldest = min(oldest, stamp.time)
        liveUntil = until
    }

    /// Whether a reader at `wall` sees a value.
    @inlinable package func isLive(_ wall: WallTime) -> Bool { liveUntil > wall.milliseconds }
}
