import Glibc
import MartletBase
import MartletNode
import MartletSimulator
import Synchronization

/// Runs seeds on threads, each seed a whole cluster of its own, and says what came of them.
func runSeeds(_ arguments: Arguments) -> Int32 {
    let source = SeedSource(arguments)
    let jobs = Int(min(UInt64(arguments.jobs), arguments.seeds.upperBound - arguments.seeds.lowerBound &+ 1))
    TrapReport.install()
    let began = monotonicSeconds()
    var threads: [JobThread] = []
    for _ in 0..<max(1, jobs) { threads.append(JobThread { source.work() }) }
    if isatty(STDERR_FILENO) != 0 {
        while !threads.allSatisfy(\.isDone) {
            usleep(200_000)
            printProgress(source, since: began)
        }
        write("\n", to: STDERR_FILENO)
    }
    for thread in threads { thread.join() }
    return report(source, seconds: monotonicSeconds() - began)
}

func report(_ source: SeedSource, seconds: Double) -> Int32 {
    let arguments = source.arguments
    let (state, broken, differing) = source.state.withLock { state in
        (state, state.broken.sorted { $0.seed < $1.seed }, state.differing.sorted())
    }
    for result in broken.prefix(1) {
        write(result.report(arguments.options, lines: arguments.traceLines), to: STDERR_FILENO)
    }
    for seed in differing {
        write("seed \(seed): Deterministic is broken: two runs have different traces\n", to: STDERR_FILENO)
    }
    let simulated = Double(state.simulatedNanoseconds) / 1e9
    if arguments.wantsJSON {
        print(
            Summary.json(
                state, broken: broken.map(\.seed) + differing, simulated: simulated, seconds: seconds))
    } else {
        print(Summary.text(state, simulated: simulated, seconds: seconds))
    }
    return broken.isEmpty && differing.isEmpty ? 0 : 1
}

func traceSeeds(_ arguments: Arguments) -> Int32 {
    var options = arguments.options
    options.isTraced = true
    options.traceSink = { write($0 + "\n", to: STDOUT_FILENO) }
    TrapReport.install()
    var status: Int32 = 0
    for seed in arguments.seeds {
        TrapReport.begin("the trap above is of seed \(seed)\n")
        var simulation = Simulation(seed: seed, options)
        write("seed \(seed): \(simulation.plan.summary)\n", to: STDOUT_FILENO)
        var broken: Violation?
        do {
            try simulation.runCourse()
        } catch {
            broken = error
        }
        write("trace hash \(hex(simulation.traceHash))\n", to: STDOUT_FILENO)
        if let broken {
            write("\(broken.invariant) is broken: \(broken.text)\n", to: STDOUT_FILENO)
            status = 1
        }
    }
    return status
}

do {
    let arguments = try Arguments(Array(CommandLine.arguments.dropFirst()))
    exit(arguments.wantsTrace ? traceSeeds(arguments) : runSeeds(arguments))
} catch {
    switch error {
    case .help: print(Arguments.usage)
    case .listPlants: for plant in PlantedBug.allCases { print(plant.rawValue) }
    case .usage(let text):
        write("martlet-sim: \(text)\n\(Arguments.usage)\n", to: STDERR_FILENO)
        exit(2)
    }
}
