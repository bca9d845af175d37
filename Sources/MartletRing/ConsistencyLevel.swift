import MartletBase

/// How many owners of a key must answer before a request is answered (Dynamo paper, section 4.5, with
/// Cassandra's names).
package enum ConsistencyLevel: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// Writes only: any node's promise counts, a hint too.
    case any = 0
    case one = 1
    case two = 2
    case three = 3
    case quorum = 4
    case all = 5
    case localOne = 6
    case localQuorum = 7
    case eachQuorum = 8

    /// In any case of letters; nil for anything else.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count <= 16 else { return nil }
        let upper = text.uppercased()
        guard let level = Self.allCases.first(where: { $0.description == upper }) else { return nil }
        self = level
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        guard let level = ConsistencyLevel(rawValue: try reader.u8()) else { throw .invalid("level") }
        self = level
    }

    package func write(to writer: inout ByteWriter) { writer.u8(rawValue) }

    package var isForWritesOnly: Bool { self == .any }

    /// Whether only owners in the coordinator's data centre count.
    package var isLocal: Bool { self == .localOne || self == .localQuorum }

    package var description: String {
        switch self {
        case .any: "ANY"
        case .one: "ONE"
        case .two: "TWO"
        case .three: "THREE"
        case .quorum: "QUORUM"
        case .all: "ALL"
        case .localOne: "LOCAL_ONE"
        case .localQuorum: "LOCAL_QUORUM"
        case .eachQuorum: "EACH_QUORUM"
        }
    }
}
