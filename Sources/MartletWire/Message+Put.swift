import MartletBase
import MartletRing
import MartletVersions

/// Asks an owner of a key to coordinate a put of a keyspace with siblings: its coordinator reads its own
/// record, and so must be an owner.
package struct PutRequest: Hashable, Sendable {
    package var request: UInt64
    /// The digest of the sender's placement of the key's slot.
    package var placement: UInt64
    package var keyspace: UInt32
    package var level: ConsistencyLevel
    /// What is left of the client's time.
    package var timeout: Interval
    package var key: Blob
    /// Nil for a delete.
    package var value: Blob?
    /// Milliseconds since 1970; nil for never.
    package var expiry: Int64?
    /// What the put replaces.
    package var context: CausalContext
    /// The dot of an earlier attempt.
    package var version: Stamp?

    package init(
        request: UInt64, placement: UInt64, keyspace: UInt32, level: ConsistencyLevel, timeout: Interval,
        key: Blob, value: Blob?, expiry: Int64?, context: CausalContext, version: Stamp?
    ) {
        self.request = request
        self.placement = placement
        self.keyspace = keyspace
        self.level = level
        self.timeout = timeout
        self.key = key
        self.value = value
        self.expiry = expiry
        self.context = context
        self.version = version
    }
}

/// What came of a put that an owner coordinated for another node.
package struct PutAnswer: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// Acknowledged at its level; the dot.
        case written(Stamp)
        case failed(PutFailure)
        /// The owner did nothing.
        case refused(ReplicaRefusal)
    }

    package var request: UInt64
    package var outcome: Outcome

    package init(request: UInt64, outcome: Outcome) {
        self.request = request
        self.outcome = outcome
    }
}

/// The exact outcomes of a put, as its coordinator tells them to the node that its client asked. Lists are
/// names of nodes.
package enum PutFailure: Hashable, Sendable {
    case unavailable(required: Int, alive: Int, up: [String], down: [String])
    case timeout(
        required: Int, acknowledged: Int, acked: [String], unknown: [String], version: Stamp?, after: Interval
    )
    case overloaded(node: String, limit: String)
    case skew(node: String, aheadMilliseconds: Int64, maxMilliseconds: Int64)
    /// The key would have more versions, or more bytes of them, than it may.
    case siblings(limit: String, found: Int, max: Int)
}

// MARK: Codec

extension PutRequest {
    private static let hasValue: UInt8 = 1
    private static let hasExpiry: UInt8 = 2
    private static let hasVersion: UInt8 = 4

    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        writer.u64(placement)
        writer.u32(keyspace)
        writer.u8(level.rawValue)
        writer.u64(UInt64(max(0, timeout.nanoseconds)))
        writer.u8(
            (value == nil ? 0 : Self.hasValue) | (expiry == nil ? 0 : Self.hasExpiry)
                | (version == nil ? 0 : Self.hasVersion))
        if let expiry { writer.u64(UInt64(max(1, expiry))) }
        version?.write(to: &writer)
        context.write(to: &writer)
        writer.blob(key)
        if let value { writer.raw(value) }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        placement = try reader.u64()
        keyspace = try reader.u32()
        level = try ConsistencyLevel(from: &reader)
        let nanoseconds = try reader.u64()
        guard nanoseconds <= UInt64(Limits.clientTimeoutMax.nanoseconds) else { throw .invalid("timeout") }
        timeout = Interval(nanoseconds: Int64(nanoseconds))
        let flags = try reader.u8()
        guard flags & ~(Self.hasValue | Self.hasExpiry | Self.hasVersion) == 0 else {
            throw .invalid("put flags")
        }
        if flags & Self.hasExpiry != 0 {
            let milliseconds = try reader.u64()
            guard milliseconds > 0, milliseconds <= UInt64(Int64.max) else { throw .invalid("expiry") }
            expiry = Int64(milliseconds)
        }
        if flags & Self.hasVersion != 0 { version = try Stamp(from: &reader) }
        context = try CausalContext(from: &reader)
        key = try reader.blob(max: Limits.keyBytesMax, "key")
        guard flags & Self.hasValue != 0 else { return }
        guard reader.remaining <= Limits.valueBytesMax else {
            throw .tooLong(what: "value", count: reader.remaining, max: Limits.valueBytesMax)
        }
        value = Blob(copying: try reader.take(reader.remaining))
    }
}

extension PutAnswer {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        switch outcome {
        case .written(let dot):
            writer.u8(0)
            dot.write(to: &writer)
        case .failed(let failure):
            writer.u8(1)
            failure.write(to: &writer)
        case .refused(let refusal):
            writer.u8(2)
            writer.u8(refusal.rawValue)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        switch try reader.u8() {
        case 0: outcome = .written(try Stamp(from: &reader))
        case 1: outcome = .failed(try PutFailure(from: &reader))
        case 2: outcome = .refused(try ReplicaRefusal(from: &reader))
        default: throw .invalid("put answer")
        }
    }
}

extension PutFailure {
    func write(to writer: inout ByteWriter) {
        func list(_ names: [String], _ writer: inout ByteWriter) {
            writer.varint(UInt64(names.count))
            for name in names { writer.string(name) }
        }
        switch self {
        case .unavailable(let required, let alive, let up, let down):
            writer.u8(0)
            writer.varint(UInt64(required))
            writer.varint(UInt64(alive))
            list(up, &writer)
            list(down, &writer)
        case .timeout(let required, let acknowledged, let acked, let unknown, let version, let after):
            writer.u8(1)
            writer.varint(UInt64(required))
            writer.varint(UInt64(acknowledged))
            list(acked, &writer)
            list(unknown, &writer)
            writer.u8(version == nil ? 0 : 1)
            version?.write(to: &writer)
            writer.u64(UInt64(max(0, after.nanoseconds)))
        case .overloaded(let node, let limit):
            writer.u8(2)
            writer.string(node)
            writer.string(limit)
        case .skew(let node, let ahead, let max):
            writer.u8(3)
            writer.string(node)
            writer.u64(UInt64(bitPattern: ahead))
            writer.u64(UInt64(bitPattern: max))
        case .siblings(let limit, let found, let max):
            writer.u8(4)
            writer.string(limit)
            writer.varint(UInt64(found))
            writer.varint(UInt64(max))
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        func list(_ reader: inout ByteReader) throws(WireError) -> [String] {
            // Beside the owners there may be as many that stand in for them.
            let count = try reader.count(max: 2 * Limits.ownersMax, "nodes")
            var names: [String] = []
            for _ in 0..<count { names.append(try name(&reader)) }
            return names
        }
        func name(_ reader: inout ByteReader) throws(WireError) -> String {
            try reader.string(max: Limits.nameBytesMax, "name")
        }
        func number(_ reader: inout ByteReader) throws(WireError) -> Int {
            try reader.count(max: Int(Int32.max), "number")
        }
        switch try reader.u8() {
        case 0:
            self = .unavailable(
                required: try number(&reader), alive: try number(&reader), up: try list(&reader),
                down: try list(&reader))
        case 1:
            self = .timeout(
                required: try number(&reader), acknowledged: try number(&reader), acked: try list(&reader),
                unknown: try list(&reader),
                version: try reader.bool("version") ? try Stamp(from: &reader) : nil,
                after: try Self.readInterval(&reader))
        case 2: self = .overloaded(node: try name(&reader), limit: try name(&reader))
        case 3:
            self = .skew(
                node: try name(&reader), aheadMilliseconds: Int64(bitPattern: try reader.u64()),
                maxMilliseconds: Int64(bitPattern: try reader.u64()))
        case 4:
            self = .siblings(
                limit: try name(&reader), found: try number(&reader), max: try number(&reader))
        default: throw .invalid("put failure")
        }
    }

    private static func readInterval(_ reader: inout ByteReader) throws(WireError) -> Interval {
        let nanoseconds = try reader.u64()
        guard nanoseconds <= UInt64(Int64.max) else { throw .invalid("interval") }
        return Interval(nanoseconds: Int64(nanoseconds))
    }
}
