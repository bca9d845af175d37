import MartletBase
import MartletConfig
import MartletRESP
import MartletVersions

extension Command {
    static let siblings = Command(
        CommandSpecification(
            "siblings", "Shows the concurrent versions of a key: who wrote them, when, and what was seen.",
            arguments: [ValueOptions.keyArgument],
            options: [ValueOptions.level, ValueOptions.base64Key, Session.keyspaceOption] + Session.options,
            examples: [
                ("martlet siblings cart:42 --keyspace carts", "the versions that wait to be resolved"),
                ("martlet siblings cart:42 --keyspace carts --json", "the same for scripts"),
            ],
            notes: """
                A dot names one write: the hybrid time and the node that coordinated it. `seen` is the key's
                causal context: through which time all writes of a node are known, and single ones beyond.
                """)
    ) { invocation throws(Failure) in
        let key = try ValueOptions.key(invocation)
        let session = try Session(invocation)
        let names = try NodeNames(session)
        let words = [Blob("VGET"), key, Blob("META")] + (try ValueOptions.words(invocation, isWrite: false))
        let reply = try ValueOptions.call(words, about: key, session, invocation, isWrite: false)
        guard let answer = ValueReport(reply, hasMeta: true),
            let report = SiblingsReport(answer, key: key, names: names)
        else { throw session.notMartlet("a read has a context and versions") }
        if invocation.isJSON {
            Output.write(report.json)
        } else {
            let terminal = Terminal.output
            Output.write(report.text(columnsMax: terminal.columns, palette: terminal.palette))
        }
        return report.versions.isEmpty ? .negative : .done
    }
}

/// Nodes by the first half of their ids, which is what stamps name their writers by.
package struct NodeNames {
    private var names: [UInt64: String] = [:]

    init(_ session: Session) throws(Failure) {
        let status = try session.json(["MARTLET", "STATUS"]).value
        for node in status["nodes"]?.elements ?? [] {
            guard let name = node["name"]?.text, let id = node["id"]?.text else { continue }
            add(name, id: id)
        }
    }

    package init(_ nodes: [(name: String, id: String)]) {
        for node in nodes { add(node.name, id: node.id) }
    }

    private mutating func add(_ name: String, id: String) {
        if let id = NodeID(hex: id) { names[id.short] = name }
    }

    func name(of writer: Writer) -> String { names[writer.node] ?? "node \(hex(writer.node))" }
}

/// What `siblings` says.
package struct SiblingsReport {
    package struct Version {
        package let version: ValueReport.Version
        package let dot: Stamp
    }

    package let key: Blob
    package let versions: [Version]
    package let seen: CausalContext
    private let names: NodeNames

    /// Nil when versions or context can't be read.
    package init?(_ answer: ValueReport, key: Blob, names: NodeNames) {
        self.key = key
        self.names = names
        var versions: [Version] = []
        for version in answer.versions ?? [] {
            let token = Blob(version.version)
            guard let dot = try? VersionToken.decode(token.span, key: key.span, latest: .latest) else {
                return nil
            }
            versions.append(Version(version: version, dot: dot))
        }
        self.versions = versions
        let token = Blob(answer.context ?? "")
        if let context = try? VersionToken.decodeContext(token.span, key: key.span, latest: .latest) {
            seen = context
        } else {
            seen = .empty
        }
    }

    private var live: Int { versions.count { $0.version.value != nil } }

    package func text(columnsMax: Int?, palette: Palette) -> String {
        guard !versions.isEmpty else { return "\(keyText(key)) was never written\n" }
        var table = Table([
            .init("value"), .init("written at"), .init("by"), .init("expires at", rank: 2),
            .init("dot", rank: 1),
        ])
        for each in versions {
            let value: Table.Cell =
                each.version.isTombstone
                ? .init("(deleted)", .doubtful) : .init(each.version.value.map(keyText) ?? "(expired)")
            table.add([
                value, .init(Quantities.utc(milliseconds: each.dot.time.milliseconds)),
                .init(names.name(of: each.dot.writer)),
                .init(each.version.expiresAtMilliseconds.map(Quantities.utc(milliseconds:)) ?? "never"),
                .init("\(each.dot)"),
            ])
        }
        var out = table.text(columnsMax: columnsMax, palette: palette)
        if live > 1 {
            out +=
                "\(live) concurrent versions: a put with the context that `martlet get --json` shows "
                + "resolves them\n"
        }
        for entry in seen.entries {
            let beyond = entry.beyond.isEmpty ? "" : " and \(entry.beyond.count) beyond"
            let through =
                entry.through == .zero
                ? "nothing" : "all through \(Quantities.utc(milliseconds: entry.through.milliseconds))"
            out += "seen of \(names.name(of: entry.writer)): \(through)\(beyond)\n"
        }
        return out
    }

    package var json: JSONValue {
        func dot(_ stamp: Stamp) -> [(String, JSONValue)] {
            [
                ("dot", .string("\(stamp)")), ("node", .string(names.name(of: stamp.writer))),
                ("written_at_ms", .integer(Int(stamp.time.milliseconds))),
            ]
        }
        let isText = !versions.contains { $0.version.value != nil && $0.version.value?.text == nil }
        return .object([
            ("format", .integer(1)), ("key", .string(key.text ?? ValueReport.base64(key.bytes))),
            ("encoding", .string(isText ? "utf8" : "base64")), ("live", .integer(live)),
            (
                "versions",
                .array(
                    versions.map { each in
                        .object(
                            [
                                (
                                    "value",
                                    .optional(
                                        each.version.value.map {
                                            isText ? $0.text ?? "" : ValueReport.base64($0.bytes)
                                        })
                                )
                            ] + dot(each.dot) + [
                                ("version", .string(each.version.version)),
                                (
                                    "expires_at_ms",
                                    each.version.expiresAtMilliseconds.map { .integer(Int($0)) } ?? .null
                                ),
                                ("tombstone", .boolean(each.version.isTombstone)),
                            ])
                    })
            ),
            (
                "seen",
                .array(
                    seen.entries.map { entry in
                        .object([
                            ("node", .string(names.name(of: entry.writer))),
                            ("writer", .string("\(entry.writer)")),
                            ("through_ms", .integer(Int(entry.through.milliseconds))),
                            ("beyond", .integer(entry.beyond.count)),
                        ])
                    })
            ),
        ])
    }
}
