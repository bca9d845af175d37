import Glibc
import MartletBase
import MartletConfig
import MartletRuntime

Limits.checkRelations()
// Swift reports a broken invariant on standard error and then traps. The trap's own signal says nothing to an
// operator: the contract for a broken invariant is SIGABRT, status 134.
signal(SIGILL) { _ in abort() }
signal(SIGTRAP) { _ in abort() }

func fail(_ text: String, _ status: Int32) -> Never {
    var line = "martletd: \(text)\n"
    _ = line.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(status)
}

/// The same program with the same arguments in the same process. All of its files and sockets close with
/// that, the lock of the data folder among them.
func beginAnew() -> Never {
    execv("/proc/self/exe", CommandLine.unsafeArgv)
    fail("can't begin anew: \(String(cString: strerror(errno)))", Daemon.Exit.storage)
}

func runDaemon() -> Int32 {
    let options: ParsedCommandLine
    switch Options.specification.parse(Array(CommandLine.arguments.dropFirst())) {
    case .run(let parsed): options = parsed
    case .help(let text):
        print(text, terminator: "")
        return 0
    case .usage(let text):
        var text = text
        _ = text.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
        return Daemon.Exit.usage
    }
    if options.has("--version") {
        print("martletd \(Version.text)")
        return 0
    }
    var inputs = ConfigurationInputs()
    inputs.environment = ConfigurationLoader.environment()
    inputs.config = options.value("--config")
    inputs.name = options.value("--name")
    inputs.address = options.value("--address")
    inputs.data = options.value("--data")
    inputs.zone = options.value("--zone")
    inputs.datacenter = options.value("--datacenter")
    inputs.ports = options.value("--ports")
    inputs.assignments = options.values("--set")
    let loaded: LoadedConfiguration
    let own: NodeSettings
    do throws(ConfigurationError) {
        loaded = try ConfigurationLoader.load(inputs)
        own = try loaded.ownNode()
    } catch {
        fail("\(error)", Daemon.Exit.configuration)
    }
    guard own.address.isLoopback || options.has("--insecure") else {
        fail(
            "\(own.address) is not a loopback address, and there is no authentication yet: anyone "
                + "who reaches it could read and write everything. Say --insecure if the network is closed",
            Daemon.Exit.configuration)
    }
    let replaced = options.value("--replace")
    let replaces = replaced.flatMap { NodeID(hex: $0) }
    if let replaced, replaces == nil {
        fail("--replace: found \"\(replaced)\", allowed: a node's id, 40 hex characters", Daemon.Exit.usage)
    }
    let log = loaded.configuration.log.log(node: own.name)
    for warning in loaded.warnings { log.write(.warn, .configuration, [], warning) }
    do throws(Daemon.Failure) {
        switch try Daemon(loaded, own: own, replaces: replaces, log: log).run() {
        case .exit(let status): return status
        case .again: beginAnew()
        }
    } catch {
        log.write(.error, error.event, [], error.text)
        return error.status
    }
}

exit(runDaemon())
