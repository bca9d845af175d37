import MartletBase
import MartletRing

/// The JSON of `keyspace`.
enum KeyspaceJSON {
    private static let format = 1

    static func list(_ keyspaces: [KeyspaceDefinition]) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("format", format)
            json.member("keyspaces") { json in
                json.array(keyspaces.enumerated()) { json, each in
                    json.object { members(each.element, index: each.offset, to: &$0) }
                }
            }
        }
        return json.bytes
    }

    static func one(_ keyspace: KeyspaceDefinition, index: Int?) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("format", format)
            members(keyspace, index: index, to: &json)
        }
        return json.bytes
    }

    private static func members(
        _ keyspace: KeyspaceDefinition, index: Int?, to json: inout JSONWriter
    ) {
        json.member("index", index)
        json.member("name", keyspace.name)
        json.member("id", Int(keyspace.id))
        json.member("replication_factor") { ClusterJSON.factor(keyspace.replication, to: &$0) }
        if let wanted = keyspace.copies.wanted {
            json.member("replication_factor_wanted") { ClusterJSON.factor(wanted, to: &$0) }
        } else {
            json.member("replication_factor_wanted", Int?.none)
        }
        json.member("conflict", keyspace.conflict.description)
        json.member("read", keyspace.read.description)
        json.member("write", keyspace.write.description)
        json.member("sloppy_quorum", keyspace.sloppyQuorum)
        json.member("ttl_ms", Int(keyspace.ttl.milliseconds))
        json.member("created_ms", milliseconds(keyspace.created))
        json.member("changed_ms", milliseconds(keyspace.stamp))
        json.member("flushed_ms", milliseconds(keyspace.truncation))
    }

    /// Since 1970; null for what has not been.
    private static func milliseconds(_ hybridTime: UInt64) -> Int? {
        hybridTime == 0 ? nil : Int(hybridTime >> 16)
    }
}
