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
    /// Whether a keyspace holds anything is known to no single node at any one moment, so this stays as it
    /// was created, data or not.
    package func fixedOption(among options: KeyspaceOptions) -> (name: StaticName, reason: String)? {
        if let policy = options.conflict, policy != conflict {
            return (
                "conflict",
                "what is stored would have to become records of another kind; create another keyspace and "
                    + "copy the keys"
            )
        }
        return nil
    }

    /// Sets all but the replication factor, which is wanted of the ring (`Copies`).
    package mutating func apply(_ options: KeyspaceOptions) {
        if let value = options.read { read = value }
        if let value = options.write { write = value }
        if let value = options.sloppyQuorum { sloppyQuorum = value }
        if let value = options.ttl { ttl = value }
    }
}
