import MartletBase
import MartletConfig

extension Command {
    static let info = Command(
        CommandSpecification(
            "info", "Shows what a node says of itself, as Redis's INFO does.",
            arguments: [ArgumentSpecification("SECTION", "only this section: server, stats, ...", .optional)],
            options: Session.options,
            examples: [
                ("martlet info", "all sections of the first node that answers"),
                ("martlet info memory --node n2", "one section of n2"),
                ("martlet info martlet --json", "an object a section, for scripts"),
            ])
    ) { invocation throws(Failure) in
        let session = try Session(invocation)
        let wanted = invocation.line.arguments.first?.lowercased()
        let sections = try InfoReport.sections(session, wanted)
        if let wanted, sections.isEmpty {
            let names = try InfoReport.sections(session, nil).map { $0.name.lowercased() }
            let hint = nearest(wanted, in: names).map { "did you mean \($0)?" }
            throw .usage(
                "\(session.endpoint) has no section \(quoted(wanted)): "
                    + (hint ?? "there are \(names.joined(separator: ", "))"))
        }
        if invocation.isJSON {
            Output.write(InfoReport.json(sections, of: session.endpoint.node))
        } else {
            Output.write(InfoReport.text(sections, Terminal.output.palette))
        }
        return .done
    }
}

/// What `info` says.
package enum InfoReport {
    package struct Section: Hashable, Sendable {
        package let name: String
        package let lines: [Line]
    }

    package struct Line: Hashable, Sendable {
        package let name: String
        package let value: String
    }

    fileprivate static func sections(_ session: Session, _ name: String?) throws(Failure) -> [Section] {
        let reply = try session.call(["INFO"] + (name.map { [$0] } ?? []))
        guard let text = reply.blob?.text else { throw session.notMartlet("INFO is a text") }
        return sections(text)
    }

    /// Of INFO's text: `# Title` before `name:value` lines.
    package static func sections(_ text: String) -> [Section] {
        var out: [Section] = []
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("#") {
                out.append(Section(name: String(line.dropFirst().drop { $0 == " " }), lines: []))
                continue
            }
            let name = line.prefix { $0 != ":" }
            let pair = Line(name: String(name), value: String(line.dropFirst(name.count + 1)))
            let last = out.popLast() ?? Section(name: "", lines: [])
            out.append(Section(name: last.name, lines: last.lines + [pair]))
        }
        return out
    }

    package static func text(_ sections: [Section], _ palette: Palette) -> String {
        sections.map { section in
            palette.paint("# \(printable(section.name))", .strong) + "\n"
                + section.lines.map { "\(printable($0.name)):\(printable($0.value))\n" }.joined()
        }.joined(separator: "\n")
    }

    /// Values stay texts, as INFO has them.
    package static func json(_ sections: [Section], of node: String?) -> JSONValue {
        .object([
            ("format", .integer(1)), ("node", .optional(node)),
            (
                "sections",
                .object(
                    sections.map { section in
                        (
                            section.name.lowercased(),
                            .object(section.lines.map { ($0.name, .string($0.value)) })
                        )
                    })
            ),
        ])
    }
}
