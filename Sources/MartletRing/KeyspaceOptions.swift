import MartletBase

/// What a user says of a keyspace when it is created or altered; nil for what isn't said.
package struct KeyspaceOptions: Hashable, Sendable {
    package var replication: ReplicationFactor?
    package var conflict: ConflictPolicy?
    package var read: ConsistencyLevel?
    package var write: ConsistencyLevel?
    package var sloppyQuorum: Bool?
    package var ttl: Interval?

    package init() {}
}

extension KeyspaceDefinition {
    /// What can't be changed once the keyspace exists, and why; nil when all of it can.
    ///
    /// Whether a keyspace holds anything is known to no single node at any one moment, so these stay as they
    /// were created, data or not.
    package func fixedOption(among options: KeyspaceOptions) -> (name: StaticName, reason: String)? {
        if let policy = options.conflict, policy != conflict {
            return (
                "conflict",
                "what is stored would have to become records of another kind; create another keyspace and "
                    + "copy the keys"
            )
        }
        if let factor = options.replication, factor != replication {
            return (
                "replication_factor",
                "this version can't hand data over to other owners; create another keyspace and copy the keys"
            )
        }
        return nil
    }

    package mutating func apply(_ options: KeyspaceOptions) {
        if let value = options.read { read = value }
        if let value = options.write { write = value }
        if let value = options.sloppyQuorum { sloppyQuorum = value }
        if let value = options.ttl { ttl = value }
    }
}
