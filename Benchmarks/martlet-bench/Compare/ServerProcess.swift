import Glibc
import MartletBase

/// A server that this program started.
final class ServerProcess {
    let name: String
    let process: pid_t
    private let logPath: String
    private var hasEnded = false

    /// Of glibc's spawn.h, where it stands behind a feature macro: a terminal's Ctrl-C doesn't reach it.
    private static let newSession: Int32 = 0x80
    /// Starts a program that ends with its parent, even when that is killed.
    private static let leash = "/usr/bin/setpriv"

    /// Runs `words` in `folder`, with what it says in `folder`/NAME.log.
    init(_ name: String, _ words: [String], in folder: String) throws(Failure) {
        self.name = name
        logPath = "\(folder)/\(name).log"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions, STDOUT_FILENO, logPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
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
        for number in [SIGPIPE, SIGINT, SIGTERM, SIGHUP] { sigaddset(&usual, number) }
        posix_spawnattr_setsigdefault(&attributes, &usual)
        let flags = Self.newSession | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(flags))
        let isLeashed = access(Self.leash, X_OK) == 0
        let command = (isLeashed ? [Self.leash, "--pdeathsig", "KILL", "--"] : []) + words
        let arguments = command.map { strdup($0) } + [nil]
        // Settings of the environment are nobody's here: every server is as it was told.
        let environment: [String] = ["PATH=\(Self.path)", "HOME=\(folder)", "LC_ALL=C"]
        let variables = environment.map { strdup($0) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var pid = pid_t()
        let status = posix_spawn(&pid, command[0], &actions, &attributes, arguments, variables)
        guard status == 0 else { throw .refused("can't start \(words[0]): \(errorText(status))") }
        process = pid
    }

    private static var path: String { getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin" }

    /// The program's path, from PATH; nil when it isn't installed.
    static func find(_ program: String) -> String? {
        path.split(separator: ":").map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    /// Throws, with the end of its log, when it has ended.
    func checkRuns() throws(Failure) {
        var status: Int32 = 0
        guard !hasEnded, waitpid(process, &status, WNOHANG) == process else { return }
        hasEnded = true
        throw .refused("\(name) ended while it was needed:\n\(lastLines(10))")
    }

    /// Of what it has said.
    func lastLines(_ count: Int) -> String {
        (readFile(logPath) ?? "").split(separator: "\n").suffix(count).joined(separator: "\n")
    }

    /// For a program that ends by itself, once: its exit status, or 128 and the signal that ended it.
    func awaitEnd() throws(Failure) -> Int32 {
        invariant(!hasEnded, "\(name) has ended, and its status is gone")
        var status: Int32 = 0
        while waitpid(process, &status, WNOHANG) != process { try Interrupts.wait(.milliseconds(2)) }
        hasEnded = true
        let signal = status & 0x7F
        return signal == 0 ? status >> 8 & 0xFF : 128 + signal
    }

    /// At once: nobody needs what it holds.
    func stop() {
        if hasEnded { return }
        hasEnded = true
        kill(process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
    }

    deinit { stop() }
}
