import MartletBase
import MartletVersions

/// Asks a node for one step on the way to a purge floor. Asked again, it is answered again: steps only raise
/// marks.
package struct PurgeRequest: Hashable, Sendable {
    package enum Step: UInt8, Hashable, Sendable {
        case promise = 1
        case close = 2
        case prove = 3
    }

    /// The storage epoch under which an owner has closed.
    package struct Closed: Hashable, Sendable {
        package var id: NodeID
        package var epoch: UInt64

        package init(id: NodeID, epoch: UInt64) {
            self.id = id
            self.epoch = epoch
        }
    }

    /// The asking node's number of the round.
    package var round: UInt64
    package var step: Step
    package var keyspace: UInt32
    /// The digest of the ring and the keyspace's definition, as the asking node has them.
    package var ring: UInt64
    /// What the floor is to be.
    package var floor: HybridTime
    /// The slots it is for: those of the asking node's own.
    package var spans: [SlotSpan]
    /// Of a proof: every owner.
    package var closed: [Closed]

    package init(
        round: UInt64, step: Step, keyspace: UInt32, ring: UInt64, floor: HybridTime, spans: [SlotSpan],
        closed: [Closed]
    ) {
        self.round = round
        self.step = step
        self.keyspace = keyspace
        self.ring = ring
        self.floor = floor
        self.spans = spans
        self.closed = closed
    }

    func write(to writer: inout ByteWriter) {
        writer.u64(round)
        writer.u8(step.rawValue)
        writer.u32(keyspace)
        writer.u64(ring)
        writer.u64(floor.bits)
        writer.varint(UInt64(spans.count))
        for span in spans { span.write(to: &writer) }
        writer.varint(UInt64(closed.count))
        for owner in closed {
            owner.id.write(to: &writer)
            writer.u64(owner.epoch)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        round = try reader.u64()
        guard let step = Step(rawValue: try reader.u8()) else { throw .invalid("purge step") }
        self.step = step
        keyspace = try reader.u32()
        ring = try reader.u64()
        floor = try HybridTime(floorFrom: &reader)
        spans = try SlotSpan.list(from: &reader)
        closed = []
        for _ in 0..<(try reader.count(max: Limits.nodesMax, "owners")) {
            let id = try NodeID(from: &reader)
            closed.append(Closed(id: id, epoch: try reader.u64()))
        }
    }
}

package struct PurgeAnswer: Hashable, Sendable {
    /// Why a step isn't done, or not yet. Shown by `martlet status`.
    package enum Obstacle: UInt8, Hashable, Sendable {
        /// Not answered at all. Never on the wire.
        case silent = 0
        /// It holds another view of the ring or of the keyspace.
        case ring = 1
        /// It keeps a hint of that age.
        case hints = 2
        /// It has a put of that age under way.
        case puts = 3
        /// Its clock is behind the floor.
        case clock = 4
        /// It is being rebuilt from the others.
        case rebuilding = 5
        /// It has not exchanged with every other owner since all have closed.
        case exchange = 6
        /// An owner's storage epoch has changed since it closed: the round begins anew.
        case epoch = 7
        /// Its storage refuses writes, or its ring forms, or it is stopping.
        case notServing = 8

        /// As `status` and the log say it.
        package var text: StaticName {
            switch self {
            case .silent: "silent"
            case .ring: "ring"
            case .hints: "hints"
            case .puts: "puts"
            case .clock: "clock"
            case .rebuilding: "rebuilding"
            case .exchange: "exchange"
            case .epoch: "epoch"
            case .notServing: "not_serving"
            }
        }
    }

    package enum Outcome: Hashable, Sendable {
        /// Durably, under this storage epoch of the answering node.
        case done(epoch: UInt64)
        case hindered(Obstacle)
    }

    package var round: UInt64
    package var step: PurgeRequest.Step
    package var outcome: Outcome

    package init(round: UInt64, step: PurgeRequest.Step, outcome: Outcome) {
        self.round = round
        self.step = step
        self.outcome = outcome
    }

    func write(to writer: inout ByteWriter) {
        writer.u64(round)
        writer.u8(step.rawValue)
        switch outcome {
        case .done(let epoch):
            writer.u8(0)
            writer.u64(epoch)
        case .hindered(let obstacle): writer.u8(obstacle.rawValue)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        round = try reader.u64()
        guard let step = PurgeRequest.Step(rawValue: try reader.u8()) else { throw .invalid("purge step") }
        self.step = step
        let code = try reader.u8()
        if code == 0 {
            outcome = .done(epoch: try reader.u64())
        } else {
            guard let obstacle = Obstacle(rawValue: code) else { throw .invalid("purge obstacle") }
            outcome = .hindered(obstacle)
        }
    }
}

/// The purge floors of some slots are at least this. Only what a whole round has reached is told.
package struct FloorNews: Hashable, Sendable {
    package var keyspace: UInt32
    package var floor: HybridTime
    package var spans: [SlotSpan]

    package init(keyspace: UInt32, floor: HybridTime, spans: [SlotSpan]) {
        self.keyspace = keyspace
        self.floor = floor
        self.spans = spans
    }

    func write(to writer: inout ByteWriter) {
        writer.u32(keyspace)
        writer.u64(floor.bits)
        writer.varint(UInt64(spans.count))
        for span in spans { span.write(to: &writer) }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        keyspace = try reader.u32()
        floor = try HybridTime(floorFrom: &reader)
        spans = try SlotSpan.list(from: &reader)
    }
}

extension SlotSpan {
    /// A list of spans, none of them empty.
    static func list(from reader: inout ByteReader) throws(WireError) -> [SlotSpan] {
        var spans: [SlotSpan] = []
        for _ in 0..<(try reader.count(max: Limits.slots, "spans of slots")) {
            spans.append(try SlotSpan(from: &reader))
        }
        return spans
    }
}

extension HybridTime {
    init(floorFrom reader: inout ByteReader) throws(WireError) {
        self.init(bits: try reader.u64())
        guard self <= .latest else { throw .invalid("purge floor") }
    }
}
