import MartletBase
import MartletRESP

/// Finds a command by its name. Rows are numbered: those of `CommandSpecification.all` in order, each
/// followed by its subcommands.
struct CommandTable: Sendable {
    static let shared = CommandTable(CommandSpecification.all, refused: CommandSpecification.refused)

    /// What dispatch reads of a row: a plain value, so that looking at it counts no references.
    struct Entry: Sendable {
        let code: CommandCode
        let arity: Int16
        /// Whether another word chooses what is done.
        let hasSubcommands: Bool

        @inline(__always)
        func takes(_ count: Int) -> Bool { arity >= 0 ? count == Int(arity) : count >= -Int(arity) }
    }

    let rows: [CommandSpecification]
    let entries: ContiguousArray<Entry>
    /// The rows that aren't subcommands.
    let commands: [Int]
    /// Rows from this on are of commands that are only refused.
    let firstRefused: Int
    private let rowOfName: [CommandName: Int]
    /// By row, for rows that have subcommands.
    private let rowOfSubcommand: [Int: [CommandName: Int]]
    let get: Int
    let set: Int

    private init(_ specifications: [CommandSpecification], refused: [CommandSpecification]) {
        var rows: [CommandSpecification] = []
        var names: [CommandName: Int] = [:]
        var subcommands: [Int: [CommandName: Int]] = [:]
        func name(_ text: Substring) -> CommandName {
            guard let name = CommandName(Blob(String(text)).span) else {
                invariantBroken("\(text) can't be the name of a command")
            }
            return name
        }
        func add(_ specification: CommandSpecification) -> Int {
            let row = rows.count
            let key = name(specification.name[...])
            invariant(names[key] == nil, "two commands \(specification.name)")
            names[key] = row
            rows.append(specification)
            for subcommand in specification.subcommands {
                let word = subcommand.name.dropFirst(specification.name.count + 1)
                subcommands[row, default: [:]][name(word)] = rows.count
                rows.append(subcommand)
            }
            return row
        }
        let commands = specifications.map(add)
        firstRefused = rows.count
        for specification in refused { _ = add(specification) }
        self.rows = rows
        self.commands = commands
        entries = ContiguousArray(
            rows.map {
                Entry(code: $0.code, arity: Int16($0.arity), hasSubcommands: !$0.subcommands.isEmpty)
            })
        rowOfName = names
        rowOfSubcommand = subcommands
        get = names["get"] ?? 0
        set = names["set"] ?? 0
    }

    private static let getName: CommandName = "get"
    private static let setName: CommandName = "set"

    /// The row of a command, whatever the case of its letters.
    func row(_ argument: RawSpan) -> Int? {
        guard let name = CommandName(argument) else { return nil }
        // The two that nearly every request is spare the dictionary.
        if name == Self.getName { return get }
        if name == Self.setName { return set }
        return rowOfName[name]
    }

    func row(ofSubcommand argument: RawSpan, of row: Int) -> Int? {
        guard let name = CommandName(argument) else { return nil }
        return rowOfSubcommand[row]?[name]
    }

    /// The row of `name` or `name|subcommand`, as COMMAND INFO takes them.
    func row(fullName: RawSpan) -> Int? {
        let bytes = Blob(copying: fullName).bytes
        guard let bar = bytes.firstIndex(of: UInt8(ascii: "|")) else { return row(fullName) }
        guard let command = row(fullName.extracting(0..<bar)) else { return nil }
        return row(ofSubcommand: fullName.extracting(droppingFirst: bar + 1), of: command)
    }

    /// The same, but nil for what is only refused: a client that asks shall see that it isn't there.
    func listedRow(fullName: RawSpan) -> Int? {
        row(fullName: fullName).flatMap { $0 < firstRefused ? $0 : nil }
    }
}
