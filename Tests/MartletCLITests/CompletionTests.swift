import MartletConfig
import Testing
import martlet

@Suite struct CompletionTests {
    @Test(arguments: Completion.Shell.allCases)
    func everyCommandAndOptionIsThere(shell: Completion.Shell) {
        let script = Completion.script(for: shell, Program.specification)
        func check(_ specification: CommandSpecification) {
            for command in specification.commands {
                #expect(script.contains(command.name))
                check(command)
            }
            for option in specification.options {
                let name = shell == .fish ? "-l \(option.name.dropFirst(2))" : option.name
                #expect(script.contains(name), "\(option.name)")
            }
        }
        check(Program.specification)
        #expect(script.contains("martlet completion \(shell.rawValue)"))
    }

    @Test(arguments: [
        ([], "run --target a:1 --target b:2"), (["--keys", "9"], "run --keys 9 --target a:1 --target b:2"),
        (["sweep"], "sweep --target a:1 --target b:2"), (["compare"], "compare"),
        (["run", "--target=c"], "run --target=c"), (["run", "--help"], "run --help"),
    ])
    func benchGetsTheClustersNodes(given: [String], words: String) {
        let completed = BenchArguments.completed(given, targets: ["a:1", "b:2"], isJSON: false)
        #expect(completed.joined(separator: " ") == words)
    }

    @Test func benchAnswersInJSON() {
        #expect(
            BenchArguments.completed([], targets: [], isJSON: true) == ["run", "--json", "-"])
        #expect(
            BenchArguments.completed(["run", "--json=f"], targets: [], isJSON: true) == ["run", "--json=f"])
    }

    @Test func wordsBehindBenchAreItsOwn() {
        guard
            case .run(let line) = Program.specification.parse(
                ["--json", "bench", "--clients", "8", "-x", "--", "--help"])
        else {
            Issue.record("not taken")
            return
        }
        #expect(line.commands == ["bench"])
        #expect(line.arguments == ["--clients", "8", "-x", "--", "--help"])
        #expect(line.has("--json"))
        guard case .help = Program.specification.parse(["bench", "--help"]) else {
            Issue.record("no help")
            return
        }
    }
}
