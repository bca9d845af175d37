import CRocksDB
import Glibc
import MartletBase
import MartletStorage

extension RocksDBEngine {
    static func open(
        _ folder: DataFolder, settings: RocksDBSettings, rules: RecordJoin, expiry: ExpiryFilter.Context
    ) throws(DataFolderError) -> EngineDatabase {
        let path = folder.enginePath
        let synced = folder.synced.withLock { $0.value }
        let free = try DataFolderError.explaining { () throws(FileFailure) in
            try FileSystem.freeBytes(at: folder.path)
        }
        // RocksDB would fail somewhere on its way, and not always with an error.
        if free < Limits.spaceReserveBytes { throw .full(path: path) }
        do {
            let options = try EngineOptions.make(settings, rules: rules, expiry: expiry)
            let current = path + "/CURRENT"
            if FileSystem.exists(current) {
                let recovered = try EngineDatabase.recoverableSequence(path, options: options)
                try check(recovered: recovered, synced: synced, folder)
            } else if synced > 0 {
                // RocksDB would make a new database here, and remove what it finds of the old one.
                throw DataFolderError.missing(file: FileSystem.exists(path) ? current : path)
            }
            // RocksDB makes its folder, but not the folder's name durable.
            try DataFolderError.explaining { () throws(FileFailure) in try FileSystem.makeFolder(path) }
            let database = try EngineDatabase.open(path, options: options)
            try check(recovered: database.latestSequence, synced: synced, folder)
            return database
        } catch let failure as EngineFailure {
            throw explain(failure, opening: path)
        } catch let error as DataFolderError {
            throw error
        } catch {
            invariantBroken("an error of another kind: \(error)")
        }
    }

    private static func check(recovered: UInt64, synced: UInt64, _ folder: DataFolder) throws(DataFolderError)
    {
        guard recovered < synced else { return }
        throw .lostWrites(folder: folder.path, recovered: recovered, synced: synced)
    }

    /// What RocksDB's refusal to open means for who starts the node.
    private static func explain(_ failure: EngineFailure, opening path: String) -> DataFolderError {
        let file = failure.file(in: path) ?? path
        if failure.text.contains("While lock file") { return .locked(folder: path, pid: nil) }
        if failure.isDiskFull { return .full(path: file) }
        if failure.text.contains("Permission denied") || failure.text.contains("Read-only file system") {
            return .notWritable(path: file, reason: failure.text)
        }
        if failure.isCorruption || failure.text.contains("No such file or directory") {
            return .corrupt(file: file, detail: failure.text)
        }
        return .failed(operation: "opening", path: file, reason: failure.text)
    }
}

enum MonotonicClock {
    static func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
}
