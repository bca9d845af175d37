import MartletBase
import MartletVersions

// MARK: Records

/// The laws of the join for any three texts, and for records: one spelling, and a digest that outlives the
/// dropping of an expired value.
func checkRecords(_ input: [UInt8]) throws(PropertyFailure) {
    var input = FuzzInput(input)
    let before = Int64(bitPattern: input.u64() >> 1)
    let records = (0..<3).map { _ in Blob(input.piece()) }
    for record in records { try checkRecord(record, droppedBefore: before) }
    for a in records {
        try require(Record.join(a, a) == a, "join(a, a) isn't a: \(a)")
        for b in records {
            let joined = Record.join(a, b)
            try require(joined == Record.join(b, a), "join(a, b) isn't join(b, a): \(a), \(b)")
            try require(Record.join(joined, a) == joined, "join(join(a, b), a) isn't join(a, b): \(a), \(b)")
            let isRecord = isValid(a) || isValid(b)
            try require(isValid(joined) == isRecord, "the join of \(a) and \(b) can't be read: \(joined)")
            for c in records {
                try require(
                    Record.join(joined, c) == Record.join(a, Record.join(b, c)),
                    "the join isn't associative: \(a), \(b), \(c)")
            }
        }
    }
}

private func isValid(_ record: Blob) -> Bool {
    do {
        try Record.validate(record.span)
        return true
    } catch {
        return false
    }
}

private func checkRecord(_ record: Blob, droppedBefore before: Int64) throws(PropertyFailure) {
    var writer = ByteWriter()
    let isDropped = Record.dropExpired(record.span, before: before, into: &writer)
    try require(isDropped != writer.bytes.isEmpty, "dropping says one thing and does another")
    if RecordKind(of: record.span) == .siblings, isValid(record) {
        try checkSiblings(record, isDropped ? Blob(writer.bytes) : nil)
        return
    }
    guard let view = try? RegisterView(record.span) else {
        try require(!isValid(record) && !isDropped, "\(record) is a record and none")
        return
    }
    try require(isValid(record), "\(record) is a record and none")
    try require(
        view.valueOffset >= 0 && view.valueOffset + view.valueLength == record.count, "the value is elsewhere"
    )
    let register = Register(decoding: record)
    try require(register.encoded() == record, "\(record) has two spellings")
    let digest = Record.digest(record)
    try require(digest != 0, "the digest of a record is that of none")
    if case .present(let value) = register.value, register.expiryStamp == register.stamp {
        let put = Register.encodePut(stamp: register.stamp, value: value.span, expiry: register.expiry)
        try require(put == record, "a put is spelled in two ways: \(record)")
    }
    guard isDropped else { return }
    let dropped = Blob(writer.bytes)
    guard let left = try? RegisterView(dropped.span) else {
        throw PropertyFailure("\(record) becomes \(dropped), which is no record")
    }
    try require(left.state == .dropped && dropped.count <= record.count, "\(record) grows when it is dropped")
    try require(Record.digest(dropped) == digest, "the digest of \(record) changes when its value is dropped")
    try require(Record.join(record, dropped) == record, "\(record) loses against what is left of it")
    var again = ByteWriter()
    let isDroppedAgain = Record.dropExpired(dropped.span, before: .max, into: &again)
    try require(!isDroppedAgain, "\(record) is dropped twice")
}

/// Versions lie within the record, under dots that its context covers; shedding values keeps digest and laws.
private func checkSiblings(_ record: Blob, _ dropped: Blob?) throws(PropertyFailure) {
    let context = Record.context(of: record.span)
    var isWithin = true
    Record.forEachVersion(record.span) { version in
        let end = version.valueOffset + version.valueLength
        if version.valueOffset < 0 || end > record.count || !context.covers(version.stamp) {
            isWithin = false
        }
    }
    try require(isWithin, "a version of \(record) is elsewhere, or not covered")
    try require(Record.digest(record) != 0, "the digest of a record is that of none")
    try require(Record.seen(record, behind: .none) == record, "without a horizon less is seen of \(record)")
    guard let dropped else { return }
    try require(isValid(dropped) && dropped.count <= record.count, "\(record) grows when values are dropped")
    try require(
        Record.digest(dropped) == Record.digest(record), "the digest of \(record) changes with its values")
    try require(Record.join(record, dropped) == record, "\(record) loses against what is left of it")
}

// MARK: Version tokens

/// A token has one spelling, names its key, and what is issued is taken.
func checkVersionToken(_ input: [UInt8]) throws(PropertyFailure) {
    var input = FuzzInput(input)
    let way = input.u8()
    let key = Blob(input.piece())
    if way & 1 == 0 {
        try checkToken(input.rest(), key)
    } else {
        // All but the checksum as it comes.
        var writer = ByteWriter()
        writer.raw(input.rest())
        if way & 2 != 0 {
            writer.u32(UInt32(truncatingIfNeeded: XXH3.hash(key.span, seed: 0x6B65_7900)))
        }
        writer.u32(UInt32(truncatingIfNeeded: XXH3.hash(writer.bytes.span.bytes)))
        try checkToken(Array(Base64URL.encode(writer.bytes).utf8), key)
    }
}

private func checkToken(_ text: [UInt8], _ key: Blob) throws(PropertyFailure) {
    let latest = HybridTime(bits: 1 << 62)
    guard let stamp = try? VersionToken.decode(text.span.bytes, key: key.span, latest: latest) else { return }
    try require(stamp.time <= latest, "a version of the future is taken")
    let again = VersionToken.encode(stamp, key: key.span)
    try require(Array(again.utf8) == text, "\(stamp) is spelled \(again) and \(Blob(text))")
    let other = Blob(key.bytes + [0])
    let isTaken = (try? VersionToken.decode(text.span.bytes, key: other.span, latest: latest)) != nil
    try require(!isTaken, "the version of one key is taken for another")
}
