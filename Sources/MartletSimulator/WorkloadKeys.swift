import MartletBase
import MartletRing
import MartletStorage

/// The keys that clients use: `k00000`, `k00001` and so on, so that a stored key tells its index, and the
/// checkers keep what they know of keys in arrays.
package enum WorkloadKeys {
    private static let digits = 5

    package static func key(_ index: Int) -> Blob {
        var bytes: [UInt8] = [UInt8(ascii: "k")]
        var divisor = 10_000
        for _ in 0..<digits {
            bytes.append(UInt8(ascii: "0") + UInt8(index / divisor % 10))
            divisor /= 10
        }
        return Blob(bytes)
    }

    /// Where the storage keeps it, in keyspace 0.
    package static func stored(_ index: Int) -> StorageKey {
        let key = key(index)
        return StorageKey(keyspace: 0, token: Token(key: key).value, key: key)
    }

    /// The index of a key, or of a stored key that ends with one; nil for any other bytes.
    package static func index(of key: Blob) -> Int? {
        guard key.count > digits else { return nil }
        var index = 0
        for byte in key.bytes.suffix(digits) {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            index = index * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return index
    }
}

/// The values that clients write: the number of the operation that wrote it, then bytes that follow from that
/// number. So no two writes share a value, and a value read tells who wrote it.
enum WorkloadValues {
    static let bytesMin = 8

    static func value(operation: UInt64, byteCount: Int) -> Blob {
        var writer = ByteWriter(reservingCapacity: max(bytesMin, byteCount))
        writer.u64(operation)
        // Half of it compresses: large values exercise the frames' compression both ways.
        while writer.count < byteCount {
            writer.u8(
                writer.count & 32 == 0
                    ? 0x2E : UInt8(truncatingIfNeeded: XXH3.hash(operation &+ UInt64(writer.count))))
        }
        return Blob(writer.bytes)
    }

    /// The operation that wrote it; nil for bytes that none wrote.
    static func operation(of value: RawSpan) -> UInt64? {
        var reader = ByteReader(value)
        return try? reader.u64()
    }
}
