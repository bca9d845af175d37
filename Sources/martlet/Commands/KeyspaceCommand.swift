import MartletBase
import MartletConfig
import MartletRESP
import MartletRing

extension Command {
    static let keyspace = Command(
        group: "keyspace", "Creates, alters, lists, shows and drops keyspaces.",
        [list, show, create, alter, drop])

    private static let name = ArgumentSpecification("NAME", "the keyspace")

    /// By the names that cluster.yaml gives them, with dashes.
    private static let changing = [
        OptionSpecification("--read", value: "LEVEL", "The level of reads that name none."),
        OptionSpecification("--write", value: "LEVEL", "The level of writes that name none."),
        OptionSpecification(
            "--sloppy-quorum", value: "true|false", "Whether other nodes may stand in for owners."),
        OptionSpecification(
            "--ttl", value: "TIME", "How long values live that don't say so, such as 60s; 0s for ever."),
        OptionSpecification(
            "--replication-factor", value: "N",
            "How many nodes hold a copy of each key, or so many for each data centre: dc1:3,dc2:2."),
        OptionSpecification("--conflict", value: "POLICY", "What becomes of concurrent writes: lww."),
    ]

    private static let list = Command(
        CommandSpecification(
            "list", "Lists the keyspaces, in the order of SELECT's indexes.", options: Session.options,
            examples: [("martlet keyspace list", "what there is, and how it is set")])
    ) { invocation throws(Failure) in
        let answer = try Session(invocation).json(["MARTLET", "KEYSPACE", "LIST"])
        show(answer, invocation, of: answer.value["keyspaces"]?.elements ?? [])
        return .done
    }

    private static let show = Command(
        CommandSpecification(
            "show", "Shows a keyspace.", arguments: [name], options: Session.options,
            examples: [("martlet keyspace show sessions --json", "its definition, for scripts")])
    ) { invocation throws(Failure) in
        try ask(invocation, ["SHOW", invocation.line.arguments[0]])
    }

    private static let create = Command(
        CommandSpecification(
            "create", "Creates a keyspace.", arguments: [name], options: changing + Session.options,
            examples: [
                (
                    "martlet keyspace create sessions --ttl 30min",
                    "its values live half an hour"
                ),
                (
                    "martlet keyspace create cache --replication-factor 2 --read ONE --write ONE",
                    "two copies, and one answer is enough"
                ),
            ],
            notes: "It is answered when all nodes that live have the keyspace on disk.")
    ) { invocation throws(Failure) in
        try ask(invocation, ["CREATE", invocation.line.arguments[0]] + options(invocation))
    }

    private static let alter = Command(
        CommandSpecification(
            "alter", "Changes what a keyspace's requests go by, and how many copies it has.",
            arguments: [name],
            options: changing + [RingAction.planOption, RingAction.detachOption] + Session.options,
            examples: [
                ("martlet keyspace alter sessions --read ONE", "from now on, on every node"),
                ("martlet keyspace alter sessions --replication-factor 5 --plan", "what would move"),
                (
                    "martlet keyspace alter sessions --replication-factor 5",
                    "do it, and wait until it is done"
                ),
            ],
            notes: """
                Changes take effect on every node without a restart. The conflict policy stays as it was
                created. With another replication factor the nodes hand copies over, as they do when nodes
                come and go; altering it to the one in force meanwhile calls that off.
                """ + "\n" + RingAction.notes)
    ) { invocation throws(Failure) in
        let options = options(invocation)
        guard !options.isEmpty else { throw .usage("nothing to change: say at least one of its options") }
        let name = invocation.line.arguments[0]
        let factor = invocation.line.value("--replication-factor")
        if invocation.line.has("--plan") { return try plan(invocation, name, factor) }
        guard factor != nil, !invocation.line.has("--detach") else {
            return try ask(invocation, ["ALTER", name] + options)
        }
        let session = try Session(invocation)
        _ = try session.json(["MARTLET", "KEYSPACE", "ALTER", name] + options)
        let status = try session.json(["MARTLET", "STATUS"]).raw
        let asked = status["asked"]?.text
        var watch = ChangeWatch("keyspace \(printable(name))", asking: RingAction.endpoints(status))
        let end = watch.wait { status in
            // All nodes know of it since ALTER was answered.
            guard status["asked"]?.text == asked else { return .underWay }
            return status["change"] == nil || status["change"] == .null ? .over : .underWay
        }
        if case .over = end { return try ask(invocation, ["SHOW", name]) }
        return try RingAction.finish(
            end, invocation, undo: "altering it to the replication factor in force")
    }

    private static func plan(
        _ invocation: Invocation, _ name: String, _ text: String?
    ) throws(Failure) -> ExitCode {
        guard let text else { throw .usage("only another --replication-factor moves anything to plan for") }
        guard let factor = ReplicationFactor(text) else {
            throw .usage(
                "--replication-factor: found \(quoted(text)), allowed: 1 to "
                    + "\(Limits.replicationFactorMax), or so many for each data centre: dc1:3,dc2:2")
        }
        let picture = try RingPicture.ask(try Session(invocation))
        guard let keyspace = picture.keyspaces.first(where: { $0.name == name }) else {
            throw .usage("no keyspace is named \(quoted(name))")
        }
        guard factor.isFilled(by: picture.ring.entries) else {
            throw .refused(
                "replication factor \(factor) needs a node for each copy, in each data centre that it names: "
                    + "add nodes first (`martlet up --add 1`)")
        }
        PlanReport(
            "keyspace \(printable(name)) gets replication factor \(factor), it has \(keyspace.replication)",
            picture, .alter(keyspace.id, factor)
        ).show(invocation)
        return .done
    }

    private static let drop = Command(
        CommandSpecification(
            "drop", "Drops a keyspace and all its keys.", arguments: [name], options: Session.options,
            examples: [("martlet keyspace drop cache", "nothing brings its keys back")])
    ) { invocation throws(Failure) in
        let name = invocation.line.arguments[0]
        _ = try Session(invocation).call(["MARTLET", "KEYSPACE", "DROP", name])
        Output.write(
            invocation.isJSON
                ? JSONValue.object([("format", .integer(1)), ("dropped", .string(name))]).description + "\n"
                : "keyspace \(printable(name)) is dropped\n")
        return .done
    }

    /// As words of the protocol.
    private static func options(_ invocation: Invocation) -> [String] {
        changing.flatMap { option -> [String] in
            guard let value = invocation.line.value(option.name) else { return [] }
            let name = option.name.dropFirst(2).split(separator: "-").joined(separator: "_")
            return [name, value]
        }
    }

    /// Asks for something that is answered by one definition, and shows that.
    private static func ask(_ invocation: Invocation, _ words: [String]) throws(Failure) -> ExitCode {
        let answer = try Session(invocation).json(["MARTLET", "KEYSPACE"] + words)
        show(answer, invocation, of: [answer.value])
        return .done
    }

    private static func show(
        _ answer: (text: Blob, raw: JSONValue, value: JSONValue), _ invocation: Invocation,
        of keyspaces: [JSONValue]
    ) {
        if invocation.isJSON {
            Output.write(answer.raw)
        } else {
            let terminal = Terminal.output
            Output.write(
                KeyspaceReport.text(keyspaces, columnsMax: terminal.columns, palette: terminal.palette))
        }
    }
}

/// What `keyspace` says of keyspaces.
package enum KeyspaceReport {
    package static func text(_ keyspaces: [JSONValue], columnsMax: Int?, palette: Palette) -> String {
        var table = Table([
            .init("index", right: true), .init("name"), .init("copies"), .init("conflict", rank: 2),
            .init("read"), .init("write"), .init("sloppy", rank: 3), .init("ttl", right: true),
            .init("flushed", rank: 1),
        ])
        for keyspace in keyspaces {
            let ttl = keyspace["ttl_ms"]?.double ?? 0
            let flushed = keyspace["flushed_ms"]?.integer
            table.add([
                .init(keyspace["index"]?.description ?? "-"), .init(keyspace["name"]?.text ?? "-"),
                .init(copies(of: keyspace)), .init(keyspace["conflict"]?.text ?? "-"),
                .init(keyspace["read"]?.text ?? "-"), .init(keyspace["write"]?.text ?? "-"),
                .init(keyspace["sloppy_quorum"] == .boolean(true) ? "yes" : "no"),
                .init(ttl == 0 ? "none" : Quantities.duration(seconds: ttl / 1_000)),
                .init(flushed.map { Quantities.utc(milliseconds: Int64($0)) } ?? "never"),
            ])
        }
        return table.text(columnsMax: columnsMax, palette: palette)
    }

    /// `3`, or `3 -> 5` while another factor is wanted.
    private static func copies(of keyspace: JSONValue) -> String {
        let factor = copies(keyspace["replication_factor"])
        guard let wanted = keyspace["replication_factor_wanted"], wanted != .null else { return factor }
        return "\(factor) -> \(copies(wanted))"
    }

    /// `3`, or `dc1:3 dc2:2`.
    private static func copies(_ factor: JSONValue?) -> String {
        guard case .members(let members)? = factor else { return factor?.description ?? "-" }
        return members.map { "\($0.name):\($0.value)" }.joined(separator: " ")
    }
}
