import MartletBase
import MartletNode

/// What can go wrong in a run. A seed enables some of them (swarm testing: Groce and others, 2012): a run
/// with few kinds of faults gets deeper than one in which everything happens at once.
package enum FaultKind: String, CaseIterable, Sendable {
    // All through the fault phase.
    case datagramLoss, datagramDuplication, datagramReordering, datagramCorruption
    /// Bits flip within frames: a connection's checksum must notice.
    case frameCorruption
    case slowNetwork
    /// Segments are lost: everything behind them on the connection waits.
    case segmentLoss
    case connectionReset
    case slowDisk, coldReads
    case clockSkew, clockDrift

    // From time to time.
    case partition, oneWayPartition
    /// kill -9, then a start with the same folder.
    case crash
    /// Several machines at once lose what was not synced, and their peers hear nothing of it.
    case powerCut
    /// SIGSTOP, then SIGCONT.
    case pause
    case gracefulRestart
    /// The wall clock goes ahead or back, by up to an hour.
    case clockJump
    case diskStall, diskFull
    /// An fsync fails: the node must stop.
    case syncFailure
    /// A node is started with an empty folder in the place of its own: it must rebuild it.
    case wipedFolder
    /// A node is started with an old copy of its folder: it must rebuild it.
    case rolledBackFolder
    /// Many requests at once.
    case burst

    /// Whether it happens at instants of its own; the others are conditions that hold all through.
    var isEpisodic: Bool {
        switch self {
        case .datagramLoss, .datagramDuplication, .datagramReordering, .datagramCorruption, .frameCorruption,
            .slowNetwork, .segmentLoss, .connectionReset, .slowDisk, .coldReads, .clockSkew, .clockDrift:
            false
        case .partition, .oneWayPartition, .crash, .powerCut, .pause, .gracefulRestart, .clockJump,
            .diskStall,
            .diskFull, .syncFailure, .wipedFolder, .rolledBackFolder, .burst:
            true
        }
    }
}

extension PlantedBug {
    /// Whether it can only show while nodes come and go.
    var needsTurns: Bool {
        switch self {
        case .voteBeforeExchange, .trustTransfers, .countJoinerAlone, .eraseBeforeProof, .skipPlacementDigest,
            .reuseRemovedID, .alterAtOnce, .rezoneAtOnce:
            true
        default: false
        }
    }

    /// Whether it can only show while keyspaces get other replication factors.
    var needsAlterations: Bool { self == .alterAtOnce }

    /// Without which the bug can't show: every seed that it is planted in has them.
    var faultsNeeded: Set<FaultKind> {
        switch self {
        case .readWhileRebuilding, .finishAfterOneExchange: [.wipedFolder, .rolledBackFolder]
        case .ignoreHeardTime: [.rolledBackFolder]
        case .reuseStamps: [.crash, .clockJump]
        default: []
        }
    }
}
