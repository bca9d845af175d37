import Glibc
import MartletBase

/// A call to the operating system that failed.
struct FileFailure: Error, Hashable, Sendable, CustomStringConvertible {
    let operation: StaticName
    let path: String
    let number: Int32

    var text: String { String(cString: strerror(number)) }
    var description: String { "\(operation) of \(path): \(text)" }
    var isMissing: Bool { number == ENOENT }
    var isFull: Bool { number == ENOSPC || number == EDQUOT }
    var isRefused: Bool { number == EACCES || number == EPERM || number == EROFS }
}

/// An open file; closed when its owner goes.
struct FileDescriptor: ~Copyable {
    let number: Int32
    let path: String

    /// Opens as `open` does; the descriptor isn't inherited by child processes.
    init(opening path: String, _ flags: Int32, mode: mode_t = 0o644) throws(FileFailure) {
        let opened = retryInterrupted { open(path, flags | O_CLOEXEC, mode) }
        guard opened >= 0 else { throw FileFailure(operation: "open", path: path, number: errno) }
        number = opened
        self.path = path
    }

    deinit { _ = Glibc.close(number) }

    func size() throws(FileFailure) -> Int {
        var status = stat()
        guard fstat(number, &status) == 0 else {
            throw FileFailure(operation: "fstat", path: path, number: errno)
        }
        return Int(status.st_size)
    }

    /// Up to `max` bytes from the start of the file.
    func read(max: Int) throws(FileFailure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: max)
        var filled = 0
        while filled < max {
            let got = bytes.withUnsafeMutableBytes { buffer in
                retryInterrupted {
                    pread(number, buffer.baseAddress! + filled, max - filled, off_t(filled))
                }
            }
            guard got >= 0 else { throw FileFailure(operation: "read", path: path, number: errno) }
            if got == 0 { break }
            filled += got
        }
        return Array(bytes[..<filled])
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(FileFailure) {
        var done = 0
        while done < bytes.count {
            let put = bytes.withUnsafeBytes { buffer in
                retryInterrupted {
                    pwrite(number, buffer.baseAddress! + done, bytes.count - done, off_t(offset + done))
                }
            }
            guard put >= 0 else { throw FileFailure(operation: "write", path: path, number: errno) }
            done += put
        }
    }

    func truncate(to count: Int) throws(FileFailure) {
        guard retryInterrupted({ ftruncate(number, off_t(count)) }) == 0 else {
            throw FileFailure(operation: "truncate", path: path, number: errno)
        }
    }

    /// Makes the file's bytes durable. Not retried when it fails: the kernel may have dropped what it
    /// couldn't write.
    func syncData() throws(FileFailure) {
        guard fdatasync(number) == 0 else {
            throw FileFailure(operation: "fdatasync", path: path, number: errno)
        }
    }

    func sync() throws(FileFailure) {
        guard fsync(number) == 0 else { throw FileFailure(operation: "fsync", path: path, number: errno) }
    }
}

/// Calls again while a signal interrupts the call.
private func retryInterrupted<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}

enum FileSystem {
    /// Makes the folder, durably, and the folders above it that are missing.
    static func makeFolder(_ path: String) throws(FileFailure) {
        if mkdir(path, 0o755) != 0 {
            let number = errno
            if number == EEXIST { return }
            guard number == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
                throw FileFailure(operation: "mkdir", path: path, number: number)
            }
            try makeFolder(String(path[..<slash]))
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
                throw FileFailure(operation: "mkdir", path: path, number: errno)
            }
        }
        try syncFolder(of: path)
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// The file's bytes; nil when there is no such file.
    static func read(_ path: String, max: Int) throws(FileFailure) -> [UInt8]? {
        do {
            let file = try FileDescriptor(opening: path, O_RDONLY)
            return try file.read(max: min(max, try file.size()))
        } catch {
            if error.isMissing { return nil }
            throw error
        }
    }

    /// Replaces the file durably: after a crash it is the old one or the new one, whole.
    static func replace(_ path: String, with bytes: [UInt8]) throws(FileFailure) {
        let temporary = path + ".new"
        let file = try FileDescriptor(opening: temporary, O_WRONLY | O_CREAT | O_TRUNC)
        try file.write(bytes, at: 0)
        try file.sync()
        guard rename(temporary, path) == 0 else {
            throw FileFailure(operation: "rename", path: path, number: errno)
        }
        try syncFolder(of: path)
    }

    /// Makes the names in the file's folder durable.
    static func syncFolder(of path: String) throws(FileFailure) {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        try FileDescriptor(opening: folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY).sync()
    }

    /// The number that the file system knows the file by: another one for a copy.
    static func inode(of path: String) throws(FileFailure) -> UInt64 {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw FileFailure(operation: "stat", path: path, number: errno)
        }
        return UInt64(status.st_ino)
    }

    /// Bytes that an unprivileged process may still write to the file system that holds the path.
    static func freeBytes(at path: String) throws(FileFailure) -> Int {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else {
            throw FileFailure(operation: "statvfs", path: path, number: errno)
        }
        return Int(
            clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
                .partialValue)
    }

    /// What the files in the folder hold; those that vanish meanwhile count nothing.
    static func bytes(inFolder path: String) -> Int {
        guard let folder = opendir(path) else { return 0 }
        defer { closedir(folder) }
        var total = 0
        while let entry = readdir(folder) {
            var status = stat()
            // Relative to the folder, so that no path is put together.
            let found = withUnsafePointer(to: &entry.pointee.d_name) { name in
                fstatat(dirfd(folder), UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self), &status, 0)
            }
            if found == 0, status.st_mode & S_IFMT == S_IFREG { total += Int(status.st_size) }
        }
        return total
    }
}
