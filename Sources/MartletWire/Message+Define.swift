import MartletBase

/// Asks a node to merge definitions of keyspaces, and to say when they are durable.
package struct DefineRequest: Hashable, Sendable {
    package var request: UInt64
    package var definitions: [Blob]

    package init(request: UInt64, definitions: [Blob]) {
        self.request = request
        self.definitions = definitions
    }
}

// MARK: Codec
extension DefineRequest {
    func write(to writer: inout ByteWriter) {
        writer.u64(request)
        writer.varint(UInt64(definitions.count))
        for definition in definitions { writer.blob(definition) }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        request = try reader.u64()
        let count = try reader.count(max: Limits.definitionsMax, "keyspaces")
        definitions = []
        for _ in 0..<count {
            definitions.append(try reader.blob(max: View.itemBytesMax, "keyspace"))
        }
    }
}
