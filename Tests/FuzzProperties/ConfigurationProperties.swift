import MartletBase
import MartletConfig

/// A cluster.yaml is taken or refused. If it is taken, what is written of it reads as the same; if it is
/// refused, each complaint is one line and names a line of the file.
func checkConfiguration(_ input: [UInt8]) throws(PropertyFailure) {
    let loaded: LoadedConfiguration
    do throws(ConfigurationError) {
        loaded = try ConfigurationLoader.load(text: input, path: "cluster.yaml")
    } catch {
        try checkRefusal(error, of: input)
        return
    }
    let text = loaded.configuration.yaml()
    do throws(ConfigurationError) {
        let again = try ConfigurationLoader.load(text: Array(text.utf8), path: "written.yaml")
        try expectSame(again.configuration, loaded.configuration, text)
    } catch {
        throw PropertyFailure("what is written of a good file is refused: \(error)\n\(text)")
    }
    for warning in loaded.warnings { try checkLine(warning) }
    for node in loaded.configuration.nodes { _ = loaded.dataFolder(of: node) }
    _ = try? loaded.ownNode()
}

private func expectSame(
    _ again: ClusterConfiguration, _ first: ClusterConfiguration, _ text: String
) throws(ConfigurationError) {
    invariant(again == first, "what is written of a good file reads as another: \(text)")
}

private func checkRefusal(_ error: ConfigurationError, of input: [UInt8]) throws(PropertyFailure) {
    let lines = lineCount(of: input)
    try require(!error.issues.isEmpty, "a file is refused for nothing")
    try require(error.issues.count <= Limits.configurationIssuesMax, "\(error.issues.count) complaints")
    for issue in error.issues {
        guard case .file(let line) = issue.source else {
            throw PropertyFailure("a complaint about a file is placed elsewhere: \(issue)")
        }
        try require((1...lines).contains(line), "line \(line) of \(lines) is complained about: \(issue)")
        try checkLine(issue.text(path: "cluster.yaml"))
    }
}

/// Lines as YAML counts them; what follows the last line end is one only if it is something.
private func lineCount(of text: [UInt8]) -> Int {
    let ends: [[UInt8]] = [
        [0x0D, 0x0A], [0x0A], [0x0D], [0xC2, 0x85], [0xE2, 0x80, 0xA8], [0xE2, 0x80, 0xA9],
    ]
    var (lines, offset) = (1, 0)
    while offset < text.count {
        let end = ends.first { text[offset...].starts(with: $0) }
        offset += end?.count ?? 1
        if end != nil, offset < text.count { lines += 1 }
    }
    return lines
}

/// Foreign text in a message doesn't break its line, and doesn't make it a page.
private func checkLine(_ text: String) throws(PropertyFailure) {
    let isPlain = text.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 }
    try require(isPlain, "a message with control characters: \(text.debugDescription)")
    try require(text.utf8.count < 4_096, "a message of \(text.utf8.count) bytes")
}
