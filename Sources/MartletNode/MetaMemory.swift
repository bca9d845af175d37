import MartletBase
import MartletRing
import MartletWire

/// The facts that a node keeps in the storage's meta family, under keys of one kind byte and a name:
///
///     e <id>   a ring entry        k <id>   a keyspace's definition
///     s <id>   the truncation that a keyspace's records are swept through
///     p <id>   the age of a peer's folder    f   the founders' ids, once the ring has formed
///     u <id>   how far a keyspace's slots are purged
///     r   how far the node is with rebuilding
///     v   what the node has promised for a shape of the ring    o   what it is still to erase
struct MetaMemory {
    private(set) var entries: [RingEntry] = []
    private(set) var keyspaces: [KeyspaceDefinition] = []
    private(set) var swept: [UInt32: UInt64] = [:]
    private(set) var folders: [NodeID: FolderAge] = [:]
    private(set) var formed: FoundingRumour?
    private(set) var marks: [UInt32: PurgeMarks] = [:]
    private(set) var rebuilding: Rebuilding?
    private(set) var ballot: Ballot?
    private(set) var erasures: [Replica.Erasure] = []

    /// - Parameter stored: as written by this type. What doesn't decode was written by a later version, or
    ///   damaged beyond what the engine's checksums find; it is left out, and gossip brings it again.
    init(_ stored: [(key: Blob, value: Blob)]) {
        for (key, value) in stored {
            guard let kind = key.bytes.first else { continue }
            var reader = ByteReader(value.span)
            switch kind {
            case UInt8(ascii: "e"): if let entry = try? RingEntry(from: &reader) { entries.append(entry) }
            case UInt8(ascii: "k"):
                if let keyspace = try? KeyspaceDefinition(from: &reader) { keyspaces.append(keyspace) }
            case UInt8(ascii: "s"):
                var name = ByteReader(key.span.extracting(1..<key.count))
                if let id = try? name.u32(), let truncation = try? reader.u64() { swept[id] = truncation }
            case UInt8(ascii: "p"):
                var name = ByteReader(key.span.extracting(1..<key.count))
                if let id = try? NodeID(from: &name), let folder = try? FolderAge(from: &reader) {
                    folders[id] = folder
                }
            case UInt8(ascii: "u"):
                var name = ByteReader(key.span.extracting(1..<key.count))
                if let id = try? name.u32(), let found = try? PurgeMarks(from: &reader) { marks[id] = found }
            case UInt8(ascii: "f"): formed = try? FoundingRumour(from: value)
            case UInt8(ascii: "r"): rebuilding = try? Rebuilding(from: &reader)
            case UInt8(ascii: "v"): ballot = try? Ballot(from: &reader)
            case UInt8(ascii: "o"): erasures = (try? Handover.erasures(from: &reader)) ?? []
            default: continue
            }
        }
    }

    func incarnation(of id: NodeID) -> UInt64 { entries.first { $0.id == id }?.incarnation ?? 0 }

    static let formedKey = Blob("f")
    static func entryKey(_ id: NodeID) -> Blob { key("e", id) }
    static let rebuildingKey = Blob("r")
    static let ballotKey = Blob("v")
    static let erasuresKey = Blob("o")
    static func folderKey(_ id: NodeID) -> Blob { key("p", id) }

    static func keyspaceKey(_ id: UInt32) -> Blob { key("k", id) }
    static func sweptKey(_ id: UInt32) -> Blob { key("s", id) }
    static func marksKey(_ keyspace: UInt32) -> Blob { key("u", keyspace) }

    private static func key(_ kind: Unicode.Scalar, _ id: UInt32) -> Blob {
        var writer = ByteWriter()
        writer.u8(UInt8(ascii: kind))
        writer.u32(id)
        return Blob(writer.bytes)
    }

    /// Whether it is the key of a keyspace's definition.
    static func isKeyspace(_ key: Blob) -> Bool { key.bytes.first == UInt8(ascii: "k") }

    private static func key(_ kind: Unicode.Scalar, _ id: NodeID) -> Blob {
        var writer = ByteWriter()
        writer.u8(UInt8(ascii: kind))
        id.write(to: &writer)
        return Blob(writer.bytes)
    }

    static func value(_ number: UInt64) -> Blob {
        var writer = ByteWriter()
        writer.u64(number)
        return Blob(writer.bytes)
    }

    static func value(_ folder: FolderAge) -> Blob {
        var writer = ByteWriter()
        folder.write(to: &writer)
        return Blob(writer.bytes)
    }
}
