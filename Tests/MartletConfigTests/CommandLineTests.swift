import MartletConfig
import Testing

@Suite struct CommandLineTests {
    private let program = CommandSpecification(
        "martlet", "Speaks to a cluster.",
        options: [
            OptionSpecification("--host", value: "ADDRESS", "Which node to ask."),
            OptionSpecification("--json", "One JSON object on stdout."),
        ],
        examples: [("martlet status", "shows the nodes")],
        commands: [
            CommandSpecification("status", "Shows the nodes."),
            CommandSpecification(
                "put", "Writes a value.",
                arguments: [
                    ArgumentSpecification("KEY", "the key"), ArgumentSpecification("VALUE", "its value"),
                ],
                options: [OptionSpecification("--level", value: "LEVEL", "Consistency level.")]),
            CommandSpecification(
                "get", "Reads values.", arguments: [ArgumentSpecification("KEY", "the keys", .many)],
                options: [OptionSpecification("--set", value: "A=B", repeats: true, "Overrides.")]),
            CommandSpecification(
                "config", "Works on cluster.yaml.",
                commands: [
                    CommandSpecification(
                        "check", "Checks it.",
                        arguments: [ArgumentSpecification("FILE", "the file", .optional)])
                ]),
        ])

    private func run(_ line: String) throws -> ParsedCommandLine {
        let outcome = program.parse(line.split(separator: " ").map(String.init))
        guard case .run(let parsed) = outcome else {
            Issue.record("\(outcome)")
            throw CancellationError()
        }
        return parsed
    }

    private func usage(_ line: String) -> String {
        guard case .usage(let text) = program.parse(line.split(separator: " ").map(String.init)) else {
            return ""
        }
        return text
    }

    private func help(_ line: String) -> String {
        guard case .help(let text) = program.parse(line.split(separator: " ").map(String.init)) else {
            return ""
        }
        return text
    }

    @Test func optionsStandAnywhereInBothSpellings() throws {
        for line in [
            "--host 127.0.0.2 put a --level=ONE 1 --json", "put --json --host=127.0.0.2 --level ONE a 1",
        ] {
            let parsed = try run(line)
            #expect(parsed.commands == ["put"])
            #expect(parsed.arguments == ["a", "1"])
            #expect(parsed.value("--host") == "127.0.0.2")
            #expect(parsed.value("--level") == "ONE")
            #expect(parsed.has("--json"))
            #expect(!parsed.has("--set"))
        }
    }

    @Test func twoDashesEndTheOptionsAndNumbersAreWords() throws {
        #expect(try run("put a -- --level").arguments == ["a", "--level"])
        #expect(try run("put a -5").arguments == ["a", "-5"])
        #expect(try run("put a -").arguments == ["a", "-"])
    }

    @Test func valuesMayHoldEqualSignsAndRepeat() throws {
        #expect(try run("get a --set x=1 --set=y=2").values("--set") == ["x=1", "y=2"])
        #expect(try run("get a --set=").value("--set") == "")
    }

    @Test func commandsNest() throws {
        #expect(try run("config check").commands == ["config", "check"])
        #expect(try run("config check --json a.yaml").arguments == ["a.yaml"])
    }

    @Test(arguments: [
        ("", "which command? There are status, put, get, config"),
        ("stats", "unknown command \"stats\": did you mean status?"),
        ("xyzzy", "there are status"), ("config", "martlet config: which command? There are check"),
        ("put a", "missing VALUE: its value"), ("put a b c", "one word too many: \"c\""),
        ("get", "missing KEY: the keys"), ("put a 1 --levle ONE", "did you mean --level?"),
        ("--level ONE put a 1", "it belongs after the command: put"),
        ("status --json=1", "--json takes no value"),
        ("put a 1 --level", "--level needs a value: --level LEVEL"),
        ("put a 1 --level --json", "--level needs a value"),
        ("put a 1 --level ONE --level TWO", "given twice"),
        ("status -h", "did you mean --help?"), ("status -x", "unknown option -x"),
    ])
    func mistakesGetUsage(_ line: String, _ expected: String) {
        let text = usage(line)
        #expect(text.contains(expected), "\(text)")
        #expect(text.contains("usage: martlet") && text.contains("--help"))
    }

    @Test func helpIsWrittenFromTheTable() {
        let text = help("--help")
        for part in [
            "Speaks to a cluster.", "usage: martlet [options] COMMAND", "  put     Writes a value.",
            "  --host ADDRESS  Which node to ask.", "  martlet status\n      shows the nodes", "--help",
        ] {
            #expect(text.contains(part), "\(text)")
        }
        let put = help("put --help")
        #expect(put.contains("usage: martlet put [options] KEY VALUE"), "\(put)")
        #expect(put.contains("--level LEVEL") && put.contains("--host ADDRESS"))
        #expect(help("config check --help").contains("[FILE]"))
    }
}
