import MartletBase
import MartletGossip

/// Gossip's packets as a peer could send them, its members and facts few, so that they meet each other. The
/// layout is that of `PacketCodec`, written out once more: what a hostile peer would do.
struct ForgedPacket {
    static let cluster = "fuzz"

    static func id(_ number: Int) -> NodeID { NodeID(short: UInt64(number), middle: 0, low: 0) }

    static func address(_ number: Int) -> Address {
        Address(ip: IPAddress(v4: 127, 0, 0, UInt8(number)), port: 7_600)
    }

    /// Header and checksum are right; what is within is the input's.
    static func packet(_ input: inout FuzzInput, rumour: (inout FuzzInput) -> Blob) -> Blob {
        let kind = input.u8()
        var writer = begin(kind)
        claim(tag: input.below(8) == 7 ? 3 : 0, &input, &writer)
        // Every kind's fields are made of these.
        switch kind {
        case 1: fields(&input, &writer, [4, -1, 8])
        case 2: fields(&input, &writer, [4, 8])
        case 3:
            fields(&input, &writer, [4, -1])
            compact(address(input.below(8)), &writer)
        case 4, 5: fields(&input, &writer, [4])
        case 7: fields(&input, &writer, [8])
        case 10: writer.u8(UInt8(input.below(2)))
        default: break
        }
        for _ in 0..<input.below(8) { item(&input, &writer, rumour: rumour) }
        if input.below(16) == 15 { writer.raw(input.piece()) }
        return seal(writer)
    }

    private static func begin(_ kind: UInt8) -> ByteWriter {
        var writer = ByteWriter()
        writer.u32(0x4D47_5350)
        writer.u8(1)
        writer.u64(0)
        writer.u64(XXH3.hash(Blob(cluster)))
        writer.u8(kind)
        return writer
    }

    private static func seal(_ writer: ByteWriter) -> Blob {
        var writer = writer
        let sum = XXH3.hash(writer.bytes.span.bytes.extracting(13...))
        writer.patch(u32: UInt32(truncatingIfNeeded: sum >> 32), at: 5)
        writer.patch(u32: UInt32(truncatingIfNeeded: sum), at: 9)
        return Blob(writer.bytes)
    }

    // MARK: As a good peer would

    private static func header(_ kind: UInt8, from number: Int) -> ByteWriter {
        var writer = begin(kind)
        writer.u8(0)
        id(number).write(to: &writer)
        writer.varint(1)
        compact(address(number), &writer)
        return writer
    }

    static func greeting(from number: Int) -> Blob { seal(header(6, from: number)) }

    static func ack(_ sequence: UInt32, from number: Int, wall: WallTime) -> Blob {
        var writer = header(2, from: number)
        writer.u32(sequence)
        writer.u64(UInt64(wall.microseconds))
        return seal(writer)
    }

    /// Nil for what is no ping.
    static func sequence(ofPing packet: Blob) -> UInt32? {
        guard packet.count > 22, packet.bytes[21] == 1 else { return nil }
        var reader = ByteReader(packet.span.extracting(22..<packet.count))
        guard (try? reader.take(1 + NodeID.byteCount)) != nil, (try? reader.varint()) != nil,
            (try? reader.take(7)) != nil
        else { return nil }
        return try? reader.u32()
    }

    // MARK: Parts

    /// Of as many bytes each; -1 is an id.
    private static func fields(_ input: inout FuzzInput, _ writer: inout ByteWriter, _ sizes: [Int]) {
        for size in sizes {
            switch size {
            case -1: id(input.below(8)).write(to: &writer)
            case 4: writer.u32(UInt32(input.u8()))
            default:
                // A wall clock near the present one, or anything.
                let value = input.u64()
                let isNear = value >> 56 < 128
                writer.u64(isNear ? 1_700_000_000_000_000 + value % 4_000_000 : value)
            }
        }
    }

    private static func item(
        _ input: inout FuzzInput, _ writer: inout ByteWriter, rumour: (inout FuzzInput) -> Blob
    ) {
        let tag = input.below(8)
        switch tag {
        case 0...3: claim(tag: UInt8(tag), &input, &writer)
        case 4, 7:
            writer.u8(16)
            key(&input, &writer)
            writer.blob(rumour(&input))
        case 5:
            writer.u8(17)
            key(&input, &writer)
            writer.u64(UInt64(input.u8()))
        default:
            writer.u8(18)
            key(&input, &writer)
        }
    }

    private static func key(_ input: inout FuzzInput, _ writer: inout ByteWriter) {
        writer.u8(input.u8() % 8)
        id(input.below(8)).write(to: &writer)
    }

    private static func claim(tag: UInt8, _ input: inout FuzzInput, _ writer: inout ByteWriter) {
        writer.u8(tag)
        let number = input.below(16)
        // Two ids may begin alike, and one may be at another's address.
        NodeID(short: UInt64(number % 8), middle: number < 8 ? 0 : 1, low: 0).write(to: &writer)
        let incarnation = input.u8()
        writer.varint(
            incarnation < 250 ? UInt64(incarnation) : Limits.incarnationMax - UInt64(255 - incarnation))
        compact(address(input.below(8)), &writer)
        if tag == 1 {
            let accusers = Set((0..<input.below(4)).map { _ in input.u8() }).sorted()
            writer.u8(UInt8(accusers.count))
            for accuser in accusers { writer.u64(UInt64(accuser)) }
        }
    }

    private static func compact(_ address: Address, _ writer: inout ByteWriter) {
        writer.u8(4)
        writer.u32(address.ip.v4 ?? 0)
        writer.u16(address.port)
    }
}
