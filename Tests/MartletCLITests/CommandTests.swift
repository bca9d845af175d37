import MartletConfig
import Testing
import martlet

@Suite struct CommandTests {
    /// Every command there is, as the words that lead to it.
    private func paths(_ specification: CommandSpecification, _ path: [String] = []) -> [[String]] {
        specification.commands.flatMap { command in
            let here = path + [command.name]
            return command.commands.isEmpty ? [here] : paths(command, here)
        }
    }

    @Test func everyCommandHasHelpWithExamplesThatItTakes() throws {
        let commands = paths(Program.specification)
        #expect(commands.count >= 9)
        for path in commands {
            guard case .help(let help) = Program.specification.parse(path + ["--help"]) else {
                Issue.record("\(path): no help")
                continue
            }
            #expect(help.contains("Examples:"), "\(path)")
            for line in help.split(separator: "\n") {
                #expect(line.count <= 110, "\(path): \(line)")
                guard line.hasPrefix("  martlet ") else { continue }
                let words = line.split(separator: " ").prefix { $0 != "<" && $0 != ">" }.map(String.init)
                let outcome = Program.specification.parse(Array(words.dropFirst()))
                guard case .run = outcome else {
                    Issue.record("\(line): \(outcome)")
                    continue
                }
            }
        }
    }

    @Test func slipsGetSuggestions() {
        guard case .usage(let text) = Program.specification.parse(["stats"]) else {
            Issue.record("taken")
            return
        }
        #expect(text.contains("did you mean status?"))
        guard case .usage(let option) = Program.specification.parse(["put", "a", "1", "--leve", "ONE"]) else {
            Issue.record("taken")
            return
        }
        #expect(option.contains("did you mean --level?"))
    }
}
