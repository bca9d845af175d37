import MartletBase

/// Results of membership as text, Markdown, JSON and plots.
package struct MembershipReport {
    package var results: [MembershipResult] = []

    package init() {}

    static let table = ReportTable<MembershipResult>(
        [
            .init("nodes", 6) { "\($0.membership.nodes)" },
            .init("loss", 6) { "\($0.membership.loss)%" },
            .init("ailing", 8) { $0.membership.ailment.rawValue },
            .init("Lifeguard", 11) { $0.membership.hasLifeguard ? "on" : "off" },
            .init("first, s", 10) { seconds($0.detection) },
            .init("all, s", 8) { seconds($0.spread) },
            .init("worst, s", 10) { seconds($0.spreadWorst) },
            .init("newcomer, s", 13) { seconds($0.arrival) },
            .init("wrong, healthy", 16) { short($0.healthyHeldDown) },
            .init("wrong, ailing", 15) { short($0.ailingHeldDown) },
            .init("bytes/s", 9) { grouped($0.bytesPerSecond) },
            .init("most", 8) { grouped($0.bytesPerSecondMost) },
            .init("unfinished", 12) { "\($0.unfinished)" },
        ])

    private static func seconds(_ time: Interval) -> String { decimal(time.seconds, digits: 2) }

    package var markdown: String { Self.table.markdown(results) }

    package var json: JSON {
        .object([("format", .integer(1)), ("results", .array(results.map(Self.json)))])
    }

    private static func json(_ result: MembershipResult) -> JSON {
        let membership = result.membership
        return .object([
            ("nodes", .integer(membership.nodes)), ("loss_percent", .integer(membership.loss)),
            ("ailment", .string(membership.ailment.rawValue)),
            ("lifeguard", .boolean(membership.hasLifeguard)),
            ("detection_s", .number(result.detection.seconds)),
            ("spread_s", .number(result.spread.seconds)),
            ("spread_worst_s", .number(result.spreadWorst.seconds)),
            ("arrival_s", .number(result.arrival.seconds)),
            ("healthy_held_down_per_hour", .number(result.healthyHeldDown)),
            ("ailing_held_down_per_hour", .number(result.ailingHeldDown)),
            ("bytes_per_second", .number(result.bytesPerSecond)),
            ("bytes_per_second_most", .number(result.bytesPerSecondMost)),
            ("unfinished", .integer(result.unfinished)),
        ])
    }

    package var plots: [(name: String, plot: Plot)] {
        [
            (
                "membership-detection",
                plot("From a kill until all know, median", "seconds") { $0.spread.seconds }
            ),
            (
                "membership-bytes",
                plot("Sent by a member while nothing changes", "bytes/s") { $0.bytesPerSecond }
            ),
        ]
    }

    /// Over the sizes, a line for each loss: of healthy members.
    private func plot(_ title: String, _ y: String, _ value: (MembershipResult) -> Double) -> Plot {
        let healthy = results.filter { $0.membership.ailment == .none && $0.membership.hasLifeguard }
        let sizes = Set(healthy.map(\.membership.nodes)).sorted()
        let losses = Set(healthy.map(\.membership.loss)).sorted()
        return Plot(
            title, x: Plot.Axis("members", .logarithmic, marks: sizes.map { (Double($0), "\($0)") }),
            y: Plot.Axis(y, .linear),
            losses.map { loss in
                Plot.Series(
                    "\(loss)% of datagrams lost",
                    sizes.compactMap { size in
                        healthy.first { $0.membership.nodes == size && $0.membership.loss == loss }
                            .map { (Double(size), value($0)) }
                    })
            })
    }
}
