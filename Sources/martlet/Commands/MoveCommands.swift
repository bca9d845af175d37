import MartletBase
import MartletConfig
import MartletRing

extension Command {
    static let move = Command(
        CommandSpecification(
            "move", "Gives a node other tokens in place of its own.",
            arguments: [
                ArgumentSpecification("NODE", "its name or id"),
                ArgumentSpecification("SLOT", "the last slot of a range that it begins", .many),
            ],
            options: [RingAction.planOption, RingAction.detachOption] + Session.options,
            examples: [
                ("martlet move n2 1023 9215 --plan", "what would move"),
                ("martlet move n2 1023 9215", "n2 has these two tokens from now on"),
            ], notes: "`martlet rebalance` chooses tokens by itself.\n" + RingAction.notes)
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let picture = try RingPicture.ask(session)
        let entry = try RingAction.node(invocation.line.arguments[0], in: picture)
        let move = RingMove(node: entry.id, tokens: try slots(invocation, of: entry, in: picture))
        if invocation.line.has("--plan") {
            PlanReport("\(entry.name) takes other tokens", picture, .move([move])).show(invocation)
            return .done
        }
        try ask(move, of: entry.name, picture.status)
        if invocation.line.has("--detach") {
            return RingAction.acknowledge(invocation, "\(entry.name) moves")
        }
        let end = awaitMove(entry.name, "\(entry.name) moves", picture.status)
        return try RingAction.finish(end, invocation, undo: "`martlet rebalance --abort`")
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
        _ = try session.call(["MARTLET", "NODE", "ABORT", name])
        return RingAction.acknowledge(invocation, "\(name) keeps its tokens")
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
        _ = try own.call(["MARTLET", "NODE", "MOVE"] + move.tokens.map { "\($0.index)" })
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
