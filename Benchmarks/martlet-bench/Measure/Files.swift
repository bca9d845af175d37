import Glibc

/// The whole of a small file; nil when it can't be read.
func readFile(_ path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var out: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(file, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { return nil }
        if count == 0 { return String(decoding: out, as: UTF8.self) }
        out += buffer[..<count]
    }
}

func writeFile(_ path: String, _ text: String) throws(Failure) {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw .refused("can't write \(path): \(errorText(errno))") }
    defer { close(file) }
    guard writeAll(Array(text.utf8), to: file) else {
        throw .refused("can't write \(path): \(errorText(errno))")
    }
}

/// False when the file, or who reads it, takes no more.
@discardableResult
func writeAll(_ bytes: [UInt8], to file: Int32) -> Bool {
    var start = 0
    while start < bytes.count {
        let count = bytes[start...].withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR || errno == EAGAIN { continue }
        guard count > 0 else { return false }
        start += count
    }
    return true
}

func say(_ text: String) { writeAll(Array("\(text)\n".utf8), to: STDOUT_FILENO) }
func complain(_ text: String) { writeAll(Array("\(text)\n".utf8), to: STDERR_FILENO) }

func names(in folder: String) -> [String] {
    guard let handle = opendir(folder) else { return [] }
    defer { closedir(handle) }
    var out: [String] = []
    while let entry = readdir(handle) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { out.append(name) }
    }
    return out.sorted()
}

func linkTarget(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4_096)
    let count = readlink(path, &buffer, buffer.count)
    return count < 0 ? nil : String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The folder and all in it; symbolic links are removed, not followed.
func removeTree(_ path: String) {
    if linkTarget(path) == nil { for name in names(in: path) { removeTree("\(path)/\(name)") } }
    if unlink(path) != 0 { rmdir(path) }
}

/// With the folders above it.
func makeFolder(_ path: String) throws(Failure) {
    if mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
        try makeFolder(String(path[..<slash]))
        if mkdir(path, 0o755) == 0 { return }
    }
    throw .refused("can't make the folder \(path): \(errorText(errno))")
}

func errorText(_ code: Int32) -> String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }
