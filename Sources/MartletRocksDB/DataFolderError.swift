import Glibc
import MartletBase

/// Why a data folder can't be used: what happened, and what to do. Nothing was deleted, and nothing that
/// tells what happened was changed.
package enum DataFolderError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another process holds the folder.
    case locked(folder: String, pid: Int?)
    case otherCluster(folder: String, found: String, expected: String)
    case otherName(folder: String, found: String, expected: String)
    /// The folder can't be made or written to.
    case notWritable(path: String, reason: String)
    case full(path: String)
    /// A file that the folder must have, and that was there once, is gone.
    case missing(file: String)
    /// A file of ours has the wrong checksum or makes no sense.
    case unreadable(file: String, reason: String)
    /// A file was written by a later version.
    case unknownFormat(file: String, found: String)
    /// There is data, but nothing that says whose it is.
    case dataWithoutIdentity(folder: String)
    /// The engine found a damaged file.
    case corrupt(file: String, detail: String)
    /// The engine recovered less than what was acknowledged.
    case lostWrites(folder: String, recovered: UInt64, synced: UInt64)
    case failed(operation: String, path: String, reason: String)

    init(_ failure: FileFailure) {
        if failure.isFull {
            self = .full(path: failure.path)
        } else if failure.isRefused {
            self = .notWritable(path: failure.path, reason: failure.text)
        } else {
            self = .failed(
                operation: failure.operation.description, path: failure.path, reason: failure.text)
        }
    }

    /// Runs the body, and says of a call that fails what it means for the folder.
    static func explaining<Result: ~Copyable>(
        _ body: () throws(FileFailure) -> Result
    ) throws(DataFolderError) -> Result {
        do {
            return try body()
        } catch {
            throw DataFolderError(error)
        }
    }

    package var description: String {
        switch self {
        case .locked(let folder, let pid):
            """
            the data folder \(folder) is in use by another process\(pid.map { " (pid \($0))" } ?? ""): stop \
            that process, or give this node a data folder of its own
            """
        case .otherCluster(let folder, let found, let expected):
            """
            the data folder \(folder) belongs to the cluster "\(found)", but this node is configured for \
            "\(expected)": set cluster.name to "\(found)", or give the node an empty data folder
            """
        case .otherName(let folder, let found, let expected):
            """
            the data folder \(folder) belongs to the node "\(found)", but this node is "\(expected)": start \
            it with --name \(found), or give it an empty data folder
            """
        case .notWritable(let path, let reason):
            """
            \(path) can't be written (\(reason)): check the owner and the permissions of the data folder, \
            and that its file system isn't mounted read-only
            """
        case .full(let path):
            """
            \(path) can't be written, because the disk is full: free some space, or move the data folder to \
            a larger disk
            """
        case .missing(let file):
            "\(file) is missing from a data folder that was in use: put it back. \(Self.keep)"
        case .unreadable(let file, let reason):
            """
            \(file) can't be trusted (\(reason)): check the disk, and put the file back if you have a copy \
            of just this state. \(Self.keep)
            """
        case .unknownFormat(let file, let found):
            """
            \(file) has the format \(found), which this version doesn't know: start the version that wrote \
            it, or a later one
            """
        case .dataWithoutIdentity(let folder):
            """
            the data folder \(folder) holds data (db) but no IDENTITY, so nothing says which node it \
            belongs to: put IDENTITY back, or give this node an empty data folder. Nothing was deleted
            """
        case .corrupt(let file, let detail):
            "\(file) is damaged (\(detail)): check the disk. \(Self.keep)"
        case .lostWrites(let folder, let recovered, let synced):
            """
            \(folder)/db gave back writes up to number \(recovered), but \(folder)/SYNCED says that those \
            up to \(synced) were durable: acknowledged writes are missing, because log files in \
            \(folder)/db are damaged, or older files were put in their place. \(Self.keep)
            """
        case .failed(let operation, let path, let reason):
            "\(operation) of \(path) failed (\(reason)): check the path and the disk, then start it again"
        }
    }

    private static let keep =
        "Nothing was deleted. If it can't be mended, move the folder away and start the node again: it "
        + "rebuilds its data from the others"
}
