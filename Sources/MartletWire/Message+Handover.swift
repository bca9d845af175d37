import MartletBase

/// Asks a node of the ring to let the sender in: from a node that isn't in the ring.
package struct JoinRequest: Hashable, Sendable {
    /// The sender's ring entry, `joining`.
    package var entry: Blob

    package init(entry: Blob) { self.entry = entry }

    func write(to writer: inout ByteWriter) { writer.blob(entry) }

    init(from reader: inout ByteReader) throws(WireError) {
        entry = try reader.blob(max: View.itemBytesMax, "ring entry")
    }
}

package struct JoinAnswer: Hashable, Sendable {
    package enum Outcome: UInt8, Hashable, Sendable {
        /// The entry is in the ring, durably.
        case taken = 1
        /// The node can't answer for the ring now; another one may.
        case notServing = 2
        /// It has voted for a change that the entry would come before: ask again soon.
        case busy = 3
        /// Another node has the name.
        case nameTaken = 4
        /// The ring is full, or an id in it begins like the sender's.
        case noRoom = 5
        /// An operator has called the join off, or removed the node.
        case removed = 6
        /// The entry makes no sense.
        case invalid = 7
        /// The node whose place it wants has none, or another has it; or it doesn't want all of its tokens.
        case notReplaceable = 8
        /// The node whose place it wants is up.
        case replacedIsAlive = 9

        /// As the log says it.
        package var text: StaticName {
            switch self {
            case .taken: "taken"
            case .notServing: "not_serving"
            case .busy: "busy"
            case .nameTaken: "name_taken"
            case .noRoom: "no_room"
            case .removed: "removed"
            case .invalid: "invalid"
            case .notReplaceable: "not_replaceable"
            case .replacedIsAlive: "replaced_is_alive"
            }
        }
    }

    package var outcome: Outcome

    package init(outcome: Outcome) { self.outcome = outcome }

    func write(to writer: inout ByteWriter) { writer.u8(outcome.rawValue) }

    init(from reader: inout ByteReader) throws(WireError) {
        guard let outcome = Outcome(rawValue: try reader.u8()) else { throw .invalid("answer to a join") }
        self.outcome = outcome
    }
}

/// Asks for a vote: whether the change of the ring that is in hand may be completed. Or takes the sender's
/// back: asks to promise that the receiver completes nothing in this shape.
package struct VoteRequest: Hashable, Sendable {
    /// `Ring.shape`: the sender's.
    package var shape: UInt64
    /// Which keyspaces the sender knows, as a digest: who votes has exchanged each of them.
    package var keyspaces: UInt64
    package var isVoid: Bool

    package init(shape: UInt64, keyspaces: UInt64, isVoid: Bool = false) {
        self.shape = shape
        self.keyspaces = keyspaces
        self.isVoid = isVoid
    }

    func write(to writer: inout ByteWriter) {
        writer.u64(shape)
        writer.u64(keyspaces)
        writer.u8(isVoid ? 1 : 0)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        shape = try reader.u64()
        keyspaces = try reader.u64()
        isVoid = try reader.bool("vote")
    }
}

package struct VoteAnswer: Hashable, Sendable {
    /// Why a node doesn't vote yet. Shown by `martlet status`.
    package enum Obstacle: UInt8, Hashable, Sendable {
        /// Not answered at all. Never on the wire.
        case silent = 0
        /// It holds another view of the ring.
        case ring = 1
        /// It hasn't exchanged with all old owners of the slots that it gains.
        case exchange = 2
        /// It is being rebuilt from the others, or has just started.
        case rebuilding = 3
        /// It hasn't deleted yet what it held of slots that it doesn't own any more.
        case erasing = 4
        /// An act of an operator, or of a joining node, is on its way to its disk, or what others did.
        case act = 5
        /// Its ring forms, or it is stopping.
        case notServing = 6
        /// Another than the subject of the change asks, which must have voted first.
        case subject = 7
        /// A vote for this shape was taken back: an act is to come that gives the ring another one.
        case void = 8
        /// It knows other keyspaces than the node that asks: one of them has yet to hear of one.
        case keyspaces = 9
        /// It is to leave, and keeps hints that count: they may be the only copies of writes.
        case hints = 10

        /// As `status` and the log say it.
        package var text: StaticName {
            switch self {
            case .silent: "silent"
            case .ring: "ring"
            case .exchange: "exchange"
            case .rebuilding: "rebuilding"
            case .erasing: "erasing"
            case .act: "act"
            case .notServing: "not_serving"
            case .subject: "subject"
            case .void: "void"
            case .keyspaces: "keyspaces"
            case .hints: "hints"
            }
        }
    }

    package var shape: UInt64
    /// As it was asked for.
    package var isVoid: Bool
    /// Nil: it has voted, or promised, durably.
    package var obstacle: Obstacle?

    package init(shape: UInt64, isVoid: Bool = false, obstacle: Obstacle?) {
        self.shape = shape
        self.isVoid = isVoid
        self.obstacle = obstacle
    }

    func write(to writer: inout ByteWriter) {
        writer.u64(shape)
        writer.u8(isVoid ? 1 : 0)
        writer.u8(obstacle?.rawValue ?? 0)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        shape = try reader.u64()
        isVoid = try reader.bool("vote")
        let raw = try reader.u8()
        guard let obstacle = Obstacle(rawValue: raw) else { throw .invalid("answer to a vote") }
        self.obstacle = obstacle == .silent ? nil : obstacle
    }
}
