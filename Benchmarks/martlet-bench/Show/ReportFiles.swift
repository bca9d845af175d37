import MartletConfig

/// Where a command that only computes writes what it found: `--json`, `--output`, `--table`.
struct ReportFiles {
    static let options = [
        OptionSpecification("--json", value: "FILE", "Write the results; - is stdout."),
        OptionSpecification("--output", value: "FOLDER", "Write plots as SVG there."),
        OptionSpecification(
            "--table", value: "FILE", "Write what is found between its marks in this document."),
    ]

    private let json: String?
    private let folder: String?
    private let document: MarkedTable?

    init(_ line: ParsedCommandLine, command: String) throws(Failure) {
        json = line.value("--json")
        folder = line.value("--output")
        document = try line.value("--table").map { path throws(Failure) in
            try MarkedTable(path, command: command)
        }
    }

    /// Whether results are also told as they come: stdout isn't taken by JSON.
    var talks: Bool { json != "-" }

    /// - Parameter markdown: the table; nil when it stays as it is.
    func write(
        _ results: JSON, markdown: String?, how: String, plots: [(name: String, plot: Plot)]
    ) throws(Failure) {
        if json == "-" { say(results.description) }
        if let json, json != "-" { try writeFile(json, results.description + "\n") }
        if let markdown { try document?.write(markdown, how: how) }
        guard let folder else { return }
        try makeFolder(folder)
        for (name, plot) in plots { try writeFile("\(folder)/\(name).svg", plot.svg) }
    }
}
