import MartletRESP

/// Answers as callers want them. Runs on the caller's side, so the loop's thread is free for others.
enum Decode {
    static func value(_ reply: RESPValue, isVersioned: Bool) throws(MartletError) -> Bytes? {
        if isVersioned {
            // The context isn't asked for, so no text is made of it.
            let values = try pair(reply, "context", "values", of: "VGET").1.elements
            guard let values else { throw .unexpectedAnswer("no values to VGET") }
            if values.count > 1 { throw .siblings(count: values.count) }
            guard let value = values.first else { return nil }
            guard let blob = value.blob else { throw .unexpectedAnswer("no values to VGET") }
            return Bytes(blob.bytes)
        }
        switch reply {
        case .null: return nil
        case .bulkString(let blob): return Bytes(blob.bytes)
        default: throw .unexpectedAnswer("no value to GET")
        }
    }

    static func versioned(_ reply: RESPValue) throws(MartletError) -> VersionedValue {
        let (first, second) = try pair(reply, "context", "values", of: "VGET")
        guard let values = second.elements else { throw .unexpectedAnswer("no values to VGET") }
        var out: [Bytes] = []
        out.reserveCapacity(values.count)
        for value in values {
            guard let blob = value.blob else { throw .unexpectedAnswer("no values to VGET") }
            out.append(Bytes(blob.bytes))
        }
        return VersionedValue(values: out, context: first.text.map { CausalContext(text: $0) })
    }

    static func receipt(_ reply: RESPValue) throws(MartletError) -> WriteReceipt {
        let (first, second) = try pair(reply, "context", "version", of: "VSET or VDEL")
        guard let context = first.text, let version = second.text else {
            throw .unexpectedAnswer("no version to VSET or VDEL")
        }
        return WriteReceipt(version: WriteVersion(text: version), context: CausalContext(text: context))
    }

    /// The two things of a map of these names, or of an array.
    private static func pair(
        _ reply: RESPValue, _ first: String, _ second: String, of command: String
    ) throws(MartletError) -> (RESPValue, RESPValue) {
        switch reply {
        case .array(let elements) where elements.count == 2: return (elements[0], elements[1])
        case .map(let pairs):
            if let a = pairs.first(where: { isNamed($0.key, first) }),
                let b = pairs.first(where: { isNamed($0.key, second) })
            {
                return (a.value, b.value)
            }
        default: break
        }
        throw .unexpectedAnswer("neither a map nor a pair to \(command)")
    }

    private static func isNamed(_ key: RESPValue, _ name: String) -> Bool {
        switch key {
        case .bulkString(let blob): name.utf8.elementsEqual(blob.bytes)
        case .simpleString(let text): text == name
        default: false
        }
    }
}

extension Command {
    /// Whether the answer comes with a context.
    var isVersioned: Bool {
        if case .get = body { false } else { true }
    }
}
