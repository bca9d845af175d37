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
/// A write with a context replaces what the context covers: where concurrent versions are kept just that, and
/// where the last writer wins all that was written before it.
public struct CausalContext: Hashable, Sendable, CustomStringConvertible {
    /// The text that stands for it in the protocol; to be kept or sent elsewhere.
    public let text: String

    /// A context whose text was kept.
    public init(text: String) { self.text = text }

    /// The text.
    public var description: String { text }
}

/// What a read of a key gives to who will write it: its values, and the context that covers them.
public struct Versioned<Value: Hashable & Sendable>: Hashable, Sendable {
    /// Empty when the key doesn't exist; one value in a keyspace where the last writer wins; several where
    /// concurrent versions are kept, the oldest first.
    public let values: [Value]

    /// For the next write of the key. Nil for a key that was never written; a deleted key has one.
    public let context: CausalContext?

    /// The first value; nil when the key doesn't exist.
    public var value: Value? { values.first }

    /// The same with values of a type of yours.
    public func map<Other, Failure: Error>(
        _ transform: (Value) throws(Failure) -> Other
    ) throws(Failure) -> Versioned<Other> {
        var others: [Other] = []
        for value in values { others.append(try transform(value)) }
        return Versioned<Other>(values: others, context: context)
    }
}

/// What ``MartletClient/MartletClient/getVersioned(_:level:within:)`` gives.
public typealias VersionedValue = Versioned<Bytes>

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
