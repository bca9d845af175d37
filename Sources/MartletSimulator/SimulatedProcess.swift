import MartletBase
import MartletNode
import MartletStorage

/// One machine and the process of Martlet on it, with its node while it runs.
///
/// A class, because a `Node` can't be copied and an array can't hold what can't be copied.
final class SimulatedProcess {
    enum State {
        case down
        case running
        /// SIGSTOP: what happens to it waits.
        case paused
    }

    /// The one connection that a process keeps to a peer.
    struct Line {
        var id: NodeID
        var address: Address
        var connection: ConnectionID?
        var isUp = false
        /// Frames that wait for the connection.
        var queued: [[UInt8]] = []
        var queuedBytes = 0
        var backoff = Line.backoffMin

        static let backoffMin = Interval.milliseconds(50)
        static let backoffMax = Interval.seconds(1)
    }

    let index: Int
    let name: String
    /// Of its data folder.
    let id: NodeID
    let address: Address
    let zone: String
    let dataCenter: String

    var clock: SimulatedClock
    let disk: SimulatedDisk
    var node: Node?
    var effects = EffectBuffer()
    var state = State.down
    /// Counts the starts; what was scheduled for an earlier life doesn't happen.
    var life: UInt32 = 0
    /// Nil while it runs on its own folder; else what its start must end with.
    var intruder: Intruder?

    /// By peer index; nil until introduced.
    var lines: [Line?] = []
    /// Connections of its own for gossip to addresses.
    var streams: [(address: Address, connection: ConnectionID)] = []
    /// What happened to it while it was paused.
    var backlog: [Occurrence] = []
    /// Completions that the shell has at once, in the turn that asked for them.
    var completions: [StorageCompletion] = []
    /// Links that broke in the carrying out of a turn's effects.
    var brokenLines: [PeerIndex] = []

    /// On the monotonic clock, what the node wants; and, in the simulation's time, the soonest wake that is scheduled.
    var wakeWanted = Instant.distantFuture
    var wakeScheduled = Instant.distantFuture

    // What the checkers follow.
    var isFormed = false
    var startedAt = Instant.zero
    var pausedAt = Instant.zero
    /// Since when nothing has hindered it: it runs, and every way to and from it is open.
    var wellSince = Instant.zero
    /// By process: what this one's node says of that one's.
    var belief: [Belief] = []

    enum Belief {
        case unknown, up, suspect, down, left
    }

    /// A start that must be refused.
    struct Intruder {
        var fault: FaultKind
        /// The folder it runs on: not the machine's own when it was wiped.
        var id: NodeID
        var disk: SimulatedDisk
        var epoch: UInt64
    }

    init(
        index: Int, name: String, id: NodeID, address: Address, zone: String, dataCenter: String, clock: SimulatedClock,
        disk: SimulatedDisk
    ) {
        self.index = index
        self.name = name
        self.id = id
        self.address = address
        self.zone = zone
        self.dataCenter = dataCenter
        self.clock = clock
        self.disk = disk
    }

    /// The disk under the node that runs now.
    var activeDisk: SimulatedDisk { intruder?.disk ?? disk }
    var isAlive: Bool { state != .down }
}
