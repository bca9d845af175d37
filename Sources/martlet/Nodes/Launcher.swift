import Glibc
import MartletBase
import MartletConfig

/// Starts martletd processes.
struct Launcher {
    let program: String
    private let environment: [String]

    /// Of glibc's spawn.h, where it stands behind a feature macro.
    private static let newSession: Int32 = 0x80

    /// martletd from beside this program, else from PATH. The environment's settings are in the file that the
    /// nodes are started with, so none is handed on.
    init(environment: [String: String]) throws(Failure) {
        self.environment = environment.filter { !$0.key.hasPrefix("MARTLET_") }
            .map { "\($0.key)=\($0.value)" }.sorted()
        program = try Self.find("martletd", environment: environment, missing: "`make build` makes it")
    }

    /// A program from beside this one, else from PATH.
    static func find(
        _ name: String, environment: [String: String], missing: String
    ) throws(Failure) -> String {
        let own = try Files.absolute("/proc/self/exe")
        let path = (environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":")
        let candidates = [joinPath(folder(ofPath: own), name)] + path.map { "\($0)/\(name)" }
        guard let found = candidates.first(where: { isFile($0) && access($0, X_OK) == 0 }) else {
            throw .refused("there is no \(name) beside \(own) nor on PATH: \(missing)")
        }
        return try Files.absolute(found)
    }

    /// A process in a session of its own, so that a terminal's Ctrl-C doesn't reach it, in the node's folder;
    /// it says what it says to the folder's log.
    func start(_ node: NodeFolder, config: String, and more: [String] = []) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions, STDOUT_FILENO, node.logPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Signals as they are for a fresh process: this one blocks some and ignores one.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var usual = sigset_t()
        sigemptyset(&usual)
        for number in [SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD] { sigaddset(&usual, number) }
        posix_spawnattr_setsigdefault(&attributes, &usual)
        let flags = Self.newSession | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(flags))

        let words = [program, "--config", config, "--name", node.name] + more
        let arguments = words.map { strdup($0) } + [nil]
        let variables = environment.map { strdup($0) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        let here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(here) }
        guard here >= 0, chdir(node.path) == 0 else {
            throw .refused("can't enter \(node.path): \(errorText(errno))")
        }
        defer { _ = fchdir(here) }
        var pid = pid_t()
        let status = posix_spawn(&pid, program, &actions, &attributes, arguments, variables)
        guard status == 0 else { throw .refused("can't start \(program): \(errorText(status))") }
        return pid
    }
}

/// How a child process ended.
package enum ProcessEnd: Hashable, Sendable {
    case exit(Int32)
    case signal(Int32)

    /// From what waitpid gave.
    package init(waitStatus: Int32) {
        self = waitStatus & 0x7F == 0 ? .exit(waitStatus >> 8 & 0xFF) : .signal(waitStatus & 0x7F)
    }

    package var isClean: Bool { self == .exit(0) }

    /// martletd's exit statuses are fixed.
    package var text: String {
        switch self {
        case .exit(0): "exit status 0"
        case .exit(2): "exit status 2: wrong use"
        case .exit(3): "exit status 3: configuration"
        case .exit(4): "exit status 4: a port is in use"
        case .exit(5): "exit status 5: data folder or disk"
        case .exit(134), .signal(SIGABRT), .signal(SIGILL), .signal(SIGTRAP):
            "a broken invariant or another bug: please report it with the log"
        case .exit(let status): "exit status \(status)"
        case .signal(let number): "killed by signal \(number) (\(String(cString: strsignal(number))))"
        }
    }
}
