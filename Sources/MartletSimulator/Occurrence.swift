import MartletBase
import MartletNode
import MartletStorage

/// What can be scheduled. Those that happen to a process name its life: the next life knows nothing of them.
enum Occurrence {
    // To processes: they wait while the process is paused.
    case wake(Int, life: UInt32)
    case client(Int, life: UInt32, operation: UInt64)
    case page(Int, life: UInt32, walk: UInt64)
    case datagram(Int, from: Int, Blob)
    case synced(Int, life: UInt32)
    case read(Int, life: UInt32, ColdRead)
    case worked(Int, life: UInt32, DiskWork)
    case stampsReserved(Int, life: UInt32, ceiling: UInt64)
    case redial(Int, life: UInt32, Dialler)
    case shutdown(Int, life: UInt32)

    // To ends of connections.
    case dialArrived(ConnectionID)
    case dialAnswered(ConnectionID)
    case dialFailed(ConnectionID)
    case bytes(ConnectionID, to: End, [UInt8])
    /// The way is open again: what was held is sent again.
    case resent(ConnectionID, to: End)
    case closed(ConnectionID, End)
    /// Nothing was acknowledged for too long.
    case stuck(ConnectionID, End)
    /// The hello took too long, or a stream has had its time.
    case impatient(ConnectionID)

    // To the world.
    case start(Int)
    case resume(Int, life: UInt32)
    /// A copy of a disk takes the disk's place.
    case restored(Int, SimulatedDisk)
    case arrival
    case walk
    case operate
    case reshape
    case alter
    case rezone
    /// An operator gives a dead node up.
    case giveUp(Int)
    case shop
    case shopAgain(CartRetry)
    case retry(operation: UInt64)
    case fault(FaultKind)
    case faultEnds(Disturbance, round: Int)
    case periodicSync(Int)
    case phase(Phase)
    case sample
}

/// A read that a worker does. It sees at least what was written when it was asked for; when it runs late,
/// more.
struct ColdRead {
    var ticket: ReadTicket
    var key: StorageKey
    var asAsked: Blob?
    var isLate: Bool
}

/// What a worker does: as the disk was when it was asked for, or as it is when that ends. A worker's view of
/// the disk is of some instant between.
struct DiskWork {
    enum What {
        case scan(from: Blob, until: Blob?, ScanLimit)
        case scanHints(from: Blob, until: Blob?, ScanLimit)
        case digest(DigestQuery)
        case collect([StorageKey], bytesMax: Int)
    }

    var ticket: ReadTicket
    var what: What
    var asAsked: StorageCompletion?
}

/// A fault that lasts for a while, and what must be undone at its end.
enum Disturbance {
    case partition([(from: Int, to: Int)])
    case refusal(Int)
    case clock(Int)
}

/// The parts of a run, one after the other.
package enum Phase: String, Sendable {
    /// The processes start; perhaps with faults already.
    case forming
    case faults
    /// All faults are over; the cluster comes to itself.
    case healing
    /// Clients go on, and nothing may fail any more.
    case calm
    /// Every key is read once more, then the whole state is checked.
    case sweeping
    case ended
}
