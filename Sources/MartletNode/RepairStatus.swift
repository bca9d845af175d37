import MartletBase

/// What a node's anti-entropy does: `MARTLET REPAIR`.
package struct RepairStatus: Sendable {
    package struct Running: Sendable {
        package var peer: String
        package var keyspace: String
        package var progress: ExchangeProgress
        package var took: Interval

        package init(peer: String, keyspace: String, progress: ExchangeProgress, took: Interval) {
            self.peer = peer
            self.keyspace = keyspace
            self.progress = progress
            self.took = took
        }

        /// What is left takes as long as what is done did, part for part.
        package var eta: Interval? {
            let (all, left) =
                progress.leavesDiffering > 0
                ? (progress.leavesDiffering, progress.leavesDiffering - progress.leavesDone)
                : (progress.leaves, progress.leavesLeft)
            guard left < all else { return nil }
            return .milliseconds(took.milliseconds * Int64(left) / Int64(all - left))
        }
    }

    /// Exchanges that were asked for and have not begun, and those that were asked for and have ended.
    package var waiting: Int
    package var askedComplete: UInt64
    package var askedFailed: UInt64
    /// By peer.
    package var running: [Running]

    package init(waiting: Int, askedComplete: UInt64, askedFailed: UInt64, running: [Running]) {
        self.waiting = waiting
        self.askedComplete = askedComplete
        self.askedFailed = askedFailed
        self.running = running
    }
}

extension Node {
    package func repairStatus() -> RepairStatus {
        let running = exchangeProgress().map { progress in
            RepairStatus.Running(
                peer: peers.index(of: progress.peer).map { peers[$0].name } ?? progress.peer.description,
                keyspace: keyspaces.definition(of: progress.keyspace)?.name ?? "",
                progress: progress, took: now.monotonic - progress.beganAt)
        }
        return RepairStatus(
            waiting: exchanges.asked.count, askedComplete: exchanges.askedComplete,
            askedFailed: exchanges.askedFailed,
            running: running.sorted { ($0.peer, $0.keyspace) < ($1.peer, $1.keyspace) })
    }
}
