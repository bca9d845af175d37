import MartletBase
import MartletWire

/// A frame is found only whole, asks for no more bytes than it has, and is written as it was read.
func checkFrame(_ input: [UInt8]) throws(PropertyFailure) {
    var input = FuzzInput(input)
    let way = input.u8()
    let bytes: [UInt8]
    if way & 1 == 0 {
        bytes = input.rest()
    } else {
        let time = input.u64()
        let kind = input.u8()
        bytes = sealedFrame(time: time, kind: kind, flags: way >> 1 & 3, body: input.rest())
    }
    try checkScan(bytes, lengthMax: way & 8 == 0 ? Limits.frameBytesMax : 256)
}

private func checkScan(_ bytes: [UInt8], lengthMax: Int) throws(PropertyFailure) {
    let span = bytes.span.bytes
    guard let scan = try? Frame.scan(span, lengthMax: lengthMax) else { return }
    switch scan {
    case .needMore(let total):
        try require(total > bytes.count, "a frame of \(bytes.count) bytes asks for \(total)")
        try require(total <= 8 + lengthMax || bytes.count < 8, "a frame over its limit is waited for")
    case .frame(let frame, let consumed):
        try require((1...bytes.count).contains(consumed), "\(consumed) of \(bytes.count) bytes are used")
        for length in Set([0, 7, 8, 21, 22, consumed / 2, consumed - 1]) where length < consumed {
            let part = try? Frame.scan(span.extracting(0..<length), lengthMax: lengthMax)
            guard case .needMore(let total)? = part else {
                throw PropertyFailure("\(length) bytes of a frame of \(consumed) are not waited for")
            }
            try require(total > length && total <= max(consumed, 22), "too much is waited for")
        }
        try checkWriting(frame, of: Array(bytes[..<consumed]))
    }
}

private func checkWriting(_ frame: Frame, of bytes: [UInt8]) throws(PropertyFailure) {
    var writer = ByteWriter()
    frame.write(to: &writer)
    let again = try? Frame.scan(writer.bytes.span.bytes)
    guard case .frame(let second, let consumed)? = again else {
        throw PropertyFailure("\(frame) can be written and not read")
    }
    try require(second == frame && consumed == writer.count, "\(frame) reads as \(second)")
    // A body has one spelling; how it is compressed is the sender's choice.
    let isCompressed = bytes[21] & 1 != 0 || writer.bytes[21] & 1 != 0
    try require(isCompressed || writer.bytes == bytes, "\(frame) has two spellings")
    try require(frame.message.payloadBytes <= Limits.frameBytesMax, "more is counted than was sent")
}

/// A frame with the length, its check and the checksum that belong to it.
func sealedFrame(time: UInt64, kind: UInt8, flags: UInt8, body: [UInt8]) -> [UInt8] {
    var writer = ByteWriter()
    let length = Frame.headerBytes - 8 + body.count
    writer.u32(UInt32(length))
    writer.u32(UInt32(truncatingIfNeeded: XXH3.hash(UInt64(length))))
    writer.u32(0)
    writer.u64(time)
    writer.u8(kind)
    writer.u8(flags)
    writer.raw(body)
    let sum = XXH3.hash(writer.bytes.span.bytes.extracting(12...))
    writer.patch(u32: UInt32(truncatingIfNeeded: sum), at: 8)
    return writer.bytes
}
