import MartletBase
import MartletRESP

/// COMMAND and its subcommands: the command table, as clients read it.
extension RedisSession {
    func commandAll() {
        let table = table
        answer { writer in
            writer.array(count: table.commands.count)
            for row in table.commands { writer.details(of: table.rows[row]) }
        }
    }

    func commandInfo(_ request: Request) {
        guard request.count > 2 else { return commandAll() }
        let table = table
        let rows = (2..<request.count).map { table.listedRow(fullName: request[$0]) }
        answer { writer in
            writer.array(count: rows.count)
            for row in rows {
                if let row { writer.details(of: table.rows[row]) } else { writer.null() }
            }
        }
    }

    func commandDocs(_ request: Request) {
        let table = table
        var rows = table.commands
        if request.count > 2 {
            rows = (2..<request.count).compactMap { table.listedRow(fullName: request[$0]) }
        }
        answer { writer in
            writer.map(count: rows.count)
            for row in rows { writer.document(table.rows[row]) }
        }
    }

    func commandList(_ request: Request) {
        var rows = table.commands.flatMap { [table.rows[$0]] + table.rows[$0].subcommands }
        if request.count > 2 {
            guard request.count == 5, equalsIgnoringCase(request[2], "FILTERBY") else {
                return refuseSyntax()
            }
            if equalsIgnoringCase(request[3], "ACLCAT") {
                let category = text(request[4]).lowercased()
                rows = rows.filter { $0.allCategories.contains(category) }
            } else if equalsIgnoringCase(request[3], "PATTERN") {
                let pattern = GlobPattern(Blob(copying: request[4]).bytes, ignoringCase: true)
                rows = rows.filter { pattern.matches($0.name.utf8) }
            } else if equalsIgnoringCase(request[3], "MODULE") {
                rows = []
            } else {
                return refuseSyntax()
            }
        }
        answer { writer in
            writer.array(count: rows.count)
            for row in rows { writer.bulk(row.name) }
        }
    }

    func commandGetKeys(_ code: CommandCode, _ request: Request) {
        guard var row = table.row(request[2]), row < table.firstRefused else {
            return refuse("ERR Invalid command specified")
        }
        if table.entries[row].hasSubcommands, request.count > 3 {
            guard let subcommand = table.row(ofSubcommand: request[3], of: row) else {
                return refuse("ERR Invalid command specified")
            }
            row = subcommand
        }
        let specification = table.rows[row]
        let positions = specification.keys.positions(count: request.count - 2)
        if specification.keys.first == 0 { return refuse("ERR The command has no key arguments") }
        guard specification.takes(request.count - 2) else {
            return refuse("ERR Invalid number of arguments specified for command")
        }
        let keys = positions.map { Blob(copying: request[2 + $0]) }
        answer { writer in
            writer.array(count: keys.count)
            for key in keys {
                if code == .commandGetKeys {
                    writer.bulk(key)
                } else {
                    writer.array(count: 2)
                    writer.bulk(key)
                    writer.statusSet(specification.access)
                }
            }
        }
    }

    /// `HELP` of a command: its subcommands and what they do.
    func help(of row: Int) {
        let name = String(table.rows[row].name.prefix { $0 != "|" })
        guard let container = table.rows.first(where: { $0.name == name }) else { return refuseSyntax() }
        var lines = ["\(name.uppercased()) <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
        for subcommand in container.subcommands {
            let word = subcommand.name.dropFirst(name.count + 1).uppercased()
            lines.append(subcommand.usage.isEmpty ? word : "\(word) \(subcommand.usage)")
            lines.append("    \(subcommand.summary).")
        }
        answer { writer in
            writer.array(count: lines.count)
            for line in lines { writer.simpleString(line) }
        }
    }
}

extension ReplyWriter {
    /// Words as a set of simple strings.
    fileprivate mutating func statusSet(_ text: String) {
        let words = words(text)
        set(count: words.count)
        for word in words { simpleString(word) }
    }

    private mutating func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }

    /// Ten fields, as COMMAND INFO has them.
    fileprivate mutating func details(of row: CommandSpecification) {
        array(count: 10)
        bulk(row.name)
        integer(row.arity)
        statusSet(row.flags)
        integer(row.keys.first)
        integer(row.keys.last)
        integer(row.keys.step)
        statusSet(row.allCategories.map { "@\($0)" }.joined(separator: " "))
        let tips = words(row.tips)
        set(count: tips.count)
        for tip in tips { bulk(tip) }
        keySpecifications(of: row)
        set(count: row.subcommands.count)
        for subcommand in row.subcommands { details(of: subcommand) }
    }

    private mutating func keySpecifications(of row: CommandSpecification) {
        guard row.keys.first > 0 else { return set(count: 0) }
        set(count: 1)
        map(count: row.keysNote.isEmpty ? 3 : 4)
        if !row.keysNote.isEmpty {
            bulk("notes")
            bulk(row.keysNote)
        }
        bulk("flags")
        statusSet(row.access)
        bulk("begin_search")
        map(count: 2)
        bulk("type")
        bulk("index")
        bulk("spec")
        map(count: 1)
        bulk("index")
        integer(row.keys.first)
        bulk("find_keys")
        map(count: 2)
        bulk("type")
        bulk("range")
        bulk("spec")
        map(count: 3)
        // Counted from the first key, unless it is from the end.
        bulk("lastkey")
        integer(row.keys.last < 0 ? row.keys.last : row.keys.last - row.keys.first)
        bulk("keystep")
        integer(row.keys.step)
        bulk("limit")
        integer(0)
    }

    fileprivate mutating func document(_ row: CommandSpecification) {
        bulk(row.name)
        map(count: row.subcommands.isEmpty ? 3 : 4)
        for (name, value) in [("summary", row.summary), ("since", row.since), ("group", row.group)] {
            bulk(name)
            bulk(value)
        }
        if row.subcommands.isEmpty { return }
        bulk("subcommands")
        map(count: row.subcommands.count)
        for subcommand in row.subcommands { document(subcommand) }
    }
}
