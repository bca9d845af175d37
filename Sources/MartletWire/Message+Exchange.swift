import MartletBase
import MartletMerkle
import MartletVersions

/// What every question of an exchange names: two owners compare, over all slots of a keyspace that both own,
/// what they hold.
package struct ExchangeSubject: Hashable, Sendable {
    package var request: UInt64
    package var keyspace: UInt32
    /// The digest of the sender's placement of the common slots.
    package var placement: UInt64
    package var abridgement: Abridgement

    package init(request: UInt64, keyspace: UInt32, placement: UInt64, abridgement: Abridgement) {
        self.request = request
        self.keyspace = keyspace
        self.placement = placement
        self.abridgement = abridgement
    }
}

/// Begins an exchange: the sender's root over the common slots, and the root's children.
package struct ExchangeOpening: Hashable, Sendable {
    package var subject: ExchangeSubject
    /// Never shortened: equal roots end the exchange.
    package var root: UInt64
    package var children: [UInt64]

    package init(subject: ExchangeSubject, root: UInt64, children: [UInt64]) {
        self.subject = subject
        self.root = root
        self.children = children
    }
}

/// One step down the tree: the children of the nodes of `level` that differ.
package struct ExchangeDescent: Hashable, Sendable {
    package var subject: ExchangeSubject
    /// Of the nodes, not of their children.
    package var level: Int
    package var nodes: [NodeSums]

    package init(subject: ExchangeSubject, level: Int, nodes: [NodeSums]) {
        self.subject = subject
        self.level = level
        self.nodes = nodes
    }
}

/// What the sender holds in some leaves that differ.
package struct ExchangeListing: Hashable, Sendable {
    /// Leaves that lie side by side; of the first and the last one maybe a part.
    package struct Segment: Hashable, Sendable {
        /// Tokens; both are included.
        package var tokens: ClosedRange<UInt64>
        package var tags: [UInt64]

        package init(tokens: ClosedRange<UInt64>, tags: [UInt64]) {
            self.tokens = tokens
            self.tags = tags
        }
    }

    package var subject: ExchangeSubject
    package var segments: [Segment]

    package init(subject: ExchangeSubject, segments: [Segment]) {
        self.subject = subject
        self.segments = segments
    }
}

package struct KeyedRecord: Hashable, Sendable {
    package var key: Blob
    package var record: Blob

    package init(key: Blob, record: Blob) {
        self.key = key
        self.record = record
    }
}

package struct ExchangeAnswer: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// To an opening, or to a descent whose nodes have come to be equal.
        case equal
        /// The answer comes when so many leaves have been rescanned.
        case preparing(leavesLeft: Int)
        /// Those of the compared nodes that differ, with their children. `level` is theirs.
        case differing(level: Int, [NodeSums])
        case differences(ExchangeDifferences)
        case refused(ReplicaRefusal)
    }

    package var request: UInt64
    package var outcome: Outcome

    package init(request: UInt64, outcome: Outcome) {
        self.request = request
        self.outcome = outcome
    }
}

/// The answer to a listing.
package struct ExchangeDifferences: Hashable, Sendable {
    /// Where the answerer has stopped: the segment, and the first token that isn't answered.
    package struct Next: Hashable, Sendable {
        package var segment: Int
        package var token: UInt64

        package init(segment: Int, token: UInt64) {
            self.segment = segment
            self.token = token
        }
    }

    /// What the asker hasn't listed.
    package var records: [KeyedRecord]
    /// By segment: the places of the listed tags that the answerer lacks. Of the segment that it stopped in,
    /// those behind `next` mean nothing.
    package var missing: [[Int]]
    package var next: Next?

    package init(records: [KeyedRecord], missing: [[Int]], next: Next?) {
        self.records = records
        self.missing = missing
        self.next = next
    }
}

/// Merges many records at once, answered by `mergeAnswer` when all are durable.
package struct MergeManyRequest: Hashable, Sendable {
    package var request: UInt64
    package var keyspace: UInt32
    /// Of the common slots, as in an exchange.
    package var placement: UInt64
    package var records: [KeyedRecord]

    package init(request: UInt64, keyspace: UInt32, placement: UInt64, records: [KeyedRecord]) {
        self.request = request
        self.keyspace = keyspace
        self.placement = placement
        self.records = records
    }
}

// MARK: Codec
extension ExchangeSubject {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        writer.u32(keyspace)
        writer.u64(placement)
        abridgement.write(to: &writer)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        keyspace = try reader.u32()
        placement = try reader.u64()
        abridgement = try Abridgement(from: &reader)
    }
}

extension NodeSums {
    static func write(_ list: [NodeSums], _ abridgement: Abridgement, to writer: inout ByteWriter) {
        writer.varint(UInt64(list.count))
        var last: UInt32 = 0
        for sums in list {
            writer.varint(UInt64(sums.node - last))
            last = sums.node
            for child in sums.children { abridgement.write(child, to: &writer) }
        }
    }

    /// Ascending nodes of one level, each with all its children.
    static func list(
        level: Int, _ abridgement: Abridgement, from reader: inout ByteReader
    ) throws(WireError) -> [NodeSums] {
        let nodesMax = MerkleTree.nodes(of: level)
        let count = try reader.count(max: nodesMax, "nodes")
        guard reader.remaining >= count * MerkleTree.fanOut * abridgement.byteCount else { throw .truncated }
        var list: [NodeSums] = []
        list.reserveCapacity(count)
        var last = -1
        for _ in 0..<count {
            let step = try reader.count(max: nodesMax - 1, "node")
            let node = max(0, last) + step
            guard node > last, node < nodesMax else { throw .invalid("node order") }
            last = node
            var children: [UInt64] = []
            children.reserveCapacity(MerkleTree.fanOut)
            for _ in 0..<MerkleTree.fanOut { children.append(try abridgement.read(from: &reader)) }
            list.append(NodeSums(node: UInt32(node), children: children))
        }
        return list
    }

    static func level(from reader: inout ByteReader) throws(WireError) -> Int {
        let level = Int(try reader.u8())
        guard level < MerkleTree.leafLevel else { throw .invalid("level") }
        return level
    }
}

extension ExchangeOpening {
    func write(to writer: inout ByteWriter) {
        subject.write(to: &writer)
        writer.u64(root)
        for child in children { subject.abridgement.write(child, to: &writer) }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        subject = try ExchangeSubject(from: &reader)
        root = try reader.u64()
        children = []
        for _ in 0..<MerkleTree.rootChildren { children.append(try subject.abridgement.read(from: &reader)) }
    }
}

extension ExchangeDescent {
    func write(to writer: inout ByteWriter) {
        subject.write(to: &writer)
        writer.u8(UInt8(level))
        NodeSums.write(nodes, subject.abridgement, to: &writer)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        subject = try ExchangeSubject(from: &reader)
        level = try NodeSums.level(from: &reader)
        nodes = try NodeSums.list(level: level, subject.abridgement, from: &reader)
    }
}

extension ExchangeListing.Segment {
    package var leaves: ClosedRange<UInt32> { MerkleTree.leaves(of: tokens) }
}

extension ExchangeListing {
    private static let beginsInside: UInt8 = 1
    private static let endsInside: UInt8 = 2

    func write(to writer: inout ByteWriter) {
        subject.write(to: &writer)
        writer.varint(UInt64(segments.count))
        var last: UInt64 = 0
        for segment in segments {
            let leaves = segment.leaves
            let bounds = MerkleTree.tokens(of: leaves)
            writer.varint(UInt64(leaves.lowerBound) - last)
            writer.varint(UInt64(leaves.count - 1))
            last = UInt64(leaves.upperBound)
            let begins = segment.tokens.lowerBound > bounds.lowerBound
            let ends = segment.tokens.upperBound < bounds.upperBound
            writer.u8((begins ? Self.beginsInside : 0) | (ends ? Self.endsInside : 0))
            if begins { writer.u64(segment.tokens.lowerBound) }
            if ends { writer.u64(segment.tokens.upperBound) }
            writer.varint(UInt64(segment.tags.count))
            for tag in segment.tags { subject.abridgement.write(tag, to: &writer) }
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        subject = try ExchangeSubject(from: &reader)
        let abridgement = subject.abridgement
        let count = try reader.count(max: Limits.exchangeSegmentsMax, "segments")
        segments = []
        segments.reserveCapacity(count)
        var tagsLeft = Limits.exchangeItemsMax
        var leaf = 0
        for _ in 0..<count {
            let begin = leaf + (try reader.count(max: MerkleTree.leavesMax - 1, "leaf"))
            leaf = begin + (try reader.count(max: MerkleTree.leavesMax - 1, "leaf"))
            guard leaf < MerkleTree.leavesMax else { throw .invalid("leaf") }
            let bounds = MerkleTree.tokens(of: UInt32(begin)...UInt32(leaf))
            let flags = try reader.u8()
            guard flags & ~(Self.beginsInside | Self.endsInside) == 0 else { throw .invalid("segment") }
            let first = flags & Self.beginsInside != 0 ? try reader.u64() : bounds.lowerBound
            let last = flags & Self.endsInside != 0 ? try reader.u64() : bounds.upperBound
            // Each segment has one spelling.
            guard (first > bounds.lowerBound) == (flags & Self.beginsInside != 0),
                (last < bounds.upperBound) == (flags & Self.endsInside != 0)
            else { throw .invalid("segment") }
            guard first <= last, MerkleTree.leaves(of: first...last) == UInt32(begin)...UInt32(leaf),
                segments.last.map({ $0.tokens.upperBound < first }) ?? true
            else { throw .invalid("segment") }
            let tagCount = try reader.count(max: tagsLeft, "tags")
            guard reader.remaining >= tagCount * abridgement.byteCount else { throw .truncated }
            tagsLeft -= tagCount
            var tags: [UInt64] = []
            tags.reserveCapacity(tagCount)
            for _ in 0..<tagCount { tags.append(try abridgement.read(from: &reader)) }
            segments.append(Segment(tokens: first...last, tags: tags))
        }
    }
}

extension ExchangeAnswer {
    /// The abridgement of sums is the question's: both sides know it, but a frame is read by itself.
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        switch outcome {
        case .equal: writer.u8(0)
        case .preparing(let left):
            writer.u8(1)
            writer.varint(UInt64(left))
        case .differing(let level, let nodes):
            let isShort = Self.isShort(nodes)
            let abridgement = isShort ? Abridgement(salt: 0) : .full
            writer.u8(isShort ? 2 : 3)
            writer.u8(UInt8(level))
            NodeSums.write(nodes, abridgement, to: &writer)
        case .differences(let differences):
            writer.u8(4)
            differences.write(to: &writer)
        case .refused(let refusal):
            writer.u8(5)
            writer.u8(refusal.rawValue)
        }
    }

    private static func isShort(_ nodes: [NodeSums]) -> Bool {
        nodes.allSatisfy { $0.children.allSatisfy { $0 >> (8 * UInt64(Abridgement.shortBytes)) == 0 } }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        let kind = try reader.u8()
        switch kind {
        case 0: outcome = .equal
        case 1: outcome = .preparing(leavesLeft: try reader.count(max: MerkleTree.leavesMax, "leaves"))
        case 2, 3:
            let level = try NodeSums.level(from: &reader)
            let abridgement = kind == 2 ? Abridgement(salt: 0) : .full
            let nodes = try NodeSums.list(level: level, abridgement, from: &reader)
            guard kind == 2 || !Self.isShort(nodes) else { throw .invalid("sums") }
            outcome = .differing(level: level, nodes)
        case 4: outcome = .differences(try ExchangeDifferences(from: &reader))
        case 5: outcome = .refused(try ReplicaRefusal(from: &reader))
        default: throw .invalid("exchange answer")
        }
    }
}

extension ExchangeDifferences {
    func write(to writer: inout ByteWriter) {
        KeyedRecord.write(records, to: &writer)
        writer.varint(UInt64(missing.count))
        for places in missing {
            writer.varint(UInt64(places.count))
            var last = 0
            for place in places {
                writer.varint(UInt64(place - last))
                last = place
            }
        }
        writer.u8(next == nil ? 0 : 1)
        if let next {
            writer.varint(UInt64(next.segment))
            writer.u64(next.token)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        records = try KeyedRecord.list(from: &reader)
        let count = try reader.count(max: Limits.exchangeSegmentsMax, "segments")
        missing = []
        missing.reserveCapacity(count)
        var placesLeft = Limits.exchangeItemsMax
        for _ in 0..<count {
            let placeCount = try reader.count(max: placesLeft, "places")
            guard reader.remaining >= placeCount else { throw .truncated }
            placesLeft -= placeCount
            var places: [Int] = []
            places.reserveCapacity(placeCount)
            for _ in 0..<placeCount {
                let step = try reader.count(max: Limits.exchangeItemsMax, "place")
                guard places.isEmpty || step > 0 else { throw .invalid("place order") }
                places.append((places.last ?? 0) + step)
            }
            missing.append(places)
        }
        guard try reader.bool("next") else {
            next = nil
            return
        }
        let segment = try reader.count(max: Limits.exchangeSegmentsMax, "segment")
        next = Next(segment: segment, token: try reader.u64())
    }
}

extension KeyedRecord {
    static func write(_ list: [KeyedRecord], to writer: inout ByteWriter) {
        writer.varint(UInt64(list.count))
        for pair in list {
            writer.blob(pair.key)
            writer.blob(pair.record)
        }
    }

    static func list(from reader: inout ByteReader) throws(WireError) -> [KeyedRecord] {
        let count = try reader.count(max: Limits.exchangeItemsMax, "records")
        guard reader.remaining >= 2 * count else { throw .truncated }
        var list: [KeyedRecord] = []
        for _ in 0..<count {
            let key = try reader.blob(max: Limits.keyBytesMax, "key")
            let record = try reader.blob(max: Limits.valueBytesMax + Limits.recordOverheadMax, "record")
            try Record.validate(record.span)
            list.append(KeyedRecord(key: key, record: record))
        }
        return list
    }
}

extension MergeManyRequest {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        writer.u32(keyspace)
        writer.u64(placement)
        KeyedRecord.write(records, to: &writer)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        keyspace = try reader.u32()
        placement = try reader.u64()
        records = try KeyedRecord.list(from: &reader)
    }
}
