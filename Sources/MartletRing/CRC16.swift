import MartletBase

/// CRC16/XMODEM (polynomial 0x1021, initially 0, not reflected): the checksum that makes a key's slot in
/// Redis Cluster.
///
/// Eight bytes a step ("slicing by 8": Kounavis, Berry, "Novel Table Lookup-Based Algorithms for
/// High-Performance CRC Generation", 2008): byte by byte each look-up waits for the one before it, and a key
/// of 24 bytes would cost more than the rest of a lookup together.
enum CRC16 {
    /// `tables[256 * k + b]` is the checksum of byte `b` followed by `k` zero bytes.
    private static let tables: [UInt16] = {
        var tables = [UInt16](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var crc = UInt16(byte) << 8
            for _ in 0..<8 { crc = crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
            tables[byte] = crc
        }
        for i in 256..<(8 * 256) {
            let shorter = tables[i - 256]
            tables[i] = shorter << 8 ^ tables[Int(shorter >> 8)]
        }
        return tables
    }()

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt16 {
        tables.withUnsafeBufferPointer { tables in
            var crc: UInt16 = 0
            var i = 0
            while i + 8 <= bytes.count {
                var block = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self))
                block ^= UInt64(crc) << 48
                crc = 0
                var base = 0
                while base < 8 * 256 {
                    crc ^= tables[base + Int(block & 0xFF)]
                    block >>= 8
                    base += 256
                }
                i += 8
            }
            while i < bytes.count {
                crc = crc << 8 ^ tables[Int(crc >> 8 ^ UInt16(bytes[i]))]
                i += 1
            }
            return crc
        }
    }
}
