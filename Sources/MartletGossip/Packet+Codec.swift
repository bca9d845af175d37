import MartletBase

/// The bytes of a packet:
///
///     magic "MGSP" | version u8 | checksum u64 | cluster u64 | kind u8 | sender | fields of the kind |
///     items, to the end of the packet
///
///     sender   liveness u8 (up, left) | id 20 | incarnation varint | address
///     item     tag u8 = liveness 0-3 | id 20 | incarnation varint | address | if suspect: n u8, n times u64
///              tag u8 = 16           | kind u8 | id 20 | length varint | bytes                    (a fact)
///              tag u8 = 17           | kind u8 | id 20 | hash u64                                 (a digest)
///              tag u8 = 18           | kind u8 | id 20                                            (a wish)
///     address  4 | 4 bytes | port u16     or     6 | 16 bytes | port u16
///
/// The checksum is XXH3-64 of all that follows it, and `cluster` the XXH3-64 of the cluster's name: neither
/// is a secret. Bytes are read completely before any of them has an effect.
enum PacketCodec {
    static let magic: UInt32 = 0x4D47_5350
    static let version: UInt8 = 1
    static let checksumOffset = 5
    static let checkedOffset = 13
    static let kindOffset = 21

    static let rumourTag: UInt8 = 16
    static let digestTag: UInt8 = 17
    static let wishTag: UInt8 = 18

    /// Fewer free bytes than this hold no item.
    static let itemBytesMin = 29
    /// The most that header, fields and the note to an accused recipient take: what of a packet news can't
    /// count on.
    static let overheadBytesMax = 256
    /// Wall clocks beyond this (the year 2255) are nonsense, and their differences would overflow.
    static let wallMicrosecondsMax: UInt64 = 9_000_000_000_000_000

    static func clusterHash(_ name: String) -> UInt64 { XXH3.hash(Blob(name)) }

    /// What every packet of ours begins with, its kind and checksum to be filled in.
    static func prefix(cluster: UInt64, sender: Member) -> [UInt8] {
        var writer = ByteWriter()
        writer.u32(magic)
        writer.u8(version)
        writer.u64(0)
        writer.u64(cluster)
        writer.u8(0)
        writer.claim(sender, accusers: [])
        return writer.bytes
    }

    static func begin(_ kind: PacketKind, prefix: [UInt8], capacity: Int) -> ByteWriter {
        var writer = ByteWriter(reservingCapacity: capacity)
        writer.raw(prefix)
        writer.bytes[kindOffset] = kind.rawValue
        return writer
    }

    static func seal(_ writer: consuming ByteWriter) -> Blob {
        let checksum = writer.bytes.withUnsafeBytes {
            XXH3.hash(UnsafeRawBufferPointer(rebasing: $0[checkedOffset...]))
        }
        writer.patch(u32: UInt32(truncatingIfNeeded: checksum >> 32), at: checksumOffset)
        writer.patch(u32: UInt32(truncatingIfNeeded: checksum), at: checksumOffset + 4)
        return Blob(writer.bytes)
    }

    static func claimBytes(_ member: Member, accusers: Int) -> Int {
        1 + NodeID.byteCount + varintBytes(member.incarnation) + (member.address.ip.v4 == nil ? 19 : 7)
            + (member.liveness == .suspect ? 1 + 8 * accusers : 0)
    }

    static func rumourBytes(_ length: Int) -> Int {
        2 + NodeID.byteCount + varintBytes(UInt64(length)) + length
    }

    static func varintBytes(_ value: UInt64) -> Int { max(1, (64 - value.leadingZeroBitCount + 6) / 7) }
}

extension ByteWriter {
    mutating func compact(_ address: Address) {
        if let v4 = address.ip.v4 {
            u8(4)
            u32(v4)
        } else {
            u8(6)
            u64(address.ip.high)
            u64(address.ip.low)
        }
        u16(address.port)
    }

    mutating func claim(_ member: Member, accusers: [UInt64]) {
        u8(member.liveness.rawValue)
        member.id.write(to: &self)
        varint(member.incarnation)
        compact(member.address)
        if member.liveness == .suspect {
            u8(UInt8(accusers.count))
            for accuser in accusers { u64(accuser) }
        }
    }

    private mutating func key(_ key: RumourKey, tag: UInt8) {
        u8(tag)
        u8(key.kind)
        key.id.write(to: &self)
    }

    mutating func rumour(_ key: RumourKey, _ bytes: Blob) {
        self.key(key, tag: PacketCodec.rumourTag)
        blob(bytes)
    }

    mutating func digest(_ key: RumourKey, hash: UInt64) {
        self.key(key, tag: PacketCodec.digestTag)
        u64(hash)
    }

    mutating func wish(_ key: RumourKey) { self.key(key, tag: PacketCodec.wishTag) }
}

extension ByteReader {
    mutating func compactAddress() throws(WireError) -> Address {
        let ip: IPAddress
        switch try u8() {
        case 4:
            ip = IPAddress(high: 0, low: 0xFFFF_0000_0000 | UInt64(try u32()))
        case 6:
            let high = try u64()
            ip = IPAddress(high: high, low: try u64())
            if ip.v4 != nil { throw .invalid("address") }
        default:
            throw .invalid("address")
        }
        let port = try u16()
        if port == 0 { throw .invalid("address") }
        return Address(ip: ip, port: port)
    }

    mutating func incarnation() throws(WireError) -> UInt64 {
        let value = try varint()
        if value > Limits.incarnationMax { throw .invalid("incarnation") }
        return value
    }

    mutating func wall() throws(WireError) -> WallTime {
        let value = try u64()
        if value > PacketCodec.wallMicrosecondsMax { throw .invalid("wall clock") }
        return WallTime(microseconds: Int64(value))
    }

    mutating func claim(_ liveness: Liveness) throws(WireError) -> Claim {
        let id = try NodeID(from: &self)
        let incarnation = try incarnation()
        // At the limit an accusation could not be refuted. A goodbye is none.
        let isAccusation = liveness == .suspect || liveness == .down
        if isAccusation, incarnation == Limits.incarnationMax { throw .invalid("incarnation") }
        let address = try compactAddress()
        let member = Member(id: id, address: address, incarnation: incarnation, liveness: liveness)
        guard liveness == .suspect else { return Claim(member: member) }
        let count = Int(try u8())
        guard (1...Limits.accusersMax).contains(count) else { throw .invalid("accusers") }
        var accusers: [UInt64] = []
        accusers.reserveCapacity(count)
        for _ in 0..<count {
            let accuser = try u64()
            if let last = accusers.last, last >= accuser { throw .invalid("accusers") }
            accusers.append(accuser)
        }
        return Claim(member: member, accusers: accusers)
    }

    mutating func rumourKey() throws(WireError) -> RumourKey {
        let kind = try u8()
        return RumourKey(kind: kind, id: try NodeID(from: &self))
    }
}

extension Packet {
    /// Reads the bytes completely. What is left in `self` after an error means nothing.
    mutating func decode(_ span: RawSpan, cluster: UInt64) throws(WireError) {
        removeAll()
        var reader = ByteReader(span)
        guard try reader.u32() == PacketCodec.magic else { throw .invalid("magic") }
        guard try reader.u8() == PacketCodec.version else { throw .invalid("version") }
        let checksum = try reader.u64()
        guard XXH3.hash(span.extracting(reader.offset..<span.byteCount)) == checksum else {
            throw .checksum
        }
        guard try reader.u64() == cluster else { throw .invalid("cluster") }
        guard let kind = PacketKind(rawValue: try reader.u8()) else { throw .invalid("kind") }
        self.kind = kind
        guard let liveness = Liveness(rawValue: try reader.u8()), liveness == .up || liveness == .left else {
            throw .invalid("sender")
        }
        sender = try reader.claim(liveness).member
        try decodeFields(&reader)
        while !reader.isAtEnd { try decodeItem(&reader) }
    }

    private mutating func decodeFields(_ reader: inout ByteReader) throws(WireError) {
        switch kind {
        case .ping:
            sequence = try reader.u32()
            target = try NodeID(from: &reader)
            wall = try reader.wall()
        case .ack:
            sequence = try reader.u32()
            wall = try reader.wall()
        case .pingRequest:
            sequence = try reader.u32()
            target = try NodeID(from: &reader)
            targetAddress = try reader.compactAddress()
        case .relayedAck, .nack:
            sequence = try reader.u32()
        case .syncAsk:
            root = try reader.u64()
        case .syncFacts:
            switch try reader.u8() {
            case 0: isLast = false
            case 1: isLast = true
            default: throw .invalid("last")
            }
        case .gossip, .syncEqual, .syncLists:
            break
        }
    }

    private mutating func decodeItem(_ reader: inout ByteReader) throws(WireError) {
        let tag = try reader.u8()
        if let liveness = Liveness(rawValue: tag) {
            guard claims.count < Limits.gossipMembersMax else { throw .invalid("members") }
            let claim = try reader.claim(liveness)
            // Lists are compared in one pass, so their order is part of the format.
            if !kind.goesByDatagram, let last = claims.last, last.member.id >= claim.member.id {
                throw .invalid("members")
            }
            claims.append(claim)
            return
        }
        switch tag {
        case PacketCodec.rumourTag:
            guard rumours.count < Limits.rumoursMax else { throw .invalid("rumours") }
            let key = try reader.rumourKey()
            let length = try reader.count(max: Limits.rumourBytesMax, "rumour")
            let start = reader.offset
            _ = try reader.take(length)
            rumours.append((key, start..<start + length))
        case PacketCodec.digestTag where kind == .syncLists:
            guard digests.count < Limits.rumoursMax else { throw .invalid("digests") }
            let digest = RumourDigest(key: try reader.rumourKey(), hash: try reader.u64())
            if let last = digests.last, last.key >= digest.key { throw .invalid("digests") }
            digests.append(digest)
        case PacketCodec.wishTag where kind == .syncFacts:
            guard wanted.count < Limits.rumoursMax else { throw .invalid("wishes") }
            let key = try reader.rumourKey()
            if let last = wanted.last, last >= key { throw .invalid("wishes") }
            wanted.append(key)
        default:
            throw .invalid("item")
        }
    }
}
