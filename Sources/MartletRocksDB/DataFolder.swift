import Glibc
import MartletBase
import MartletStorage
import Synchronization

/// A node's data folder, locked for this process: who the node is, which epoch its storage is in, and the
/// two numbers that must survive a crash.
///
///     IDENTITY   whose folder this is; written last of all when the folder is made, and never again once the
///                node belongs to a ring (`become`)
///     EPOCH      the storage epoch; whether the last run ended cleanly; where the folder was; the epoch that
///                began with less than was there before
///     LOCK       flock held as long as the process lives, with its pid
///     STAMP      no stamp above this ceiling was issued
///     SYNCED     every write up to this number was durable
///     TREES      the Merkle trees as the last clean end left them (`TreeCheckpoint`); may be missing
///     db/        the engine's
///
/// The epoch rises at each start that isn't the clean continuation of the last run: after a crash, and when
/// the folder is a copy (its IDENTITY is another file to the file system). A copy may be an older state than
/// what the node acknowledged since, so its epoch is a `lostEpoch`, as is one that peers ask for because they
/// remember more: the node rebuilds what it may lack from the others.
package final class DataFolder: Sendable {
    /// What IDENTITY says.
    package struct Identity: Hashable, Sendable {
        package let cluster: String
        package let node: NodeID
        package let name: String
        package let created: WallTime
    }

    /// How this run follows the one before.
    package enum Start: String, Sendable {
        /// The folder was made now.
        case first
        case clean
        /// The last run didn't end with `markClean`.
        case unclean
        /// The folder was copied from elsewhere.
        case foreign
    }

    package let path: String
    package let identity: Identity
    /// The epoch of this run.
    package let epoch: UInt64
    /// The epoch of the run before; 0 when there was none.
    package let previousEpoch: UInt64
    /// The last epoch that may have begun with less than the node had acknowledged; 0 when there was none.
    package let lostEpoch: UInt64
    package let start: Start

    private let lock: FileLock
    private let stamp: Mutex<SlotFile>
    let synced: Mutex<SlotFile>

    /// Where the engine keeps its files.
    package var enginePath: String { path + "/db" }

    /// Opens the folder at the path, or makes it for a new node with the given id.
    package init(
        opening path: String, cluster: String, name: String, newNode: NodeID, now: WallTime
    ) throws(DataFolderError) {
        self.path = path
        try DataFolderError.explaining { () throws(FileFailure) in try FileSystem.makeFolder(path) }
        lock = try FileLock.hold(path)
        var lastLost: UInt64 = 0
        if let identity = try Self.readIdentity(path) {
            try Self.check(identity, at: path, cluster: cluster, name: name)
            self.identity = identity
            let last = try Epoch(reading: path)
            previousEpoch = last.number
            let isHome = try last.inode == Self.inode(path)
            start = !isHome ? .foreign : last.isClean ? .clean : .unclean
            lastLost = last.lost
            stamp = Mutex(try SlotFile.open(path + "/STAMP"))
            synced = Mutex(try SlotFile.open(path + "/SYNCED"))
        } else {
            if FileSystem.exists(path + "/db") { throw .dataWithoutIdentity(folder: path) }
            identity = Identity(cluster: cluster, node: newNode, name: name, created: now)
            previousEpoch = 0
            start = .first
            // EPOCH comes before IDENTITY, so that an IDENTITY without EPOCH always means that EPOCH was
            // lost. It names IDENTITY's inode, which isn't known yet: it is written again below.
            stamp = Mutex(try Self.createSlots(path + "/STAMP"))
            synced = Mutex(try Self.createSlots(path + "/SYNCED"))
            let identity = identity
            try DataFolderError.explaining { () throws(FileFailure) in
                try Epoch(number: 0, isClean: false, inode: 0, lost: 0).write(to: path)
                try Self.write(identity, to: path)
            }
        }
        epoch = start == .clean ? previousEpoch : previousEpoch + 1
        lostEpoch = start == .foreign ? epoch : lastLost
        try writeEpoch(isClean: false)
    }

    /// The ceiling of the stamps that earlier runs may have issued; this run's start above it.
    package var stampCeiling: UInt64 { stamp.withLock { $0.value } }

    /// Durably records that stamps up to the ceiling may be issued. A lower ceiling than before changes
    /// nothing. Waits for the disk.
    package func reserveStamps(ceiling: UInt64) throws(StorageError) {
        let failure = stamp.withLock { (slots) -> FileFailure? in
            guard ceiling > slots.value else { return nil }
            do throws(FileFailure) {
                try slots.raiseDurably(to: ceiling)
                return nil
            } catch {
                return error
            }
        }
        if let failure {
            if failure.isFull { throw .refused(.diskFull) }
            throw .failedSync("\(failure)")
        }
    }

    /// The last step of a clean end, after the engine was closed: the next start needs no new epoch.
    package func markClean() throws(DataFolderError) { try writeEpoch(isClean: true) }

    /// What `writeTrees` was given by some run; nil when there is none, or it can't be read.
    package func readTrees() -> Blob? {
        let bytes = try? FileSystem.read(path + "/TREES", max: Limits.checkpointBytesMax)
        return bytes.flatMap { $0 }.map { Blob($0) }
    }

    /// Durably replaces the trees. The store must be durable.
    package func writeTrees(_ trees: Blob) throws(DataFolderError) {
        try DataFolderError.explaining { () throws(FileFailure) in
            try FileSystem.replace(path + "/TREES", with: Array(trees.bytes))
        }
    }

    private func writeEpoch(isClean: Bool) throws(DataFolderError) {
        try writeEpoch(epoch, isClean: isClean, lost: lostEpoch)
    }

    private func writeEpoch(_ number: UInt64, isClean: Bool, lost: UInt64) throws(DataFolderError) {
        let inode = try Self.inode(path)
        try DataFolderError.explaining { () throws(FileFailure) in
            try Epoch(number: number, isClean: isClean, inode: inode, lost: lost).write(to: path)
        }
    }

    /// Durably makes the folder one that is to be rebuilt: of the given node, in the given epoch, with no
    /// stamp issued above the ceiling. To be opened anew afterwards.
    ///
    /// The node may be another one only where the folder was made in the place of a lost one, and has served
    /// nobody. Whatever a crash leaves of this, the next start is told the same by the peers, or finds its
    /// folder foreign.
    package func become(node: NodeID, epoch: UInt64, ceiling: UInt64) throws(DataFolderError) {
        do {
            try reserveStamps(ceiling: ceiling)
        } catch {
            throw .failed(operation: "write", path: path + "/STAMP", reason: "\(error)")
        }
        try writeEpoch(epoch, isClean: true, lost: epoch)
        guard node != identity.node else { return }
        let identity = Identity(
            cluster: identity.cluster, node: node, name: identity.name, created: identity.created)
        try DataFolderError.explaining { () throws(FileFailure) in try Self.write(identity, to: path) }
        try writeEpoch(epoch, isClean: true, lost: epoch)
    }

    private static func createSlots(_ path: String) throws(DataFolderError) -> SlotFile {
        try DataFolderError.explaining { () throws(FileFailure) in try SlotFile.create(path, value: 0) }
    }

    private static func inode(_ path: String) throws(DataFolderError) -> UInt64 {
        try DataFolderError.explaining { () throws(FileFailure) in
            try FileSystem.inode(of: path + "/IDENTITY")
        }
    }
}

// MARK: IDENTITY

extension DataFolder {
    /// Who the folder belongs to, without opening it; nil when it belongs to nobody yet.
    package static func readIdentity(_ path: String) throws(DataFolderError) -> Identity? {
        let file = path + "/IDENTITY"
        guard let found = try FolderFile(reading: file) else { return nil }
        let format = try found.text("format", in: file)
        guard format == "1" else { throw .unknownFormat(file: file, found: format) }
        return Identity(
            cluster: try found.text("cluster", in: file),
            node: try found.value("node", in: file) { NodeID(hex: $0) },
            name: try found.text("name", in: file),
            created: try found.value("created_ms", in: file) { Int64($0).map(WallTime.init(milliseconds:)) })
    }

    private static func check(
        _ identity: Identity, at path: String, cluster: String, name: String
    ) throws(DataFolderError) {
        guard identity.cluster == cluster else {
            throw .otherCluster(folder: path, found: identity.cluster, expected: cluster)
        }
        guard identity.name == name else {
            throw .otherName(folder: path, found: identity.name, expected: name)
        }
    }

    private static func write(_ identity: Identity, to path: String) throws(FileFailure) {
        try FolderFile([
            ("format", "1"), ("cluster", identity.cluster), ("node", identity.node.description),
            ("name", identity.name), ("created_ms", String(identity.created.milliseconds)),
        ]).write(to: path + "/IDENTITY")
    }
}

// MARK: EPOCH

/// What EPOCH says.
private struct Epoch {
    let number: UInt64
    let isClean: Bool
    /// IDENTITY's, when this was written.
    let inode: UInt64
    /// `DataFolder.lostEpoch`.
    let lost: UInt64

    init(number: UInt64, isClean: Bool, inode: UInt64, lost: UInt64) {
        self.number = number
        self.isClean = isClean
        self.inode = inode
        self.lost = lost
    }

    init(reading path: String) throws(DataFolderError) {
        let file = path + "/EPOCH"
        guard let found = try FolderFile(reading: file) else { throw .missing(file: file) }
        let format = try found.text("format", in: file)
        guard format == "1" else { throw .unknownFormat(file: file, found: format) }
        number = try found.value("epoch", in: file) { UInt64($0) }
        isClean = try found.value("clean", in: file) { ["yes": true, "no": false][$0] }
        inode = try found.value("inode", in: file) { UInt64($0) }
        lost = try found.value("lost", in: file) { UInt64($0) }
    }

    func write(to path: String) throws(FileFailure) {
        try FolderFile([
            ("format", "1"), ("epoch", String(number)), ("clean", isClean ? "yes" : "no"),
            ("inode", String(inode)), ("lost", String(lost)),
        ]).write(to: path + "/EPOCH")
    }
}

// MARK: LOCK

/// Holds a folder for this process. The kernel lets go of it when the process ends, however it ends.
private struct FileLock: ~Copyable, Sendable {
    private let file: FileDescriptor

    private init(_ file: consuming FileDescriptor) { self.file = file }

    /// Unlocked before it is closed: a program that this process starts just now shares the open file until
    /// it is executed, and would hold the folder for as long.
    deinit { _ = flock(file.number, LOCK_UN) }

    static func hold(_ folder: String) throws(DataFolderError) -> FileLock {
        let file = try DataFolderError.explaining { () throws(FileFailure) in
            try FileDescriptor(opening: folder + "/LOCK", O_RDWR | O_CREAT)
        }
        let isHeld = flock(file.number, LOCK_EX | LOCK_NB) == 0
        let number = errno
        if !isHeld && number == EWOULDBLOCK {
            let holder = try? file.read(max: 16)
            let digits = holder.map { String(decoding: $0, as: UTF8.self).prefix { $0.isNumber } }
            throw .locked(folder: folder, pid: digits.flatMap { Int($0) })
        }
        guard isHeld else {
            throw DataFolderError(FileFailure(operation: "flock", path: file.path, number: number))
        }
        do {
            try file.truncate(to: 0)
            try file.write(Array("\(getpid())\n".utf8), at: 0)
        } catch {
            throw DataFolderError(error)
        }
        return FileLock(file)
    }
}
