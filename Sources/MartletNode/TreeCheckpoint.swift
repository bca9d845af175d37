import MartletBase
import MartletMerkle
import MartletStorage

/// Where a run of a node has come to in its store.
package struct RunEnd: Hashable, Sendable {
    /// The number of the last run that the store knows of.
    package let boot: UInt32
    /// The last write that the store holds.
    package let lastWrite: SequenceNumber

    package init(boot: UInt32 = 0, lastWrite: SequenceNumber = .zero) {
        self.boot = boot
        self.lastWrite = lastWrite
    }
}

/// The trees of a node as a run left them at its clean end, so that the next one needn't rescan what nobody
/// has written since. A file beside the store, replaced whole, after the run's last write.
///
/// **Why it can be believed.** It names the run that wrote it and that run's last write (`RunEnd`). It counts
/// only when the store that it is found with names the same two. Each run counts itself in the store,
/// durably, before it writes anything else, so an equal boot number means that no run has written since; and
/// an equal last write, that this run hasn't either, and that the store has lost nothing of it. So the store
/// holds exactly what the sums were made of:
///
/// - *kill -9*: the run that was killed had counted itself, and left no checkpoint.
/// - *The folder set back*: store and checkpoint are of one time. *One of the two set back, or put into
///   another's folder*: the numbers differ.
/// - *A checkpoint that couldn't be written*: the one before it names an earlier run.
/// - *Another ring*: sums are of leaves, whoever owns them.
/// - *Other floors or truncations*: each slot's horizon is in it, and a slot that has another one now is
///   dirty.
/// - *Damage*: its checksum, over all of it.
///
/// Leaves that were dirty then, or at the storage for a rescan, are dirty now. So is every leaf when there is
/// no checkpoint to believe: the node serves, and the leaves are rescanned by the next exchanges.
///
///     "MTRE" | format u32 | boot u32 | last write u64 | trees u32 | of each: keyspace u32, tree | XXH3 u64
struct TreeCheckpoint {
    /// Why leaves aren't known from the last run.
    enum Fault: Error {
        case missing, damaged, stale

        var name: StaticName {
            switch self {
            case .missing: "no checkpoint"
            case .damaged: "the checkpoint is damaged"
            case .stale: "the checkpoint is of an earlier state of the store"
            }
        }
    }

    private static let magic: UInt32 = 0x4D54_5245
    /// Also to be raised when what a leaf's sum covers changes.
    private static let format: UInt32 = 2

    private(set) var trees: [(keyspace: UInt32, tree: MerkleTree)] = []

    /// - Parameters:
    ///   - end: what the store says.
    ///   - isBelieved: the planted bug: whatever the store says.
    ///   - horizon: of a keyspace's slot, now.
    init(
        _ stored: Blob?, end: RunEnd, isBelieved: Bool, horizon: (UInt32, Int) -> Horizon
    ) throws(Fault) {
        guard let stored else { throw .missing }
        guard stored.count >= 32 else { throw .damaged }
        let body = stored.span.extracting(0..<(stored.count - 8))
        do {
            var checksum = ByteReader(stored.span.extracting((stored.count - 8)...))
            var reader = ByteReader(body)
            guard try checksum.u64() == XXH3.hash(body), try reader.u32() == Self.magic,
                try reader.u32() == Self.format
            else { throw Fault.damaged }
            let written = RunEnd(boot: try reader.u32(), lastWrite: SequenceNumber(try reader.u64()))
            guard written == end || isBelieved else { throw Fault.stale }
            for _ in 0..<(try reader.u32()) {
                let keyspace = try reader.u32()
                let tree = try MerkleTree(from: &reader) { horizon(keyspace, $0) }
                trees.append((keyspace, tree))
            }
            try reader.expectEnd()
        } catch let fault as Fault {
            throw fault
        } catch {
            throw .damaged
        }
    }

    /// As many of the trees as a checkpoint may hold; the rest is rescanned.
    static func encoded(
        _ trees: [(keyspace: UInt32, tree: MerkleTree)], end: RunEnd, horizon: (UInt32, Int) -> Horizon
    ) -> Blob {
        var writer = ByteWriter()
        writer.u32(magic)
        writer.u32(format)
        writer.u32(end.boot)
        writer.u64(end.lastWrite.number)
        let place = writer.bytes.count
        writer.u32(0)
        var count: UInt32 = 0
        for (keyspace, tree) in trees {
            guard writer.bytes.count + MerkleTree.checkpointBytesMax < Limits.checkpointBytesMax else {
                break
            }
            writer.u32(keyspace)
            tree.write(to: &writer) { horizon(keyspace, $0) }
            count += 1
        }
        writer.patch(u32: count, at: place)
        writer.u64(XXH3.hash(writer.bytes.span.bytes))
        return Blob(writer.bytes)
    }
}

extension Node {
    /// What is known of the leaves at this moment, for the next run. The node has stopped.
    package func treeCheckpoint(lastWrite: SequenceNumber) -> Blob {
        invariant(life == .stopped, "a node that runs may write still")
        let trees = exchanges.forest.all.map { entry in
            var tree = entry.tree
            if let job = entry.job, case .rescan(_, let ranges, _, _) = exchanges.jobs[job] {
                for range in ranges { tree.mark(range) }
            }
            return (entry.keyspace, tree)
        }
        let keyspaces = keyspaces
        return TreeCheckpoint.encoded(
            trees, end: RunEnd(boot: configuration.boot, lastWrite: lastWrite)
        ) { keyspaces.markedHorizon(of: $0, $1) }
    }

    mutating func recoverTrees(_ recovered: RecoveredState) {
        // A new folder, or one that has just been made.
        guard recovered.end.boot > 0 else { return }
        let keyspaces = keyspaces
        do throws(TreeCheckpoint.Fault) {
            let checkpoint = try TreeCheckpoint(
                recovered.trees, end: recovered.end,
                isBelieved: configuration.planted == .trustStaleCheckpoint
            ) { keyspaces.markedHorizon(of: $0, $1) }
            for (keyspace, tree) in checkpoint.trees where keyspaces.index(of: keyspace) != nil {
                exchanges.forest.plant(keyspace, tree)
                metrics.leavesRecovered += UInt64(MerkleTree.leavesMax - tree.dirtyCount)
            }
            effects.append(.report(.treesRecovered(leaves: metrics.leavesRecovered)))
        } catch {
            handover.hasBrokenOff = true
            effects.append(.report(.treesForgotten(because: error.name)))
        }
    }
}
