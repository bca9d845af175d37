import MartletBase
import MartletGossip
import MartletRing
import MartletStorage
import MartletVersions

/// What the node knows of keyspaces: definitions are merged, remembered, spread, and take effect at once,
/// wherever they come from: gossip, a view, a coordinator's `define`, the data folder.
extension Node {
    mutating func keyspaceCame(_ definition: KeyspaceDefinition) {
        let before = keyspaces.definition(of: definition.id)
        let standing = keyspaces.standing
        if configuration.planted == .loseTruncation, let before, definition.stamp > before.stamp {
            keyspaces.replace(definition)
        }
        let changed = keyspaces.merge(definition)
        guard !changed.isEmpty else { return }
        for id in changed {
            publishKeyspace(id)
            if keyspaces.isDropped(id) { eraseKeyspace(id) }
        }
        if formation.isFormed, noteAlterations() {
            placeSlots()
            publishRingDigest()
        } else {
            placeSlots(of: changed)
        }
        if keyspaces.standing != standing { keyspacesChanged() }
        if definition.truncation > before?.truncation ?? 0 { truncationCame(definition) }
    }

    /// Takes into the ring what definitions say of copies. True when that changed it.
    @discardableResult
    mutating func noteAlterations() -> Bool {
        var hasChanged = false
        for definition in keyspaces.definitions where ring.merge(definition) { hasChanged = true }
        return hasChanged
    }

    /// What this node says of a keyspace, to its own disk and to the others.
    mutating func publishKeyspace(_ id: UInt32) {
        guard let definition = keyspaces.definition(of: id) else { return }
        putMeta(MetaMemory.keyspaceKey(id), handover.stored(definition).encoded())
        publish(Rumour.key(keyspace: id), definition.encoded())
    }

    /// The keyspace has been flushed: its records from before are hidden from here on.
    private mutating func truncationCame(_ definition: KeyspaceDefinition) {
        metrics.truncations += 1
        exchanges.forest.mark(definition.id)
        // What is stamped here from now on lies above.
        clock.observe(HybridTime(bits: definition.truncation))
        if clock.last > clock.ceiling { reserveStamps() }
    }

    /// Nothing of a dropped keyspace is to stay. No later write of it can come, for its id is never given
    /// again; so a range that is deleted twice, at each start, is deleted once too often at worst.
    mutating func eraseKeyspace(_ id: UInt32) {
        forgetExchanges(of: id)
        erase(Replica.Erasure(keyspace: id, span: .all))
    }

    /// Also once more, when the storage refused it: its leaves may have been summed up since.
    mutating func erase(_ erasure: Replica.Erasure) {
        exchanges.forest.mark(erasure.keyspace, erasure.span)
        let ticket = replica.nextTicket
        replica.pending.append(Replica.PendingWrite(purpose: .erasure(erasure), key: 0))
        effects.append(
            .storage(.deleteRange(ticket, keyspace: erasure.keyspace, Token.values(of: erasure.span))))
    }

    // MARK: The data folder

    /// Takes up the definitions that the data folder remembers.
    mutating func recoverKeyspaces(_ memory: MetaMemory) {
        for definition in memory.keyspaces {
            let founded = keyspaces.definition(of: definition.id)
            _ = keyspaces.merge(definition)
            if let founded, founded != keyspaces.definition(of: definition.id) {
                effects.append(.report(.keyspaceDiffers(name: definition.name)))
            }
            clock.observe(HybridTime(bits: definition.truncation))
        }
        for index in keyspaces.indices {
            let definition = keyspaces[index].definition
            keyspaces[index].truncationDurable = definition.truncation
            keyspaces[index].truncationSwept = memory.swept[definition.id] ?? 0
        }
    }

    /// Ends what a crash may have interrupted.
    mutating func startKeyspaces() {
        for definition in keyspaces.dropped { eraseKeyspace(definition.id) }
        sweepNext()
    }

    /// A definition is on this node's disk for good.
    mutating func definitionIsDurable(_ bytes: Blob) {
        var reader = ByteReader(bytes.span)
        guard let definition = try? KeyspaceDefinition(from: &reader),
            let index = keyspaces.index(of: definition.id)
        else { return }
        keyspaces[index].truncationDurable = max(
            keyspaces[index].truncationDurable, definition.truncation)
        sweepNext()
    }
}
