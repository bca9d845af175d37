import MartletBase

/// What an operator decided of a node, whatever the node itself says; any node may gossip it.
///
/// Verdicts are totally ordered, and the greater absorbs the lesser:
///
///     removed > anything else;  then the later stamp;  then the kind;  then who gave it
///
/// `removed` absorbs everything, for ever: the id is fenced, and a removed node that comes back can't undo
/// it. Between the others the later act counts: an abort ends the removal before it, a later removal begins
/// anew.
package struct Verdict: Hashable, Comparable, Sendable {
    package enum Kind: UInt8, Sendable, CaseIterable {
        /// Its places are being given to others.
        case removing = 1
        /// It owns nothing any more, and its id is never used again.
        case removed = 2
        /// The handover it took part in was called off.
        case aborted = 3
    }

    package var kind: Kind
    /// The hybrid time of the act, as bits.
    package var stamp: UInt64
    /// The node at which the operator acted.
    package var by: NodeID

    package init(kind: Kind, stamp: UInt64, by: NodeID) {
        self.kind = kind
        self.stamp = stamp
        self.by = by
    }

    /// Reads what follows the kind, which the caller has read.
    init(kind: UInt8, from reader: inout ByteReader) throws(WireError) {
        guard let kind = Kind(rawValue: kind) else { throw .invalid("verdict") }
        self.kind = kind
        stamp = try reader.u64()
        by = try NodeID(from: &reader)
    }

    func write(to writer: inout ByteWriter) {
        writer.u8(kind.rawValue)
        writer.u64(stamp)
        by.write(to: &writer)
    }

    package static func < (a: Verdict, b: Verdict) -> Bool {
        if (a.kind == .removed) != (b.kind == .removed) { return b.kind == .removed }
        if a.stamp != b.stamp { return a.stamp < b.stamp }
        if a.kind != b.kind { return a.kind.rawValue < b.kind.rawValue }
        return a.by < b.by
    }
}
