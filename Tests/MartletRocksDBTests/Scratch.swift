import Glibc
import MartletBase
import MartletRocksDB
import MartletStorage
import StorageConformance
import Testing

/// A folder of a test's own, removed when the test is done.
final class Scratch {
    let path: String

    init() {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/martlet-storage-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }

    deinit { Self.remove(path) }

    var node: String { path + "/n1" }

    /// Opens the data folder as the node n1 of the cluster "test".
    func open(_ path: String? = nil, cluster: String = "test", name: String = "n1") throws -> DataFolder {
        try DataFolder(
            opening: path ?? node, cluster: cluster, name: name,
            newNode: NodeID(short: 1, middle: 2, low: 3), now: WallTime(milliseconds: 1_700_000_000_000))
    }

    func engine(
        _ path: String? = nil, settings: RocksDBSettings = Scratch.settings
    ) throws -> RocksDBEngine {
        try RocksDBEngine(opening: open(path), settings: settings, rules: ToyRecord.rules)
    }

    /// Small, and content with a nearly full disk.
    static let settings = RocksDBSettings(
        blockCacheBytes: 8 << 20, memtableBytes: 1 << 20, recordCacheBytes: 64 << 10, diskFreeMinBytes: 0)

    // MARK: Files

    static func list(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func remove(_ path: String) {
        for name in list(path) { remove(path + "/" + name) }
        _ = Glibc.remove(path)
    }

    static func read(_ path: String) throws -> [UInt8] {
        let file = try #require(fopen(path, "r"), "\(path) can't be read")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
        return bytes
    }

    static func write(_ path: String, _ bytes: [UInt8]) throws {
        let file = try #require(fopen(path, "w"), "\(path) can't be written")
        defer { fclose(file) }
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    /// What a power cut now, or a backup taken from under a running node, would leave.
    func copy(_ from: String, as name: String) throws -> String {
        let to = path + "/" + name
        try Self.copyTree(from, to)
        return to
    }

    private static func copyTree(_ from: String, _ to: String) throws {
        var status = stat()
        // The engine works on behind the copy: a file that it has just deleted is one that it no longer
        // needs.
        if stat(from, &status) < 0, errno == ENOENT { return }
        try #require(status.st_mode != 0, "\(from) can't be looked at")
        if status.st_mode & S_IFMT == S_IFDIR {
            mkdir(to, 0o755)
            for name in list(from) { try copyTree(from + "/" + name, to + "/" + name) }
        } else {
            try write(to, read(from))
        }
    }

    /// The newest log file of the engine in a data folder.
    static func log(in folder: String) throws -> String {
        let name = try #require(list(folder + "/db").last { $0.hasSuffix(".log") })
        return folder + "/db/" + name
    }
}

/// The error that a call throws; records an issue when it throws none.
func refusal(_ call: () throws -> Void) throws -> DataFolderError {
    try #require(throws: DataFolderError.self) { try call() }
}

extension DataFolderError {
    /// Says what happened and what to do, in one line.
    var isHelpful: Bool {
        description.contains(": ") && !description.contains("\n") && description.count > 60
    }
}
