import MartletConfig

extension JSONValue {
    /// The same with all texts such that a terminal can show them.
    package var printableTexts: JSONValue {
        switch self {
        case .null, .boolean, .number: self
        case .string(let text): .string(printable(text))
        case .array(let values): .array(values.map(\.printableTexts))
        case .members(let members):
            .object(members.map { ($0.name, $0.value.printableTexts) })
        }
    }
}
