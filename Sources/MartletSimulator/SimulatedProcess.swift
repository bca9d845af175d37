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

    let index: Int
    let name: String
    /// Of its first data folder, and of every later one once it belongs to the ring.
    let id: NodeID
    /// Of the folder that it runs on.
    var folderID: NodeID
    let address: Address
    let zone: String
    let dataCenter: String
    /// As its file has it now.
    var fileZone: String

    var clock: SimulatedClock
    var disk: SimulatedDisk
    /// Nil while the disk holds what it should.
    var loss: DiskLoss?
    /// Whether it ever lost anything.
    private(set) var hasLost = false
    /// By key index: what disks held that are lost.
    private var formerVersions: [HeldVersion] = []
    var node: Node?
    var effects = EffectBuffer()
    var state = State.down
    /// Counts the starts; what was scheduled for an earlier life doesn't happen.
    var life: UInt32 = 0

    /// Looked up and never iterated.
    var diallers: [Address: Dialler] = [:]
    var diallerOfPeer: [Dialler?] = []
    /// What happened to it while it was paused.
    var backlog: [Occurrence] = []
    var datagramsPutOff = 0
    static let datagramsPutOffMax = 256
    /// What the effects of an event gave rise to at once: handled in the same turn, after it.
    var events: [Event] = []
    var handled = 0

    /// On the monotonic clock, what the node wants; and, in the simulation's time, the soonest wake that is
    /// scheduled.
    var wakeWanted = Instant.distantFuture
    var wakeScheduled = Instant.distantFuture

    // Its place in the cluster.
    /// Whether it was to be a node at some time: a founder, or added since.
    var isInvited = true
    /// When it was last told to erase what it doesn't own any more.
    var erasedAt = Instant.zero
    /// It has left, for good.
    var isGone = false
    /// Its machine is dead, and an operator has given it up.
    var isForsaken = false
    /// How often an operator has told a node that it is dead, and hasn't heard that this was refused.
    var removalsAsked = 0
    /// An operator has heard that the others can't do without it, as they are now.
    var isNeeded = false
    /// Another was once to take its place.
    var wasReplaced = false
    /// Whose place it is to take.
    var replaces: NodeID?
    /// The folder of the dead machine, with which it may come back when others have gone on without it.
    var attic: SimulatedDisk?
    var isPresent: Bool { isInvited && !isGone && !isForsaken }

    // What the checkers follow.
    /// By key, by its own ring; and by the rings before, the latest first. Empty until it has one.
    var owners: [KeyOwners] = []
    var ownersBefore: [[KeyOwners]] = []
    /// When these were others last: who has acknowledged a write may have been one of them.
    var turnedAt = Instant.zero
    var isFormed = false
    /// How often it has raised purge floors, as far as that was looked at.
    var floorsSeen: UInt64 = 0
    var resumedAt = Instant.zero
    /// Since when it is what it is: running, paused or down.
    var wellSince = Instant.zero
    /// Whether the machine is off, and so doesn't even refuse connections.
    var isPoweredOff = false

    init(
        index: Int, name: String, id: NodeID, address: Address, zone: String, dataCenter: String,
        clock: SimulatedClock,
        disk: SimulatedDisk
    ) {
        self.index = index
        self.name = name
        self.id = id
        folderID = id
        self.address = address
        self.zone = zone
        fileZone = zone
        self.dataCenter = dataCenter
        self.clock = clock
        self.disk = disk
    }

    /// Before the disk is replaced, or what it holds of slots that are others' now is erased: that may
    /// include what was written in the same turn, and is acknowledged when both are durable.
    func keepFormerVersions(isLoss: Bool) {
        hasLost = hasLost || isLoss
        for (key, version) in (isLoss ? disk.durable : disk.held).enumerated() {
            while formerVersions.count <= key { formerVersions.append(.none) }
            formerVersions[key] = max(formerVersions[key], version)
        }
    }

    /// What the disk is sure to hold under a key, or held before it was lost: for what was begun before that.
    func everDurableVersion(_ key: Int) -> HeldVersion {
        let now = disk.durableVersion(key)
        return key < formerVersions.count ? max(now, formerVersions[key]) : now
    }

    var isAlive: Bool { state != .down }

    func forget(_ dialler: Dialler) {
        if diallers[dialler.address] === dialler { diallers[dialler.address] = nil }
    }
}

/// An address that a process dials: a peer's, or one whose node isn't known yet. It keeps one connection to
/// it.
final class Dialler {
    let address: Address
    var peer: PeerIndex?
    var expected: NodeID?
    var connection: ConnectionID?
    /// Whether the hello was accepted.
    var isUp = false
    var failures = 0
    /// Frames that wait for that.
    var waiting: [[UInt8]] = []
    var lastUsed: Instant

    static let redialMin = Interval.milliseconds(20)
    static let redialMax = Interval.seconds(1)
    static let waitingMax = 4_096
    /// A connection to an address whose node never became a peer is closed after this.
    static let strangerIdleMax = Interval.seconds(30)

    init(_ address: Address, now: Instant) {
        self.address = address
        lastUsed = now
    }
}
