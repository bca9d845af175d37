import MartletBase
import MartletVersions

extension Message {
    package var kind: Kind {
        switch self {
        case .hello: .hello
        case .farewell: .farewell
        case .merge: .merge
        case .mergeAnswer: .mergeAnswer
        case .read: .read
        case .readAnswer: .readAnswer
        case .scan: .scan
        case .scanAnswer: .scanAnswer
        case .hint: .hint
        case .exchangeOpening: .exchangeOpening
        case .exchangeDescent: .exchangeDescent
        case .exchangeListing: .exchangeListing
        case .exchangeAnswer: .exchangeAnswer
        case .mergeMany: .mergeMany
        case .view: .view
        case .purge: .purge
        case .purgeAnswer: .purgeAnswer
        case .floor: .floor
        case .viewWanted: .viewWanted
        case .gossip: .gossip
        case .define: .define
        case .put: .put
        case .putAnswer: .putAnswer
        case .join: .join
        case .joinAnswer: .joinAnswer
        case .vote: .vote
        case .voteAnswer: .voteAnswer
        case .entry: .entry
        }
    }

    /// The body without its kind byte.
    package func write(to writer: inout ByteWriter) {
        switch self {
        case .hello(let hello): hello.write(to: &writer)
        case .farewell(let farewell): farewell.write(to: &writer)
        case .merge(let merge): merge.write(to: &writer)
        case .mergeAnswer(let answer): answer.write(to: &writer)
        case .read(let read): read.write(to: &writer)
        case .readAnswer(let answer): answer.write(to: &writer)
        case .scan(let scan): scan.write(to: &writer)
        case .scanAnswer(let answer): answer.write(to: &writer)
        case .hint(let hint): hint.write(to: &writer)
        case .exchangeOpening(let opening): opening.write(to: &writer)
        case .exchangeDescent(let descent): descent.write(to: &writer)
        case .exchangeListing(let listing): listing.write(to: &writer)
        case .exchangeAnswer(let answer): answer.write(to: &writer)
        case .mergeMany(let request): request.write(to: &writer)
        case .view(let view): view.write(to: &writer)
        case .purge(let request): request.write(to: &writer)
        case .purgeAnswer(let answer): answer.write(to: &writer)
        case .floor(let news): news.write(to: &writer)
        case .viewWanted: break
        case .gossip(let payload): writer.raw(payload)
        case .define(let request): request.write(to: &writer)
        case .put(let request): request.write(to: &writer)
        case .putAnswer(let answer): answer.write(to: &writer)
        case .join(let request): request.write(to: &writer)
        case .joinAnswer(let answer): answer.write(to: &writer)
        case .vote(let request): request.write(to: &writer)
        case .voteAnswer(let answer): answer.write(to: &writer)
        case .entry(let entry): writer.blob(entry)
        }
    }

    /// Decodes a body; what must outlive the frame is copied, once.
    package init(kind: Kind, from body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        switch kind {
        case .hello: self = .hello(try Hello(from: &reader))
        case .farewell: self = .farewell(try Farewell(from: &reader))
        case .merge: self = .merge(try MergeRequest(from: &reader))
        case .mergeAnswer: self = .mergeAnswer(try MergeAnswer(from: &reader))
        case .read: self = .read(try ReadRequest(from: &reader))
        case .readAnswer: self = .readAnswer(try ReadAnswer(from: &reader))
        case .scan: self = .scan(try ScanRequest(from: &reader))
        case .scanAnswer: self = .scanAnswer(try ScanAnswer(from: &reader))
        case .hint: self = .hint(try HintRequest(from: &reader))
        case .exchangeOpening: self = .exchangeOpening(try ExchangeOpening(from: &reader))
        case .exchangeDescent: self = .exchangeDescent(try ExchangeDescent(from: &reader))
        case .exchangeListing: self = .exchangeListing(try ExchangeListing(from: &reader))
        case .exchangeAnswer: self = .exchangeAnswer(try ExchangeAnswer(from: &reader))
        case .mergeMany: self = .mergeMany(try MergeManyRequest(from: &reader))
        case .view: self = .view(try View(from: &reader))
        case .define: self = .define(try DefineRequest(from: &reader))
        case .purge: self = .purge(try PurgeRequest(from: &reader))
        case .purgeAnswer: self = .purgeAnswer(try PurgeAnswer(from: &reader))
        case .floor: self = .floor(try FloorNews(from: &reader))
        case .viewWanted: self = .viewWanted
        case .put: self = .put(try PutRequest(from: &reader))
        case .putAnswer: self = .putAnswer(try PutAnswer(from: &reader))
        case .join: self = .join(try JoinRequest(from: &reader))
        case .joinAnswer: self = .joinAnswer(try JoinAnswer(from: &reader))
        case .vote: self = .vote(try VoteRequest(from: &reader))
        case .voteAnswer: self = .voteAnswer(try VoteAnswer(from: &reader))
        case .entry: self = .entry(try reader.blob(max: View.itemBytesMax, "ring entry"))
        case .gossip: self = .gossip(Blob(copying: try reader.take(reader.remaining)))
        }
        try reader.expectEnd()
    }
}

extension MergeRequest {
    func write(to writer: inout ByteWriter) {
        writer.fixed(21) {
            $0.u64(request)
            $0.u64(placement)
            $0.u32(keyspace)
            $0.u8(isFresh ? 1 : 0)
        }
        writer.blob(key)
        writer.raw(record)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        placement = try reader.u64()
        keyspace = try reader.u32()
        isFresh = try reader.bool("fresh")
        key = try reader.blob(max: Limits.keyBytesMax, "key")
        guard reader.remaining <= Limits.recordBytesMax else {
            throw .tooLong(what: "record", count: reader.remaining, max: Limits.recordBytesMax)
        }
        record = Blob(copying: try reader.take(reader.remaining))
        try Record.validate(record.span)
    }
}

extension MergeAnswer {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        switch outcome {
        case .merged: writer.u8(0)
        case .dominated(let stamp):
            writer.u8(1)
            stamp.write(to: &writer)
        case .refused(let refusal):
            writer.u8(2)
            writer.u8(refusal.rawValue)
        case .closed(let time):
            writer.u8(3)
            writer.u64(time.bits)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        switch try reader.u8() {
        case 0: outcome = .merged
        case 1: outcome = .dominated(try Stamp(from: &reader))
        case 2: outcome = .refused(try ReplicaRefusal(from: &reader))
        case 3: outcome = .closed(try HybridTime(floorFrom: &reader))
        default: throw .invalid("merge answer")
        }
    }
}

extension ReadRequest {
    func write(to writer: inout ByteWriter) {
        writer.fixed(21) {
            $0.u64(request)
            $0.u64(placement)
            $0.u32(keyspace)
            $0.u8(wantsDigest ? 1 : 0)
        }
        writer.blob(key)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        placement = try reader.u64()
        keyspace = try reader.u32()
        wantsDigest = try reader.bool("digest")
        key = try reader.blob(max: Limits.keyBytesMax, "key")
    }
}

extension ReadAnswer {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        switch outcome {
        case .record(nil): writer.u8(0)
        case .record(.some(let record)):
            writer.u8(1)
            writer.raw(record)
        case .digest(let digest):
            writer.u8(2)
            writer.u64(digest)
        case .refused(let refusal):
            writer.u8(3)
            writer.u8(refusal.rawValue)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        switch try reader.u8() {
        case 0: outcome = .record(nil)
        case 1:
            let record = Blob(copying: try reader.take(reader.remaining))
            try Record.validate(record.span)
            outcome = .record(record)
        case 2: outcome = .digest(try reader.u64())
        case 3: outcome = .refused(try ReplicaRefusal(from: &reader))
        default: throw .invalid("read answer")
        }
    }
}

extension View {
    /// An encoded ring entry or keyspace definition.
    static let itemBytesMax = 4_096

    func write(to writer: inout ByteWriter) {
        for list in [entries, keyspaces] {
            writer.varint(UInt64(list.count))
            for item in list { writer.blob(item) }
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        func list(max: Int, _ what: StaticName, _ reader: inout ByteReader) throws(WireError) -> [Blob] {
            let count = try reader.count(max: max, what)
            var items: [Blob] = []
            for _ in 0..<count { items.append(try reader.blob(max: Self.itemBytesMax, what)) }
            return items
        }
        entries = try list(max: Limits.viewEntriesMax, "ring entries", &reader)
        keyspaces = try list(max: Limits.definitionsMax, "keyspaces", &reader)
    }
}

extension ReplicaRefusal {
    init(from reader: inout ByteReader) throws(WireError) {
        guard let refusal = ReplicaRefusal(rawValue: try reader.u8()) else { throw .invalid("refusal") }
        self = refusal
    }
}
