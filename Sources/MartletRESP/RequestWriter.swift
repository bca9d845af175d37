import MartletBase

/// Appends requests, as a client sends them, to a byte array that its owner reuses. `begin` announces how
/// many arguments follow, the command's name included.
package struct RequestWriter: Sendable {
    package var bytes: [UInt8]

    @inlinable package init(appendingTo bytes: consuming [UInt8] = []) { self.bytes = bytes }

    @inlinable package mutating func begin(argumentCount: Int) {
        bytes.appendHeader(UInt8(ascii: "*"), Int64(argumentCount))
    }

    @inlinable package mutating func argument(_ value: RawSpan) {
        value.withUnsafeBytes { bytes.appendBulk($0, mark: UInt8(ascii: "$")) }
    }

    @inlinable package mutating func argument(_ value: Blob) { argument(value.span) }

    @inlinable package mutating func argument(_ text: StaticString) {
        bytes.appendBulk(
            UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount),
            mark: UInt8(ascii: "$"))
    }

    package mutating func argument(_ text: String) {
        var text = text
        text.withUTF8 { bytes.appendBulk(UnsafeRawBufferPointer($0), mark: UInt8(ascii: "$")) }
    }

    package mutating func argument(_ number: Int) { argument(String(number)) }

    /// A whole request. At least one argument: Redis doesn't answer an empty one.
    package mutating func request(_ arguments: [Blob]) {
        invariant(!arguments.isEmpty, "a request needs a command")
        begin(argumentCount: arguments.count)
        for value in arguments { argument(value) }
    }

    package mutating func request(_ arguments: [String]) {
        invariant(!arguments.isEmpty, "a request needs a command")
        begin(argumentCount: arguments.count)
        for text in arguments { argument(text) }
    }
}
