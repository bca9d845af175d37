import Glibc
import MartletBase

/// A node's data folder, as seen by who starts and stops nodes: it never opens what martletd locks.
///
/// A process is the node of this folder when it has the folder's LOCK open (martletd holds it as long as it
/// lives), or when its command line says that it is about to. Process ids alone are not trusted: they are
/// used again.
struct NodeFolder {
    let name: String
    /// From the root.
    let path: String

    var logPath: String { path + "/martletd.log" }
    var hasIdentity: Bool { isFile(path + "/IDENTITY") }
    private var pidPath: String { path + "/martletd.pid" }
    private var lockPath: String { path + "/LOCK" }

    /// The node's process, when `martlet up` started it and it still runs.
    var startedProcess: pid_t? {
        guard let pid = number(pidPath), isNode(pid) else { return nil }
        return pid
    }

    /// The node's process, whoever started it.
    var process: pid_t? {
        if let pid = startedProcess { return pid }
        guard let pid = number(lockPath), ProcessTable.hasOpen(pid, file: lockPath) else { return nil }
        return pid
    }

    private func isNode(_ pid: pid_t) -> Bool {
        if ProcessTable.hasOpen(pid, file: lockPath) { return true }
        // Between its start and its lock.
        let words = ProcessTable.commandLine(pid)
        guard let config = words.firstIndex(of: "--config"), let name = words.firstIndex(of: "--name") else {
            return false
        }
        return words.prefix(2).contains { $0 == "martletd" || $0.hasSuffix("/martletd") }
            && words[min(name + 1, words.count - 1)] == self.name
            && isSameFile(words[min(config + 1, words.count - 1)], folderAbove + "/cluster.yaml")
    }

    private var folderAbove: String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "." }

    private func number(_ path: String) -> pid_t? {
        guard let text = Files.read(path, last: 32) else { return nil }
        let digits = String(decoding: text, as: UTF8.self).prefix { $0.isNumber }
        return pid_t(digits).flatMap { $0 > 0 ? $0 : nil }
    }

    func writePid(_ pid: pid_t) throws(Failure) { try Files.replace(pidPath, with: "\(pid)\n") }
    func removePid() { unlink(pidPath) }

    /// How long the log is: what comes after is of a later start.
    var logBytes: Int { status(logPath).map { Int($0.st_size) } ?? 0 }

    /// The last lines that were logged after the first `start` bytes, each after the node's name.
    func logTail(from start: Int, linesMax: Int = 10) -> String {
        let bytes = Files.read(logPath, last: min(16 << 10, max(0, logBytes - start))) ?? []
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").suffix(linesMax)
        return lines.map { "  \(name) | \(printable(String($0)))\n" }.joined()
    }
}

/// What /proc says of processes.
enum ProcessTable {
    /// A zombie, which waits only to be reaped, doesn't run.
    static func isRunning(_ pid: pid_t) -> Bool {
        guard let bytes = Files.read("/proc/\(pid)/stat", last: 4096) else { return false }
        // The name before it may hold anything, parentheses too.
        guard let end = bytes.lastIndex(of: UInt8(ascii: ")")), end + 2 < bytes.count else { return false }
        return ![UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(bytes[end + 2])
    }

    static func hasOpen(_ pid: pid_t, file path: String) -> Bool {
        guard let wanted = status(path) else { return false }
        return Files.names("/proc/\(pid)/fd").contains { number in
            guard let found = status("/proc/\(pid)/fd/\(number)") else { return false }
            return found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino
        }
    }

    static func commandLine(_ pid: pid_t) -> [String] {
        let bytes = Files.read("/proc/\(pid)/cmdline", last: 64 << 10) ?? []
        return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// Small files.
enum Files {
    /// The last bytes of a file, at most; nil when it can't be read.
    static func read(_ path: String, last count: Int) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        // Files of /proc have no size to seek by.
        let size = status(path).map { Int($0.st_size) } ?? 0
        if size > count { lseek(file, size - count, SEEK_SET) }
        var out: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: max(1, min(count, 64 << 10)))
        while out.count < count {
            let got = Glibc.read(file, &chunk, min(chunk.count, count - out.count))
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { return nil }
            if got == 0 { break }
            out += chunk[..<got]
        }
        return out
    }

    /// Puts a new file in the place of the old one, so that nobody reads half of it.
    static func replace(_ path: String, with text: String) throws(Failure) {
        let temporary = path + ".new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw failure("write", temporary) }
        let bytes = Array(text.utf8)
        let isWritten = write(file, bytes, bytes.count) == bytes.count
        let number = errno
        close(file)
        errno = number
        guard isWritten, rename(temporary, path) == 0 else {
            let failure = failure("write", path)
            unlink(temporary)
            throw failure
        }
    }

    /// Makes a folder and those above it.
    static func makeFolder(_ path: String) throws(Failure) {
        if mkdir(path, 0o755) == 0 { return }
        if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try makeFolder(String(path[..<slash]))
            if mkdir(path, 0o755) == 0 { return }
        }
        guard errno == EEXIST, status(path).map({ $0.st_mode & S_IFMT == S_IFDIR }) ?? false else {
            throw failure("make", path)
        }
    }

    /// What is in a folder, in order; empty when it can't be read.
    static func names(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// From the root, links followed; the path must be there.
    static func absolute(_ path: String) throws(Failure) -> String {
        guard let found = realpath(path, nil) else { throw failure("find", path) }
        defer { free(found) }
        return String(cString: found)
    }

    private static func failure(_ what: String, _ path: String) -> Failure {
        .refused("can't \(what) \(path): \(errorText(errno))")
    }
}
