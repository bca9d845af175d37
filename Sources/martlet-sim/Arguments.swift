import Glibc
import MartletBase
import MartletNode
import MartletSimulator

/// What the command line asks for.
struct Arguments {
    enum Refusal: Error {
        case usage(String)
        case help
        case listPlants
    }

    var seeds: ClosedRange<UInt64> = 1...200
    var options = SimulationOptions()
    /// So many of the first seeds are run twice.
    var verified: UInt64 = 0
    var wantsTrace = false
    var wantsJSON = false
    var jobs = 2
    var traceLines = 150

    static let usage = """
        usage: martlet-sim [--seeds A..B | --seed S] [--nodes N] [--turns | --large] [--duration SECONDS]
                           [--plant BUG] [--verify-determinism [K]] [--jobs N] [--trace] [--lines N] [--json]
                           [--list-plants]

          --seeds A..B              the seeds to run (1..200)
          --seed S                  one seed
          --nodes N                 that many nodes; else the seed draws 1 to 7
          --turns                   nodes come and go in every run, and often
          --large                   the course of a large cluster: N nodes form (60), join, leave, are
                                    replaced and cut off, in turn; says what each step took
          --duration SECONDS        how long faults last; else the seed draws 20 to 60
          --plant BUG               put a deliberate bug into every node; the run should find it
          --list-plants             name the bugs that can be planted
          --verify-determinism [K]  run the first K seeds, or all, twice and compare their traces' hashes
          --jobs N                  threads, each with seeds of its own (2)
          --trace                   print the readable trace of each run
          --lines N                 lines of trace in the report of a failure (150)
          --json                    print one JSON object at the end

        Exit status: 0 every promise held; 1 one was broken; 2 usage.
        """

    init(_ arguments: [String]) throws(Refusal) {
        var rest = arguments[...]
        func value(_ option: String) throws(Refusal) -> String {
            guard let value = rest.popFirst() else { throw .usage("\(option) needs a value") }
            return value
        }
        func number(_ option: String, _ range: ClosedRange<UInt64>) throws(Refusal) -> UInt64 {
            let text = try value(option)
            guard let number = UInt64(text), range.contains(number) else {
                throw .usage(
                    "\(option) takes a number from \(range.lowerBound) to \(range.upperBound), not \(text)")
            }
            return number
        }
        while let option = rest.popFirst() {
            switch option {
            case "--seeds":
                let text = try value(option)
                guard let range = Self.range(text) else { throw .usage("--seeds takes A..B, not \(text)") }
                seeds = range
            case "--seed":
                let seed = try number(option, 0...UInt64.max)
                seeds = seed...seed
            case "--nodes": options.nodes = Int(try number(option, 1...UInt64(SimulationOptions.nodesMax)))
            case "--turns": options.turns = true
            case "--large":
                options.isLarge = true
                options.milestoneSink = { milestone in
                    write(
                        "\(milestone.name): \(milestone.taken.milliseconds) ms\n", to: STDERR_FILENO)
                }
            case "--duration": options.faultPhase = .seconds(Int64(try number(option, 1...86_400)))
            case "--plant":
                let name = try value(option)
                guard let plant = PlantedBug(rawValue: name) else {
                    throw .usage("no bug is called \(name); --list-plants names them")
                }
                options.plant = plant
            case "--verify-determinism":
                // Without a number: all of them.
                let isNumbered = rest.first.map { UInt64($0) != nil } ?? false
                verified = isNumbered ? try number(option, 0...UInt64.max) : .max
            case "--jobs": jobs = Int(try number(option, 1...64))
            case "--lines": traceLines = Int(try number(option, 0...1_000_000))
            case "--trace": wantsTrace = true
            case "--json": wantsJSON = true
            case "--list-plants": throw .listPlants
            case "--help", "-h": throw .help
            default: throw .usage("unknown option \(option)")
            }
        }
    }

    private static func range(_ text: String) -> ClosedRange<UInt64>? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: true)
        guard parts.count == 2, text.contains(".."), let first = UInt64(parts[0]),
            let last = UInt64(parts[1]),
            first <= last
        else { return nil }
        return first...last
    }
}
