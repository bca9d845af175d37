import MartletBase
import MartletRing

/// Ring entries and keyspace definitions have one spelling and merge by the three laws; a ring of them gives
/// every slot its owners.
func checkRing(_ input: [UInt8]) throws(PropertyFailure) {
    var input = FuzzInput(input)
    var entries: [RingEntry] = []
    var keyspaces: [KeyspaceDefinition] = []
    while !input.isAtEnd, entries.count + keyspaces.count < 6 {
        let isEntry = input.below(2) == 0
        let bytes = Blob(input.piece())
        if isEntry {
            if let entry = try readEntry(bytes) { entries.append(entry) }
        } else if let keyspace = try readKeyspace(bytes) {
            keyspaces.append(keyspace)
        }
    }
    try checkEntries(entries)
    try checkKeyspaces(keyspaces)
    try checkPlacement(entries, keyspaces)
}

private func readEntry(_ bytes: Blob) throws(PropertyFailure) -> RingEntry? {
    var reader = ByteReader(bytes.span)
    guard let entry = try? RingEntry(from: &reader) else { return nil }
    entry.checkInvariants()
    let used = Blob(copying: bytes.span.extracting(0..<reader.offset))
    try require(entry.encoded() == used, "the entry \(entry) has two spellings")
    try require(used.count <= RingEntry.encodedBytesMax, "an entry of \(used.count) bytes")
    return entry
}

private func readKeyspace(_ bytes: Blob) throws(PropertyFailure) -> KeyspaceDefinition? {
    var reader = ByteReader(bytes.span)
    guard let keyspace = try? KeyspaceDefinition(from: &reader) else { return nil }
    keyspace.checkInvariants()
    let used = Blob(copying: bytes.span.extracting(0..<reader.offset))
    try require(keyspace.encoded() == used, "the definition \(keyspace) has two spellings")
    return keyspace
}

private func checkEntries(_ entries: [RingEntry]) throws(PropertyFailure) {
    // As views of one node, so that they can be merged.
    let views = entries.prefix(3).map { entry in
        var view = entry
        view.id = entries[0].id
        return view
    }
    func merged(_ a: RingEntry, _ b: RingEntry) -> RingEntry {
        var out = a
        out.merge(b)
        return out
    }
    for a in views {
        try require(merged(a, a) == a, "an entry merged with itself changes: \(a)")
        for b in views {
            try require(merged(a, b) == merged(b, a), "entries don't commute: \(a), \(b)")
            for c in views {
                try require(
                    merged(merged(a, b), c) == merged(a, merged(b, c)),
                    "entries aren't associative: \(a), \(b), \(c)")
            }
        }
    }
}

private func checkKeyspaces(_ keyspaces: [KeyspaceDefinition]) throws(PropertyFailure) {
    let views = keyspaces.prefix(3).map { keyspace in
        var view = keyspace
        view.id = 0
        return view
    }
    func merged(_ a: KeyspaceDefinition, _ b: KeyspaceDefinition) -> KeyspaceDefinition {
        var out = a
        out.merge(b)
        return out
    }
    for a in views {
        for b in views {
            try require(merged(a, b) == merged(b, a), "definitions don't commute: \(a), \(b)")
            for c in views {
                try require(
                    merged(merged(a, b), c) == merged(a, merged(b, c)),
                    "definitions aren't associative: \(a), \(b), \(c)")
            }
        }
    }
}

/// The ring is the same in whatever order its entries come, unless one of them is refused.
private func checkPlacement(
    _ entries: [RingEntry], _ keyspaces: [KeyspaceDefinition]
) throws(PropertyFailure) {
    guard let ring = try? Ring(entries) else { return }
    ring.checkInvariants()
    guard let reversed = try? Ring(entries.reversed()) else {
        throw PropertyFailure("entries make a ring in one order and none in the other")
    }
    try require(ring == reversed && ring.digest == reversed.digest, "the order of entries shows in the ring")
    guard let keyspace = keyspaces.first else { return }
    let placement = Placement(ring: ring, keyspace: keyspace)
    placement.checkInvariants()
    for slot in [Slot.first, Slot(8_191), .last] {
        let owners = placement.owners(of: slot)
        try require(owners.count <= keyspace.replication.total, "slot \(slot) has \(owners.count) owners")
        for place in owners.indices {
            let member = placement.members[owners[place]]
            try require(member.ownsTokens, "\(member.name) owns slot \(slot) without a token")
        }
    }
}
