import MartletBase

/// A small text file of the data folder: lines `name=value`, the last of which is the checksum of all
/// before it. Names that this version doesn't know are ignored, so later versions may add some.
struct FolderFile {
    private(set) var fields: [(name: String, value: String)]

    init(_ fields: [(name: String, value: String)]) { self.fields = fields }

    /// Reads the file; nil when it isn't there.
    init?(reading path: String) throws(DataFolderError) {
        let found: [UInt8]?
        do {
            found = try FileSystem.read(path, max: Limits.folderFileBytesMax)
        } catch {
            throw DataFolderError(error)
        }
        guard let found else { return nil }
        guard let text = String(validating: found, as: UTF8.self) else {
            throw .unreadable(file: path, reason: "it isn't text")
        }
        guard let start = text.range(ofLast: "checksum=") else {
            throw .unreadable(file: path, reason: "it has no checksum")
        }
        let body = text[..<start]
        guard text[start...] == "checksum=\(Self.checksum(of: body))\n" else {
            throw .unreadable(file: path, reason: "its checksum is wrong")
        }
        fields = []
        for line in body.split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else {
                throw .unreadable(file: path, reason: "a line has no \"=\"")
            }
            fields.append((String(line[..<equals]), String(line[line.index(after: equals)...])))
        }
    }

    func write(to path: String) throws(FileFailure) {
        let body = fields.map { "\($0.name)=\($0.value)\n" }.joined()
        try FileSystem.replace(path, with: Array("\(body)checksum=\(Self.checksum(of: body[...]))\n".utf8))
    }

    /// The field's text; throws when there is none.
    func text(_ name: String, in path: String) throws(DataFolderError) -> String {
        guard let field = fields.first(where: { $0.name == name }) else {
            throw .unreadable(file: path, reason: "it has no \"\(name)\"")
        }
        return field.value
    }

    func value<Value>(
        _ name: String, in path: String, _ parse: (String) -> Value?
    ) throws(DataFolderError) -> Value {
        let text = try text(name, in: path)
        guard let value = parse(text) else {
            throw .unreadable(file: path, reason: "its \"\(name)\" can't be \"\(text)\"")
        }
        return value
    }

    private static func checksum(of body: Substring) -> String { hex(XXH3.hash(Blob(String(body)))) }
}

extension String {
    /// Where the last line that starts with the text begins.
    fileprivate func range(ofLast text: String) -> Index? {
        var found: Index?
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { found = start }
            guard let end = self[start...].firstIndex(of: "\n") else { break }
            start = index(after: end)
        }
        return found
    }
}
