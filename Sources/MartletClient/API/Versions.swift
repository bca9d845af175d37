/// Names one write of one key: opaque, given by the store.
///
/// Writes of a key are ordered by their versions, and sending the same value under the same version again
/// changes nothing: so a retry under its first version can't overtake a later write.
public struct WriteVersion: Hashable, Sendable, CustomStringConvertible {
    /// The text that stands for it in the protocol; to be kept or sent elsewhere.
    public let text: String

    /// A version whose text was kept.
    public init(text: String) { self.text = text }

    /// The text.
    public var description: String { text }
}

/// What a reader of a key has seen: opaque, given by every read, and handed back with the write that follows.
///
/// A write with a context is put above all that the context covers.
public struct CausalContext: Hashable, Sendable, CustomStringConvertible {
    /// The text that stands for it in the protocol; to be kept or sent elsewhere.
    public let text: String

    /// A context whose text was kept.
    public init(text: String) { self.text = text }

    /// The text.
    public var description: String { text }
}

/// A key's values and the context that covers them.
public struct VersionedValue: Hashable, Sendable {
    /// Empty when the key doesn't exist; one value in a keyspace where the last writer wins; several where
    /// concurrent versions are kept.
    public let values: [Bytes]

    /// For the next write of the key. Nil for a key that was never written; a deleted key has one.
    public let context: CausalContext?

    /// The first value; nil when the key doesn't exist.
    public var value: Bytes? { values.first }
}

/// What a write returns.
public struct WriteReceipt: Hashable, Sendable {
    /// The version that the write was given.
    public let version: WriteVersion

    /// Covers the write: for the write that follows it.
    public let context: CausalContext
}

/// When a value ceases to exist.
public enum Expiry: Hashable, Sendable {
    /// So long after the node took the write; at least a millisecond, finer parts are dropped.
    case after(Duration)
    /// At a time: since 1970-01-01 UTC, by the nodes' clocks; finer parts than milliseconds are dropped.
    case at(sinceEpoch: Duration)
    /// When the value that it replaces would have expired. The node reads that first: without atomicity.
    case keep
}

/// How long a key will still exist.
public enum TimeToLive: Hashable, Sendable {
    /// There is no such key.
    case missing
    /// The key has no expiry.
    case unlimited
    /// What is left, in milliseconds' resolution.
    case left(Duration)
}
