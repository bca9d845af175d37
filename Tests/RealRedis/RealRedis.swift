import Glibc
import MartletBase

/// A redis-server of the tests' own, on a free port of the loopback address, without a disk.
package struct RealRedis {
    package struct Failure: Error { package var text: String }

    let process: pid_t
    /// The writing end of the shell's input.
    let life: Int32
    let port: UInt16

    /// Nil, with a printed line, when redis-server isn't installed.
    package static func start() throws -> RealRedis? {
        guard let program = find("redis-server") else {
            print("skipped: redis-server is not installed")
            return nil
        }
        // Another process may take the port in between: then the server says so and ends.
        for _ in 0..<10 {
            let port = try freePort()
            if let server = try launch(program, port: port) { return server }
        }
        throw Failure(text: "redis-server found no free port")
    }

    package func stop() {
        close(life)
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }

    /// Sends the bytes, closes that direction, and gives all that comes back.
    package func ask(_ bytes: [UInt8]) throws -> [UInt8] {
        let socket = try Self.makeSocket()
        defer { close(socket) }
        var time = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        try Self.withAddress(port: port) { address, length in
            guard connect(socket, address, length) == 0 else { throw Failure(text: "can't connect") }
        }
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            // Redis may have refused what came first and closed.
            if count < 0, errno == EPIPE || errno == ECONNRESET { break }
            if count <= 0 { throw Failure(text: "sending failed: errno \(errno)") }
            sent += count
        }
        shutdown(socket, Int32(SHUT_WR))
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            // Anything but an end is no answer: taken for one it would show as a difference.
            if count < 0, errno != ECONNRESET { throw Failure(text: "no end of the answer: errno \(errno)") }
            if count <= 0 { return received }
            received += buffer[..<count]
        }
    }

    /// A shell stands in between, and ends the server when its input ends: so the server goes too when the
    /// tests are killed or trap.
    private static let watch = "\"$@\" & server=$!; exec >/dev/null; read -r end; kill -9 $server; wait"

    private static func launch(_ program: String, port: UInt16) throws -> RealRedis? {
        let (input, life) = try makePipe()
        let (output, log) = try makePipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_adddup2(&actions, log, 1)
        // A test's thread blocks signals, and without SIGCHLD the shell would wait for ever.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let options = [
            "/bin/sh", "-c", watch, "sh", program, "--port", "\(port)", "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no", "--enable-debug-command", "yes", "--daemonize", "no", "--dir", "/",
        ]
        var arguments: [UnsafeMutablePointer<CChar>?] = options.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        let status = posix_spawn(&process, "/bin/sh", &actions, &attributes, &arguments, environ)
        close(input)
        close(log)
        defer { close(output) }
        guard status == 0 else { throw Failure(text: "redis-server can't be started: \(status)") }
        let server = RealRedis(process: process, life: life, port: port)
        if waitUntilReady(output) { return server }
        server.stop()
        return nil
    }

    /// A pair of sockets, as a pipe would not have both ends closed from the start in programs that others
    /// are starting just now: one of those would keep the input of ours open.
    private static func makePipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Failure(text: "no pair of sockets")
        }
        return (ends[0], ends[1])
    }

    /// Reads what the server prints until it serves; false when it ends.
    private static func waitUntilReady(_ output: Int32) -> Bool {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = read(output, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return false }
            text += buffer[..<count]
            if String(decoding: text, as: UTF8.self).contains("Ready to accept connections") { return true }
        }
    }

    private static func find(_ name: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin"
        return path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    private static func makeSocket() throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(text: "no socket") }
        return descriptor
    }

    private static func freePort() throws -> UInt16 {
        let descriptor = try makeSocket()
        defer { close(descriptor) }
        try withAddress(port: 0) { address, length in
            guard bind(descriptor, address, length) == 0 else { throw Failure(text: "can't bind") }
        }
        var bound = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutableBytes(of: &bound) {
            getsockname(descriptor, $0.assumingMemoryBound(to: sockaddr.self).baseAddress!, &length)
        }
        guard status == 0 else { throw Failure(text: "no name of a socket") }
        return UInt16(bigEndian: bound.sin_port)
    }

    private static func withAddress(
        port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Void
    ) throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        try withUnsafeBytes(of: &address) {
            try body(
                $0.assumingMemoryBound(to: sockaddr.self).baseAddress!,
                socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}
