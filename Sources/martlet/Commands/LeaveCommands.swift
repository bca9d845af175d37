import MartletBase
import MartletConfig
import MartletRing

extension Command {
    private static let node = ArgumentSpecification("NODE", "its name or id")
    private static let options =
        [RingAction.planOption, RingAction.abortOption, RingAction.detachOption] + Session.options

    /// A node that is up leaves the ring.
    static let decommission = Command(
        CommandSpecification(
            "decommission", "Has a node give its data to the others and leave the ring.", arguments: [node],
            options: options,
            examples: [
                ("martlet decommission n2 --plan", "what would move, and how even the ring is afterwards"),
                ("martlet decommission n2", "do it, and wait until n2 has left and stopped"),
                ("martlet decommission n2 --abort", "n2 stays; a node that joins does not"),
            ], notes: RingAction.notes)
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let picture = try RingPicture.ask(session)
        if invocation.line.has("--abort") { return try abort(invocation, session) }
        let entry = try RingAction.node(invocation.line.arguments[0], in: picture)
        let name = entry.name
        if invocation.line.has("--plan") { return try plan(entry, picture, invocation) }
        let own = try RingAction.session(with: name, picture.status)
        _ = try own.call(["MARTLET", "NODE", "LEAVE"])
        if invocation.line.has("--detach") { return RingAction.acknowledge(invocation, "\(name) leaves") }
        var watch = ChangeWatch("\(name) leaves", asking: RingAction.endpoints(picture.status))
        let end = watch.wait { status in
            let state = RingAction.state(of: entry.id, status)
            if state == "left" || state == "removed" { return .over }
            // It knew of its wish before anybody else.
            return status["asked"]?.text == name && state == "normal"
                ? .failed("\(name) doesn't leave any more: it was called off") : .underWay
        }
        return try RingAction.finish(
            end, invocation, undo: "`martlet decommission \(name) --abort`")
    }

    /// A node that is dead is given up.
    static let remove = Command(
        CommandSpecification(
            "remove", "Gives up a dead node: the others take over what it held.", arguments: [node],
            options: [RingAction.planOption, RingAction.detachOption] + Session.options,
            examples: [
                ("martlet remove n3", "n3 is dead for good; its copies are made anew from the others'"),
                ("martlet remove n3 --plan", "what would move"),
            ],
            notes: """
                Its id is never used again: a machine that comes back with the old data folder is refused, and
                joins with an empty one. A node that is up is not removed: `martlet decommission` it.
                """ + "\n" + RingAction.notes)
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let picture = try RingPicture.ask(session)
        let text = invocation.line.arguments[0]
        let entry = picture.node(text)
        if invocation.line.has("--plan") {
            return try plan(try RingAction.node(text, in: picture), picture, invocation)
        }
        // A node that joins owns nothing yet, and may be removed all the same: the ring knows it.
        _ = try session.call(["MARTLET", "NODE", "REMOVE", text])
        guard let entry, !invocation.line.has("--detach") else {
            return RingAction.acknowledge(invocation, "\(text) is removed")
        }
        var watch = ChangeWatch("removing \(entry.name)", asking: RingAction.endpoints(picture.status))
        let end = watch.wait { status in
            RingAction.state(of: entry.id, status) == "removed" ? .over : .underWay
        }
        return try RingAction.finish(
            end, invocation, undo: "nothing, once others have gone on without \(entry.name),")
    }

    private static func plan(
        _ entry: RingEntry, _ picture: RingPicture, _ invocation: Invocation
    ) throws(Failure) -> ExitCode {
        try RingAction.checkCopies(picture, without: entry)
        PlanReport("\(entry.name) leaves", picture, .leave(entry.id)).show(invocation)
        return .done
    }

    private static func abort(_ invocation: Invocation, _ session: Session) throws(Failure) -> ExitCode {
        let text = invocation.line.arguments[0]
        _ = try session.call(["MARTLET", "NODE", "ABORT", text])
        return RingAction.acknowledge(invocation, "\(text): the change is called off")
    }
}
