import MartletBase

/// How old a record is, for purge floors.
extension Record {
    /// What of a record may be merged over what is held (nil: nothing), when nothing at or below the floor
    /// may enter any more; nil for nothing.
    ///
    /// - A register: an expiry that was set lately for an old value, where that value is held. Where it
    ///   isn't, the value was replaced by something that is purged; merged, it would come back.
    /// - Siblings: all but the old versions that aren't held, which were replaced likewise, and old actors
    ///   without a version, of which all owners know what there is to know.
    package static func admitted(_ record: Blob, over held: Blob?, floor: HybridTime) -> Blob? {
        if RecordKind(of: record.span) == .siblings {
            return Siblings.admitted(record, over: held, floor: floor)
        }
        guard let view = try? RegisterView(record.span) else { return nil }
        if view.stamp.time > floor { return record }
        guard let held, let known = try? RegisterView(held.span), known.stamp >= view.stamp else {
            return nil
        }
        return record
    }
}

extension Siblings {
    static func admitted(_ record: Blob, over held: Blob?, floor: HybridTime) -> Blob? {
        guard var parts = try? parts(record.span) else { return nil }
        var known: Set<Stamp> = []
        if let held { Record.forEachVersion(held.span) { known.insert($0.stamp) } }
        for index in parts.indices {
            parts[index].versions.removeAll { $0.stamp.time <= floor && !known.contains($0.stamp) }
        }
        parts.removeAll { $0.isForgotten(behind: Horizon(purgeFloor: floor.bits)) }
        return parts.isEmpty ? nil : encode(parts, from: record)
    }

    static func encode(_ parts: [Part], from record: Blob) -> Blob {
        var writer = ByteWriter(reservingCapacity: record.count)
        writer.u8(RecordKind.siblings.rawValue)
        writer.varint(UInt64(parts.count))
        for part in parts { write(part, from: record.span, to: &writer) }
        return Blob(writer.bytes)
    }
}
