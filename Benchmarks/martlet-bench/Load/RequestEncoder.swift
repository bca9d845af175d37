import MartletBase
import MartletRESP

/// Keys of one length: `k`, then the key's number in hexadecimal, with zeros in front.
package struct KeyFormat: Hashable, Sendable {
    package static let bytesMin = 2
    package static let bytesMax = 1_024

    /// Of each key.
    package let bytes: Int

    package init(bytes: Int) {
        invariant(Self.bytesMin...Self.bytesMax ~= bytes, "a key is too short or too long")
        self.bytes = bytes
    }

    /// How many keys of this length there are.
    package var countMax: Int { bytes > 15 ? .max : 1 << (4 * (bytes - 1)) }

    /// Key number 0, onto which others are written.
    var zero: [UInt8] { [UInt8(ascii: "k")] + [UInt8](repeating: UInt8(ascii: "0"), count: bytes - 1) }

    /// Writes the number over the digits of key 0, which ends before `end`.
    @inline(__always)
    func write(_ number: Int, endingAt end: UnsafeMutablePointer<UInt8>) {
        var place = end
        var rest = number
        while rest > 0 {
            place -= 1
            let digit = UInt8(truncatingIfNeeded: rest & 15)
            place.pointee = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
            rest >>= 4
        }
    }

    package func key(_ number: Int) -> [UInt8] {
        var out = zero
        out.withUnsafeMutableBufferPointer { buffer in
            if let start = buffer.baseAddress { write(number, endingAt: start + buffer.count) }
        }
        return out
    }
}

/// Writes requests by copying what is the same in all of them and patching the key.
///
/// A value begins with its key, so that an answer to another key's request is noticed; the rest is cut from a
/// pool of random bytes at a random place, so that no engine gets more out of compressing it than it would of
/// real data, and no two writes are equal.
///
/// A class, so that a connection's use of it costs a pointer, not a copy of its arrays' references.
package final class RequestEncoder {
    private static let poolSlack = 4_096

    package let keys: KeyFormat
    package let valueBytes: ClosedRange<Int>
    private let get: [UInt8]
    private let scanKey: [UInt8]
    /// Up to the value, for each size.
    private let setHeads: [[UInt8]]
    /// After the value.
    private let setTail: [UInt8]
    private let setKeyEnd: [Int]
    private let pool: [UInt8]
    private var random: Random

    /// - Parameter waitReplicas: so many replicas must have each write (WAIT); 0: none is asked for.
    package init(keys: KeyFormat, valueBytes: ClosedRange<Int>, waitReplicas: Int, seed: UInt64) {
        self.keys = keys
        self.valueBytes = valueBytes
        random = Random(seed: seed)
        let zero = Blob(keys.zero)
        var writer = RequestWriter()
        writer.begin(argumentCount: 2)
        writer.argument("GET")
        writer.argument(zero)
        get = writer.bytes
        writer = RequestWriter()
        writer.argument(zero)
        scanKey = writer.bytes
        var heads: [[UInt8]] = []
        var ends: [Int] = []
        for size in valueBytes {
            writer = RequestWriter()
            writer.begin(argumentCount: 3)
            writer.argument("SET")
            writer.argument(zero)
            ends.append(writer.bytes.count - 2)
            heads.append(writer.bytes + Array("$\(size)\r\n".utf8))
        }
        setHeads = heads
        setKeyEnd = ends
        writer = RequestWriter(appendingTo: [13, 10])
        if waitReplicas > 0 {
            writer.begin(argumentCount: 3)
            writer.argument("WAIT")
            writer.argument(waitReplicas)
            writer.argument(Self.waitMilliseconds)
        }
        setTail = writer.bytes
        var source = Random(seed: seed ^ 0x5EED)
        let letters = Array("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_".utf8)
        pool = (0..<valueBytes.upperBound + Self.poolSlack).map { _ in letters[Int(source.next() & 63)] }
    }

    /// How long WAIT waits for its replicas.
    private static let waitMilliseconds = 5_000

    package func appendRead(_ key: Int, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: get)
        patch(key, endingAt: bytes.count - 2, in: &bytes)
    }

    package func appendScan(_ key: Int, count: Int, to bytes: inout [UInt8]) {
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        var writer = RequestWriter(appendingTo: consume taken)
        writer.begin(argumentCount: count + 1)
        writer.argument("MGET")
        bytes = writer.bytes
        for number in key..<key + count {
            bytes.append(contentsOf: scanKey)
            patch(number, endingAt: bytes.count - 2, in: &bytes)
        }
    }

    package func appendWrite(_ key: Int, to bytes: inout [UInt8]) {
        let drawn = random.next()
        let width = valueBytes.count
        let choice = width == 1 ? 0 : Int((drawn >> 16).multipliedFullWidth(by: UInt64(width) << 16).high)
        let size = valueBytes.lowerBound + choice
        let start = bytes.count
        bytes.append(contentsOf: setHeads[choice])
        patch(key, endingAt: start + setKeyEnd[choice], in: &bytes)
        let shown = min(keys.bytes, size)
        let value = bytes.count
        let from = Int(drawn & UInt64(Self.poolSlack - 1))
        pool.withUnsafeBufferPointer { pool in
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: pool[from..<from + size]))
        }
        let keyStart = start + setKeyEnd[choice] - keys.bytes
        bytes.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            (base + value).update(from: base + keyStart, count: shown)
        }
        bytes.append(contentsOf: setTail)
    }

    @inline(__always)
    private func patch(_ key: Int, endingAt end: Int, in bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBufferPointer { buffer in
            if let base = buffer.baseAddress { keys.write(key, endingAt: base + end) }
        }
    }

    /// Whether these bytes can be a value of the key: as long as one is, and beginning with the key.
    package func isValue(_ value: UnsafeRawBufferPointer, of key: Int) -> Bool {
        guard valueBytes ~= value.count else { return false }
        let shown = min(keys.bytes, value.count)
        if shown == 0 { return true }
        guard value[0] == UInt8(ascii: "k") else { return false }
        var rest = key
        var place = keys.bytes - 1
        while place > 0 {
            let digit = UInt8(truncatingIfNeeded: rest & 15)
            let letter = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
            if place < shown, value[place] != letter { return false }
            rest >>= 4
            place -= 1
        }
        return true
    }
}
