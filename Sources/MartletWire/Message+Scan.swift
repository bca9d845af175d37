import MartletBase

/// Asks a replica which keys of a range it holds live, or how many.
package struct ScanRequest: Hashable, Sendable {
    package enum Wanted: Hashable, Sendable {
        /// The keys, in the order of their tokens: at least so many if there are, and all of the last one's
        /// token.
        case keys(atLeast: Int)
        /// What each leaf of the range holds.
        case counts
    }

    package var request: UInt64
    /// The digest of the sender's placements of all the range's slots, in their order.
    package var placement: UInt64
    package var keyspace: UInt32
    /// Tokens; both are included.
    package var first: UInt64
    package var last: UInt64
    /// The coordinator's wall clock, in milliseconds: it alone judges what has expired.
    package var asOf: Int64
    package var wanted: Wanted

    package init(
        request: UInt64, placement: UInt64, keyspace: UInt32, first: UInt64, last: UInt64, asOf: Int64,
        wanted: Wanted
    ) {
        self.request = request
        self.placement = placement
        self.keyspace = keyspace
        self.first = first
        self.last = last
        self.asOf = asOf
        self.wanted = wanted
    }
}

package struct ScanAnswer: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// The live keys up to, and not including, the token `next`; nil: to the end of the range.
        case keys([Blob], next: UInt64?)
        /// The leaves that hold live keys, in order, up to the one that begins with `next`.
        case counts([LeafCount], next: UInt64?)
        case refused(ReplicaRefusal)
    }

    package var request: UInt64
    package var outcome: Outcome

    package init(request: UInt64, outcome: Outcome) {
        self.request = request
        self.outcome = outcome
    }
}

/// How many live keys a leaf holds. Two replicas with one count and one sum hold the same keys live, but for
/// hash collisions.
package struct LeafCount: Hashable, Sendable {
    package var leaf: UInt32
    package var count: UInt64
    /// The sum of the keys' hashes.
    package var sum: UInt64

    package init(leaf: UInt32, count: UInt64 = 0, sum: UInt64 = 0) {
        self.leaf = leaf
        self.count = count
        self.sum = sum
    }

    package mutating func add(_ key: RawSpan) {
        count += 1
        sum &+= XXH3.hash(key)
    }
}

// MARK: Codec
extension ScanRequest {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        writer.u64(placement)
        writer.u32(keyspace)
        writer.u64(first)
        writer.u64(last)
        writer.u64(UInt64(max(0, asOf)))
        switch wanted {
        case .keys(let atLeast): writer.varint(UInt64(atLeast))
        case .counts: writer.varint(0)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        placement = try reader.u64()
        keyspace = try reader.u32()
        first = try reader.u64()
        last = try reader.u64()
        guard first <= last else { throw .invalid("range") }
        let asOf = try reader.u64()
        guard asOf <= UInt64(Int64.max / 1_000) else { throw .invalid("time") }
        self.asOf = Int64(asOf)
        let atLeast = try reader.count(max: Limits.scanKeysMax, "keys wanted")
        wanted = atLeast == 0 ? .counts : .keys(atLeast: atLeast)
    }
}

extension ScanAnswer {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        switch outcome {
        case .keys(let keys, let next):
            writer.u8(0)
            Self.write(next, to: &writer)
            for key in keys { writer.blob(key) }
        case .counts(let counts, let next):
            writer.u8(1)
            Self.write(next, to: &writer)
            for count in counts {
                writer.u32(count.leaf)
                writer.varint(count.count)
                writer.u64(count.sum)
            }
        case .refused(let refusal):
            writer.u8(2)
            writer.u8(refusal.rawValue)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        switch try reader.u8() {
        case 0:
            let next = try Self.next(from: &reader)
            var keys: [Blob] = []
            while !reader.isAtEnd { keys.append(try reader.blob(max: Limits.keyBytesMax, "key")) }
            outcome = .keys(keys, next: next)
        case 1:
            let next = try Self.next(from: &reader)
            var counts: [LeafCount] = []
            while !reader.isAtEnd {
                let leaf = try reader.u32()
                guard counts.last.map({ $0.leaf < leaf }) ?? true else { throw .invalid("leaf order") }
                counts.append(LeafCount(leaf: leaf, count: try reader.varint(), sum: try reader.u64()))
            }
            outcome = .counts(counts, next: next)
        case 2: outcome = .refused(try ReplicaRefusal(from: &reader))
        default: throw .invalid("scan answer")
        }
    }

    private static func write(_ next: UInt64?, to writer: inout ByteWriter) {
        writer.u8(next == nil ? 0 : 1)
        if let next { writer.u64(next) }
    }

    private static func next(from reader: inout ByteReader) throws(WireError) -> UInt64? {
        try reader.bool("next") ? try reader.u64() : nil
    }
}
