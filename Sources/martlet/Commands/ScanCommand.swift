import MartletBase
import MartletConfig
import MartletRESP

extension Command {
    static let scan = Command(
        CommandSpecification(
            "scan", "Lists the keys of a keyspace, one a line.",
            options: [
                OptionSpecification("--match", value: "PATTERN", "Only keys that match: * ? [a-z] \\x."),
                OptionSpecification("--type", value: "TYPE", "Only keys of this type, such as string."),
                OptionSpecification("--limit", value: "N", "Stop after N keys."),
                OptionSpecification(
                    "--count", value: "N", "Keys that the node looks at before it answers (1000)."),
                OptionSpecification("--count-only", "How many there are, in place of the keys."),
                OptionSpecification(
                    "--raw", "Keys' bytes as they are, on a terminal too, where they are quoted else."),
                Session.keyspaceOption,
            ] + Session.options,
            examples: [
                ("martlet scan --limit 20", "some keys"),
                ("martlet scan --match 'session:*' > keys.txt", "with a progress bar while it lasts"),
                ("martlet scan --match 'session:*' --count-only", "how many sessions there are"),
                ("martlet scan --json", "an object a line: keys that are no text as base64"),
            ],
            notes: """
                A key that is there from the beginning to the end is listed; one that comes or goes meanwhile
                may be or not. When the node that is asked fails, another one goes on from there.
                """)
    ) { invocation throws(Failure) in
        var scan = try Scan(invocation)
        return try scan.run()
    }
}

private struct Scan {
    private let invocation: Invocation
    private let options: [Blob]
    private let limit: Int
    private let isCountOnly: Bool
    private var session: Session
    private var count = 0
    private var progress: ProgressBar?
    private var failuresLeft = 3

    init(_ invocation: Invocation) throws(Failure) {
        self.invocation = invocation
        let line = invocation.line
        isCountOnly = line.has("--count-only")
        if line.has("--raw"), isCountOnly || invocation.isJSON {
            throw .usage("--raw prints keys as they are: it excludes --json and --count-only")
        }
        limit = try invocation.number("--limit", 1...Int.max) ?? Int.max
        let pageKeys = try invocation.number("--count", 1...1_000_000) ?? min(1_000, limit)
        var options = [Blob("COUNT"), Blob(String(pageKeys))]
        if let pattern = line.value("--match") { options += [Blob("MATCH"), Blob(pattern)] }
        if let type = line.value("--type") { options += [Blob("TYPE"), Blob(type)] }
        self.options = options
        session = try Session(invocation)
        // Where the keys go by on the terminal there is no room for a bar.
        if isCountOnly || !Terminal.output.isTerminal {
            progress = ProgressBar(isCountOnly ? "counting" : "scanning", unit: "keys")
        }
    }

    mutating func run() throws(Failure) -> ExitCode {
        var cursor = Blob("0")
        repeat {
            let page: (cursor: Blob, keys: ArraySlice<Blob>)
            do {
                page = try self.page(cursor)
            } catch {
                progress?.clear()
                throw error
            }
            count += page.keys.count
            cursor = page.cursor
            if !isCountOnly, !page.keys.isEmpty {
                progress?.clear()
                Output.write(text(page.keys))
            }
            progress?.show(
                ProgressBar.Point(done: Double(count), fraction: ScanReport.fraction(cursor: cursor)))
        } while cursor != Blob("0") && count < limit
        progress?.clear()
        if isCountOnly {
            if invocation.isJSON {
                Output.write(.object([("format", .integer(1)), ("keys", .integer(count))]))
            } else {
                Output.write("\(count)\n")
            }
        }
        return .done
    }

    /// One answer, not more keys than are wanted. A cursor holds at every node, so when one fails the next
    /// goes on.
    private mutating func page(_ cursor: Blob) throws(Failure) -> (cursor: Blob, keys: ArraySlice<Blob>) {
        while true {
            do throws(Failure) {
                let reply = try session.call([Blob("SCAN"), cursor] + options)
                guard let parts = reply.elements, parts.count == 2, let next = parts[0].blob,
                    let keys = parts[1].elements
                else { throw session.notMartlet("SCAN gives a cursor and keys") }
                return (next, keys.compactMap(\.blob).prefix(limit - count))
            } catch {
                guard error.code == "TIMEOUT", failuresLeft > 0 else { throw error }
                failuresLeft -= 1
                session = try Session(invocation)
            }
        }
    }

    private func text(_ keys: ArraySlice<Blob>) -> [UInt8] {
        let isQuoted = Terminal.output.isTerminal && !invocation.line.has("--raw")
        var out: [UInt8] = []
        for key in keys {
            if invocation.isJSON {
                out += Array(ScanReport.json(key).description.utf8)
            } else if isQuoted {
                out += Array(keyText(key).utf8)
            } else {
                out += key.bytes
            }
            out.append(UInt8(ascii: "\n"))
        }
        return out
    }
}

/// What `scan` says.
package enum ScanReport {
    package static func json(_ key: Blob) -> JSONValue {
        .object([
            ("format", .integer(1)), ("key", .string(key.text ?? ValueReport.base64(key.bytes))),
            ("encoding", .string(key.text == nil ? "base64" : "utf8")),
        ])
    }

    /// How far a scan has come: a cursor is a place in the 64 bits of tokens. Nil at the end, and for a
    /// cursor of another kind.
    package static func fraction(cursor: Blob) -> Double? {
        guard let text = cursor.text, let token = UInt64(text), token > 0 else { return nil }
        return Double(token) / 0x1p64
    }
}
