import CYAML
import Glibc
import MartletBase

/// Reads a YAML text into a tree with libyaml, refusing what a cluster file has no use for and what could be
/// used to harm the reader: anchors and aliases (a few lines of them can stand for gigabytes), tags, several
/// documents, keys that aren't words, keys given twice, deep nesting, a huge file.
struct YAMLReader {
    private var parser: UnsafeMutablePointer<yaml_parser_t>
    private let text: [UInt8]
    /// Where each line of the text begins.
    private let lineStarts: [Int]
    private var nodeCount = 0

    /// Nil when the text has no document: it is empty, or comments only.
    static func read(_ text: [UInt8]) throws(ConfigurationIssue) -> YAMLNode? {
        guard text.count <= Limits.configurationBytesMax else {
            throw ConfigurationIssue(
                .file(line: 1), "", found: "a file of \(text.count) bytes",
                allowed: "at most \(Limits.configurationBytesMax) bytes")
        }
        try checkUTF8(text)
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { parser.deallocate() }
        invariant(yaml_parser_initialize(parser) == 1, "no memory for a YAML parser")
        defer { yaml_parser_delete(parser) }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        // Typed throws don't pass through the closure that lends the bytes, so the result does.
        let result: Result<YAMLNode?, ConfigurationIssue> = text.withUnsafeBufferPointer { bytes in
            yaml_parser_set_input_string(parser, bytes.baseAddress, bytes.count)
            var reader = YAMLReader(parser: parser, text: text)
            do throws(ConfigurationIssue) {
                return .success(try reader.document())
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private init(parser: UnsafeMutablePointer<yaml_parser_t>, text: [UInt8]) {
        self.parser = parser
        self.text = text
        lineStarts = Self.lineStarts(text)
    }

    /// Lines as YAML 1.1 counts them: besides a line feed, a carriage return, NEL, LS and PS end one.
    private static func lineStarts(_ text: [UInt8]) -> [Int] {
        var starts = [0]
        for (index, byte) in text.enumerated() {
            let isEnd =
                switch byte {
                case UInt8(ascii: "\n"): true
                case UInt8(ascii: "\r"): index + 1 == text.count || text[index + 1] != UInt8(ascii: "\n")
                case 0x85: index > 0 && text[index - 1] == 0xC2
                case 0xA8, 0xA9: index > 1 && text[index - 1] == 0x80 && text[index - 2] == 0xE2
                default: false
                }
            if isEnd, index + 1 < text.count { starts.append(index + 1) }
        }
        return starts
    }

    /// The line of a place, from 1. libyaml puts the end of a text on a line of its own, which no editor
    /// shows.
    private func line(of mark: yaml_mark_t) -> Int { min(mark.line + 1, lineStarts.count) }

    private static func checkUTF8(_ text: [UInt8]) throws(ConfigurationIssue) {
        if text.starts(with: [0xFF, 0xFE]) || text.starts(with: [0xFE, 0xFF]) {
            throw ConfigurationIssue(.file(line: 1), "", found: "UTF-16", allowed: "UTF-8")
        }
        var line = 1
        var start = 0
        while start < text.count {
            let end = text[start...].firstIndex(of: UInt8(ascii: "\n")) ?? text.count
            guard String(validating: text[start..<end], as: UTF8.self) != nil else {
                throw ConfigurationIssue(
                    .file(line: line), "", found: "bytes that are no UTF-8", allowed: "UTF-8 text")
            }
            start = end + 1
            line += 1
        }
    }

    // MARK: Events

    /// One event of libyaml's, freed when it goes.
    private struct Event: ~Copyable {
        let raw: UnsafeMutablePointer<yaml_event_t>

        init() { raw = .allocate(capacity: 1) }

        deinit {
            yaml_event_delete(raw)
            raw.deallocate()
        }

        var type: yaml_event_type_t { raw.pointee.type }
        var start: yaml_mark_t { raw.pointee.start_mark }

        var scalar: (text: String, isPlain: Bool) {
            let scalar = raw.pointee.data.scalar
            let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            return (String(decoding: bytes, as: UTF8.self), scalar.style == YAML_PLAIN_SCALAR_STYLE)
        }
    }

    private func next() throws(ConfigurationIssue) -> Event {
        let event = Event()
        // Zeroed, so that deleting it is harmless when parsing failed.
        memset(event.raw, 0, MemoryLayout<yaml_event_t>.size)
        guard yaml_parser_parse(parser, event.raw) == 1 else { throw syntaxError() }
        return event
    }

    private func syntaxError() -> ConfigurationIssue {
        let state = parser.pointee
        let line = line(of: state.problem_mark)
        let context = state.context.map { String(cString: $0) + ", " } ?? ""
        let problem = state.problem.map { String(cString: $0) } ?? "unreadable"
        let hasTab = text[lineStarts[line - 1]...]
            .prefix { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            .contains(UInt8(ascii: "\t"))
        return ConfigurationIssue(
            .file(line: line), "", found: hasTab ? "a tab that indents" : "no YAML: \(context)\(problem)",
            allowed: hasTab ? "spaces" : "YAML as in the cluster.yaml that comes with Martlet")
    }

    // MARK: Tree

    private mutating func document() throws(ConfigurationIssue) -> YAMLNode? {
        var root: YAMLNode?
        while true {
            let event = try next()
            switch event.type {
            case YAML_STREAM_END_EVENT:
                return root
            case YAML_DOCUMENT_START_EVENT where root != nil:
                throw ConfigurationIssue(
                    .file(line: line(of: event.start)), "", found: "a second document",
                    allowed: "one document")
            case YAML_SCALAR_EVENT, YAML_SEQUENCE_START_EVENT, YAML_MAPPING_START_EVENT, YAML_ALIAS_EVENT:
                root = try node(event, depth: 1)
            default:
                continue
            }
        }
    }

    private mutating func node(
        _ event: borrowing Event, depth: Int
    ) throws(ConfigurationIssue) -> YAMLNode {
        let line = line(of: event.start)
        nodeCount += 1
        guard depth <= Limits.configurationDepthMax, nodeCount <= Limits.configurationNodesMax else {
            throw ConfigurationIssue(
                .file(line: line), "", found: "nesting or a number of values past all need",
                allowed: "\(Limits.configurationDepthMax) levels and \(Limits.configurationNodesMax) values")
        }
        try refuseAnchorsAndTags(event)
        switch event.type {
        case YAML_SCALAR_EVENT:
            let (text, isPlain) = event.scalar
            return .scalar(text, isPlain: isPlain, line: line)
        case YAML_SEQUENCE_START_EVENT:
            var items: [YAMLNode] = []
            while true {
                let item = try next()
                if item.type == YAML_SEQUENCE_END_EVENT { return .sequence(items, line: line) }
                items.append(try node(item, depth: depth + 1))
            }
        default:
            return .mapping(try entries(depth: depth), line: line)
        }
    }

    private mutating func entries(depth: Int) throws(ConfigurationIssue) -> [YAMLEntry] {
        var entries: [YAMLEntry] = []
        var lineOfKey: [String: Int] = [:]
        while true {
            let event = try next()
            if event.type == YAML_MAPPING_END_EVENT { return entries }
            guard case .scalar(let key, _, let line) = try node(event, depth: depth + 1) else {
                throw ConfigurationIssue(
                    .file(line: line(of: event.start)), "", found: "a list or a map as a key",
                    allowed: "a word as a key"
                )
            }
            if let first = lineOfKey.updateValue(line, forKey: key) {
                throw ConfigurationIssue(
                    .file(line: line), "", found: "the key \(quotedForMessage(key)) again",
                    allowed: "each key once", hint: "it is on line \(first) already")
            }
            let value = try next()
            entries.append(YAMLEntry(key: key, line: line, value: try node(value, depth: depth + 1)))
        }
    }

    private func refuseAnchorsAndTags(_ event: borrowing Event) throws(ConfigurationIssue) {
        let data = event.raw.pointee.data
        let isAlias = event.type == YAML_ALIAS_EVENT
        let (anchor, tag): (UnsafeMutablePointer<yaml_char_t>?, UnsafeMutablePointer<yaml_char_t>?) =
            switch event.type {
            case YAML_SCALAR_EVENT: (data.scalar.anchor, data.scalar.tag)
            case YAML_SEQUENCE_START_EVENT: (data.sequence_start.anchor, data.sequence_start.tag)
            case YAML_MAPPING_START_EVENT: (data.mapping_start.anchor, data.mapping_start.tag)
            default: (nil, nil)
            }
        if isAlias || anchor != nil {
            throw ConfigurationIssue(
                .file(line: line(of: event.start)), "",
                found: isAlias ? "an alias (*name)" : "an anchor (&name)",
                allowed: "values written out")
        }
        if tag != nil {
            throw ConfigurationIssue(
                .file(line: line(of: event.start)), "", found: "a tag (!type)", allowed: "values without tags"
            )
        }
    }
}
