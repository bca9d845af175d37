import MartletBase

@usableFromInline let carriageReturn = UInt8(ascii: "\r")
@usableFromInline let lineFeed = UInt8(ascii: "\n")

extension RawSpan {
    /// The byte at `offset`, bounds-checked.
    @inlinable @inline(__always)
    func byte(_ offset: Int) -> UInt8 { unsafeLoad(fromByteOffset: offset, as: UInt8.self) }
}

/// A length line in the form that every client sends: the mark, one to nine digits without a leading zero, a
/// carriage return and whatever byte follows it. Nil for every other form and for a line that isn't complete:
/// then the slow path decides.
@inlinable @inline(__always)
func plainLength(_ bytes: RawSpan, at start: Int, mark: UInt8) -> (length: Int, end: Int)? {
    let count = bytes.byteCount
    guard count - start >= 4, bytes.byte(start) == mark else { return nil }
    let first = bytes.byte(start + 1) &- UInt8(ascii: "0")
    guard first <= 9 else { return nil }
    var length = Int(first)
    var position = start + 2
    let last = min(count - 1, start + 11)
    while position < last {
        let byte = bytes.byte(position)
        if byte == carriageReturn { return (length, position + 2) }
        let digit = byte &- UInt8(ascii: "0")
        guard digit <= 9, length > 0 else { return nil }
        length = length &* 10 &+ Int(digit)
        position += 1
    }
    return nil
}

/// A decimal number as Redis reads one (`string2ll`): no sign but `-`, no space, no leading zero, no `-0`,
/// and within 64 bits. Nil for everything else.
package func parseInteger(_ text: RawSpan) -> Int64? {
    let count = text.byteCount
    guard count > 0, count <= 20 else { return nil }
    let isNegative = text.byte(0) == UInt8(ascii: "-")
    var position = isNegative ? 1 : 0
    guard position < count else { return nil }
    let first = text.byte(position) &- UInt8(ascii: "0")
    if first == 0 { return count == 1 ? 0 : nil }
    // Counted downwards, as the least number has no positive twin.
    var value: Int64 = 0
    while position < count {
        let digit = text.byte(position) &- UInt8(ascii: "0")
        guard digit <= 9 else { return nil }
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, underflow) = product.subtractingReportingOverflow(Int64(digit))
        if overflow || underflow { return nil }
        value = sum
        position += 1
    }
    if isNegative { return value }
    return value == .min ? nil : -value
}

/// Whether the argument is the word, whatever the case of its ASCII letters. Options and level names are
/// compared so.
@inlinable
package func equalsIgnoringCase(_ argument: RawSpan, _ word: StaticString) -> Bool {
    let count = argument.byteCount
    guard count == word.utf8CodeUnitCount else { return false }
    let other = word.utf8Start
    for i in 0..<count where upperCased(argument.byte(i)) != upperCased(other[i]) { return false }
    return true
}

@inlinable @inline(__always)
func upperCased(_ byte: UInt8) -> UInt8 {
    byte &- UInt8(ascii: "a") < 26 ? byte & 0xDF : byte
}
