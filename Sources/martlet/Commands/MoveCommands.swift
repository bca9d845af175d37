import MartletBase
import MartletConfig
import MartletRing

extension Command {
    static let move = Command(
        CommandSpecification(
            "move", "Gives a node other tokens or another zone in place of its own.",
            arguments: [
                ArgumentSpecification("NODE", "its name or id"),
                ArgumentSpecification(
                    "SLOT", "the last slot of a range that it begins; if none is said, its own", .any),
            ],
            options: [
                OptionSpecification("--zone", value: "ZONE", "What fails together with it, if another."),
                OptionSpecification(
                    "--datacenter", value: "NAME", "Refused, with what to do: that is for good."),
                RingAction.planOption, RingAction.abortOption, RingAction.detachOption,
            ] + Session.options,
            examples: [
                ("martlet move n2 --zone west --plan", "what would move"),
                ("martlet move n2 --zone west", "n2 is in the zone west from now on"),
                ("martlet move n2 1023 9215", "n2 has these two tokens from now on"),
                ("martlet move n2 --abort", "n2 stays where it is"),
            ],
            notes: """
                The ring says where a node is, not cluster.yaml: set `zone` there too, or `martlet status`
                says that they differ. `martlet rebalance` chooses tokens by itself.
                """ + "\n" + RingAction.notes)
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let picture = try RingPicture.ask(session)
        let entry = try RingAction.node(invocation.line.arguments[0], in: picture)
        if invocation.line.has("--abort") { return try abortMove(entry.name, invocation, session) }
        let move = try wantedMove(invocation, of: entry, in: picture)
        let title = move.zone.map { "\(entry.name) moves to zone \($0)" } ?? "\(entry.name) moves"
        if invocation.line.has("--plan") {
            PlanReport(title, picture, .move([move])).show(invocation)
            return .done
        }
        try ask(move, of: entry.name, picture.status)
        if invocation.line.has("--detach") { return RingAction.acknowledge(invocation, title) }
        let end = awaitMove(entry.name, title, picture.status)
        return try RingAction.finish(end, invocation, undo: "`martlet move \(entry.name) --abort`")
    }

    private static func wantedMove(
        _ invocation: Invocation, of entry: RingEntry, in picture: RingPicture
    ) throws(Failure) -> RingMove {
        if invocation.line.value("--datacenter") != nil {
            throw .refused(
                "a node's data centre is for good, because levels are counted by it: `martlet decommission "
                    + "\(entry.name)`, empty its data folder, and let it join in the other one")
        }
        let zone = invocation.line.value("--zone")
        if let zone, !NameRule.place.accepts(zone) {
            throw .usage("\(quoted(zone)) is no name of a zone: \(NameRule.place.allowed)")
        }
        let slots = try slots(invocation, of: entry, in: picture)
        guard zone != nil || !slots.isEmpty else {
            throw .usage("where to? move takes --zone ZONE, or the slots that are to be its tokens")
        }
        return RingMove(node: entry.id, tokens: slots.isEmpty ? entry.tokens : slots, zone: zone)
    }

    static let rebalance = Command(
        CommandSpecification(
            "rebalance", "Moves tokens until no node holds more than its part.",
            options: [
                RingAction.planOption,
                OptionSpecification("--apply", "Do it, one node after the other."),
                OptionSpecification("--abort", "Call the move in hand off; those that are over stay."),
            ] + Session.options,
            examples: [
                ("martlet rebalance --plan", "what would move, and how even the ring is before and after"),
                ("martlet rebalance --apply", "do it"),
            ],
            notes: """
                The fullest node holds at most 1.05 of its part afterwards, where the zones allow that; a ring
                that is as even is left alone. Called again after Ctrl-C, it goes on from where the ring is.
                """)
    ) { invocation throws(Failure) in
        let asked = ["--plan", "--apply", "--abort"].filter(invocation.line.has)
        guard asked.count == 1 else {
            throw .usage("rebalance takes one of --plan, --apply and --abort")
        }
        let session = try Session(invocation)
        let picture = try RingPicture.ask(session)
        if invocation.line.has("--abort") { return try abortMove(invocation, session, picture.status) }
        if let change = picture.status["change"], change != .null, change["kind"]?.text != "move" {
            throw .refused(
                "the ring changes already (\(ChangeProgress.subject(change)): "
                    + "\(change["kind"]?.text ?? "-")): wait until `martlet status` shows no change")
        }
        let moves = Rebalance.choose(in: picture.ring, replication: picture.keyspaces[0].replication)
        if invocation.line.has("--plan") {
            PlanReport(
                "rebalance, \(Quantities.counted(moves.count, "move", "moves"))", picture, .move(moves)
            ).show(invocation)
            return .done
        }
        for (place, move) in moves.enumerated() {
            let name = picture.names[move.node] ?? "-"
            try ask(move, of: name, picture.status)
            let end = awaitMove(
                name, "rebalancing \(place + 1)/\(moves.count), \(name) moves", picture.status)
            if case .over = end { continue }
            return try RingAction.finish(end, invocation, undo: "`martlet rebalance --abort`")
        }
        return try RingAction.showStatus(invocation)
    }

    private static func abortMove(
        _ invocation: Invocation, _ session: Session, _ status: JSONValue
    ) throws(Failure) -> ExitCode {
        guard let change = status["change"], change["kind"]?.text == "move",
            let name = change["node"]?.text
        else { throw .refused("no node moves: there is nothing to call off") }
        return try abortMove(name, invocation, session)
    }

    private static func abortMove(
        _ name: String, _ invocation: Invocation, _ session: Session
    ) throws(Failure) -> ExitCode {
        _ = try session.call(["MARTLET", "NODE", "ABORT", name])
        return RingAction.acknowledge(invocation, "\(name) stays where it is")
    }

    private static func slots(
        _ invocation: Invocation, of entry: RingEntry, in picture: RingPicture
    ) throws(Failure) -> [Slot] {
        var slots: [Slot] = []
        for word in invocation.line.arguments.dropFirst() {
            guard let slot = Int(word), (0..<Limits.slots).contains(slot) else {
                throw .usage("\(quoted(word)) is no slot: 0 to \(Limits.slots - 1)")
            }
            guard !slots.contains(Slot(slot)) else { throw .usage("slot \(slot) is named twice") }
            let other = picture.ring.entries.first { $0.id != entry.id && $0.tokens.contains(Slot(slot)) }
            if let other {
                throw .refused("\(other.name) has the token \(slot): choose another slot for \(entry.name)")
            }
            slots.append(Slot(slot))
        }
        guard slots.count <= Limits.tokensPerNodeMax else {
            throw .usage("a node has at most \(Limits.tokensPerNodeMax) tokens")
        }
        return slots.sorted()
    }

    private static func ask(_ move: RingMove, of name: String, _ status: JSONValue) throws(Failure) {
        let own = try RingAction.session(with: name, status)
        let zone = move.zone.map { ["ZONE", $0] } ?? []
        _ = try own.call(["MARTLET", "NODE", "MOVE"] + move.tokens.map { "\($0.index)" } + zone)
    }

    /// The node that moves knew of it first, and completes it.
    private static func awaitMove(_ name: String, _ title: String, _ status: JSONValue) -> ChangeWatch.End {
        var watch = ChangeWatch(title, asking: RingAction.endpoints(status))
        return watch.wait { status in
            guard status["asked"]?.text == name else { return .underWay }
            return status["change"] == nil || status["change"] == .null ? .over : .underWay
        }
    }

    static let drain = Command(
        CommandSpecification(
            "drain", "Has a node finish what it does, say goodbye and stop.",
            arguments: [ArgumentSpecification("NODE", "its name")], options: Session.options,
            examples: [
                ("martlet drain n2", "before its machine is serviced; it keeps its place in the ring")
            ],
            notes: """
                It is what SIGTERM does: no new clients, what is in flight is finished and synced, the others
                are told. What they keep for it meanwhile they deliver when it is back.
                """)
    ) { invocation throws(Failure) in
        let name = invocation.line.arguments[0]
        let status = try Session(invocation).json(["MARTLET", "STATUS"]).raw
        let names = RingAction.states(status).keys.sorted()
        guard names.contains(name) else {
            let hint = nearest(name, in: names).map { "did you mean \($0)?" }
            throw .usage("no node is named \(quoted(name)): \(hint ?? names.joined(separator: ", "))")
        }
        _ = try RingAction.session(with: name, status).call(["MARTLET", "NODE", "DRAIN"])
        return RingAction.acknowledge(invocation, "\(name) drains and stops")
    }
}
