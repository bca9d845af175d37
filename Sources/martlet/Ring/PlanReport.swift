import MartletBase
import MartletConfig
import MartletRing

/// What `--plan` says: what a change of the ring would move, and how even the ring is before it and after.
package struct PlanReport {
    /// How much data a node takes in from others each second, for the estimate: a guess for a small machine
    /// with requests going on. What a change does is shown while it is under way.
    private static let bytesPerSecond = 20.0 * 1_048_576

    private let picture: RingPicture
    private let plan: RingChangePlan
    private let moves: [RingMove]
    private let title: String

    /// - Parameter title: what is planned, such as `n2 leaves`.
    package init(_ title: String, _ picture: RingPicture, _ wish: RingWish) {
        self.title = title
        self.picture = picture
        plan = RingChangePlan(from: picture.ring, wish, keyspaces: picture.keyspaces)
        if case .move(let moves) = wish { self.moves = moves } else { moves = [] }
    }

    /// Of all that nodes hold; nil when some don't say.
    private var totalBytes: Double? {
        let known = picture.ring.entries.compactMap { picture.bytes[$0.name] }
        return known.count == picture.ring.entries.count ? known.reduce(0, +) : nil
    }

    private var share: Double { plan.total == 0 ? 0 : Double(plan.moved) / Double(plan.total) }
    private var bytes: Double? { totalBytes.map { $0 * share } }

    /// The node that takes the most sets the pace.
    private var seconds: Double? {
        guard let totalBytes, plan.total > 0 else { return nil }
        let most =
            Dictionary(grouping: plan.transfers, by: \.to).values
            .map { $0.reduce(0) { $0 + $1.count } }.max() ?? 0
        return totalBytes * Double(most) / Double(plan.total) / Self.bytesPerSecond
    }

    /// Slots and transfers by who gives them to whom.
    private var ways: [(from: String, to: String, copies: Int, ranges: Int)] {
        let groups = Dictionary(grouping: plan.transfers) { [$0.from, $0.to] }
        return groups.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { key, transfers in
            (key[0], key[1], transfers.reduce(0) { $0 + $1.count }, transfers.count)
        }
    }

    package func text(columnsMax: Int?, palette: Palette) -> String {
        var out = palette.paint("plan", .strong) + ": \(title)\n"
        if plan.moved == 0 { return out + "nothing moves" + balanceText + "\n" }
        var table = Table([
            .init("from"), .init("to"), .init("slots", right: true), .init("ranges", right: true, rank: 2),
            .init("share", right: true, rank: 1), .init("bytes", right: true),
        ])
        for way in ways {
            let part = Double(way.copies) / Double(plan.total)
            table.add([
                .init(way.from), .init(way.to), "\(way.copies)", "\(way.ranges)", .init(percent(part)),
                .init(totalBytes.map { "~" + Quantities.bytes($0 * part) } ?? "-"),
            ])
        }
        out += table.text(columnsMax: columnsMax, palette: palette)
        let most = plan.least == 0 ? 1 : Double(plan.moved) / Double(plan.least)
        out += "moves \(percent(share)) of all data"
        if let bytes { out += ", about \(Quantities.bytes(bytes))" }
        out += ", \(Quantities.decimal(most, digits: 2)) times the least possible"
        if let seconds { out += "; about \(Quantities.duration(seconds: max(1, seconds.rounded())))" }
        return out + balanceText + "\n"
    }

    private var balanceText: String {
        func balance(_ balance: RingBalance) -> String { Quantities.decimal(balance.fullest, digits: 3) }
        return "\nfullest node: \(balance(plan.before)) of its part before, \(balance(plan.after)) after"
            + "; replica sets: \(plan.before.replicaSets) before, \(plan.after.replicaSets) after"
    }

    private func percent(_ part: Double) -> String { Quantities.decimal(part * 100, digits: 1) + "%" }

    package var json: JSONValue {
        func balance(_ balance: RingBalance) -> JSONValue {
            .object([
                ("fullest", .finite(rounded(balance.fullest))), ("node", .optional(balance.node)),
                (
                    "zones",
                    .array(
                        balance.zones.map {
                            .object([
                                ("datacenter", .string($0.dataCenter)), ("zone", .string($0.zone)),
                                ("nodes", .integer($0.nodes)), ("fullest", .finite(rounded($0.fullest))),
                            ])
                        })
                ),
                ("replica_sets", .integer(balance.replicaSets)),
            ])
        }
        return .object([
            ("format", .integer(1)), ("plan", .string(title)),
            ("slots_moved", .integer(plan.moved)), ("slots_least", .integer(plan.least)),
            ("slots_total", .integer(plan.total)), ("bytes", .finite(bytes.map { $0.rounded() })),
            ("seconds", .finite(seconds.map(rounded))), ("before", balance(plan.before)),
            ("after", balance(plan.after)),
            (
                "transfers",
                .array(
                    plan.transfers.map {
                        .object([
                            ("keyspace", .string($0.keyspace)), ("first", .integer(Int($0.first.index))),
                            ("last", .integer(Int($0.last.index))), ("from", .string($0.from)),
                            ("to", .string($0.to)),
                        ])
                    })
            ),
            (
                "moves",
                .array(
                    moves.map { move in
                        .object([
                            ("node", .optional(picture.names[move.node])),
                            ("tokens", .array(move.tokens.map { .integer(Int($0.index)) })),
                            ("zone", .optional(move.zone)),
                        ])
                    })
            ),
        ])
    }

    private func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }

    func show(_ invocation: Invocation) {
        if invocation.isJSON { return Output.write(json) }
        let terminal = Terminal.output
        Output.write(text(columnsMax: terminal.columns, palette: terminal.palette))
    }
}
