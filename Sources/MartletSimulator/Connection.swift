import MartletBase
import MartletNode

/// Names a connection for as long as it lives.
struct ConnectionID: Hashable {
    let index: UInt32
    let generation: UInt32
}

/// One end of a connection.
enum End: Int {
    case dialler = 0
    case acceptor = 1

    var other: End { self == .dialler ? .acceptor : .dialler }
}

/// A TCP connection between two processes, seen from above: each direction delivers in order, late, or not at
/// all, and each end learns of its death in its own time.
struct Connection {
    enum State {
        /// The dial is under way.
        case dialling
        /// Bytes flow; the other side's hello hasn't been accepted.
        case greeting
        case talking
        case closed
    }

    struct Side {
        let process: Int
        let life: UInt32
        /// Who dialled; nil at the other side.
        let dialler: Dialler?
        var state: State
        /// Who the other side said it is.
        var remote: NodeID?
        /// Bytes that came and are no whole frame yet.
        var received: [UInt8] = []
        /// When the last of what this side has sent arrives: what is sent later can't arrive sooner.
        var lastArrival = Instant.zero
        /// Sent and not arrived.
        var bytesInFlight = 0
        /// What arrived at a block in the way, in order. TCP sends it again when the way is open.
        var held: [[UInt8]] = []
        /// Whether it waits for a timeout, because nothing of what it sent is acknowledged.
        var isStuck = false
        /// Whether what it sent is about to be sent again.
        var isResending = false
    }

    let generation: UInt32
    var dialler: Side
    var acceptor: Side

    subscript(end: End) -> Side {
        @inline(__always) get { end == .dialler ? dialler : acceptor }
        @inline(__always) _modify {
            if end == .dialler { yield &dialler } else { yield &acceptor }
        }
    }
}

/// The connections there are; places are reused, names aren't.
struct ConnectionTable {
    private var slots: ContiguousArray<Connection?> = []
    private var free: [Int] = []
    private var generation: UInt32 = 0

    mutating func insert(dialler: Connection.Side, acceptor: Connection.Side) -> ConnectionID {
        generation += 1
        let connection = Connection(generation: generation, dialler: dialler, acceptor: acceptor)
        if let index = free.popLast() {
            slots[index] = connection
            return ConnectionID(index: UInt32(index), generation: generation)
        }
        slots.append(connection)
        return ConnectionID(index: UInt32(slots.count - 1), generation: generation)
    }

    func contains(_ id: ConnectionID) -> Bool {
        Int(id.index) < slots.count && slots[Int(id.index)]?.generation == id.generation
    }

    subscript(id: ConnectionID) -> Connection {
        @inline(__always) _read { yield slots[Int(id.index)]! }
        @inline(__always) _modify { yield &slots[Int(id.index)]! }
    }

    mutating func remove(_ id: ConnectionID) {
        slots[Int(id.index)] = nil
        free.append(Int(id.index))
    }

    /// All there are, in the order of their places.
    var all: [ConnectionID] {
        slots.indices.compactMap { index in
            slots[index].map { ConnectionID(index: UInt32(index), generation: $0.generation) }
        }
    }

    // A link is one end of a connection, as the node of that end calls it.

    static func link(_ id: ConnectionID, _ end: End) -> LinkID {
        LinkID(UInt64(id.generation) << 24 | UInt64(id.index) << 1 | UInt64(end.rawValue))
    }

    static func end(of link: LinkID) -> (ConnectionID, End) {
        let id = ConnectionID(
            index: UInt32(link.number >> 1 & 0x7F_FFFF),
            generation: UInt32(truncatingIfNeeded: link.number >> 24))
        return (id, link.number & 1 == 0 ? .dialler : .acceptor)
    }
}
