import MartletBase
import MartletConfig
import MartletRing

extension Command {
    private static let dataOption = OptionSpecification(
        "--data", value: "FOLDER", "Where nodes' folders are, in place of the file's.")

    static let join = Command(
        CommandSpecification(
            "join", "Starts one more node on this machine, which joins the ring.",
            arguments: [
                ArgumentSpecification("NAME", "its name; the next of n4, n5... if none is said", .optional)
            ],
            options: Growth.placeOptions + [dataOption] + Session.options,
            examples: [
                ("martlet join --plan", "what a node more would take from whom"),
                ("martlet join n7 --zone west", "start it, and wait until it owns its part"),
            ],
            notes: """
                On another machine: `martletd --config FILE --name NAME --address ADDRESS`, with a file whose
                seeds or nodes are of the cluster.
                """)
    ) { invocation throws(Failure) in
        let newcomers = newcomers(invocation, name: invocation.line.arguments.first)
        let growth = try Growth(invocation)
        return try invocation.line.has("--plan") ? growth.showPlan(newcomers) : growth.run(newcomers)
    }

    static let replace = Command(
        CommandSpecification(
            "replace", "Starts a new node on this machine in the place of a dead one.",
            arguments: [ArgumentSpecification("NODE", "the dead one's name or id")],
            options: [
                OptionSpecification(
                    "--name", value: "NAME", "The new node's name; the next of n4, n5... if none is said.")
            ] + Growth.placeOptions + [dataOption] + Session.options,
            examples: [
                ("martlet replace n3", "a new node takes over what n3 held, and n3 is given up"),
                ("martlet replace n3 --plan", "what moves: only to the new node"),
            ],
            notes: """
                The new node takes the dead one's tokens, so nothing moves between the others. It is in the
                dead one's zone unless told otherwise. On another machine: `martletd --replace ID`.
                """)
    ) { invocation throws(Failure) in
        let growth = try Growth(invocation)
        let dead = try RingAction.node(invocation.line.arguments[0], in: growth.picture)
        let liveness = KnownNode.all(in: growth.picture.status).first { $0.name == dead.name }?.liveness
        guard liveness == "down" else {
            throw .refused(
                "\(dead.name) is \(liveness ?? "there"): only a node that is down is replaced; "
                    + "`martlet decommission \(dead.name)` has a live one leave")
        }
        var newcomers = newcomers(invocation, name: invocation.line.value("--name"))
        newcomers.replaces = dead.id
        newcomers.zone = newcomers.zone ?? dead.zone
        newcomers.datacenter = newcomers.datacenter ?? dead.dataCenter
        return try invocation.line.has("--plan") ? growth.showPlan(newcomers) : growth.run(newcomers)
    }

    private static func newcomers(_ invocation: Invocation, name: String?) -> Growth.Newcomers {
        Growth.Newcomers(
            name: name, address: invocation.line.value("--address"), zone: invocation.line.value("--zone"),
            datacenter: invocation.line.value("--datacenter"))
    }
}
