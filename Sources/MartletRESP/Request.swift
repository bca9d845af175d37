import MartletBase

/// A parsed request: its arguments in place, the command's name first. Valid until the bytes move or the
/// parser goes on.
package struct Request: ~Escapable {
    @usableFromInline let bytes: RawSpan
    @usableFromInline let ranges: Span<Range<Int>>

    @_lifetime(copy bytes, copy ranges)
    @inlinable init(bytes: RawSpan, ranges: Span<Range<Int>>) {
        self.bytes = bytes
        self.ranges = ranges
    }

    /// At least one.
    @inlinable package var count: Int { ranges.count }

    @inlinable package subscript(index: Int) -> RawSpan {
        @_lifetime(copy self)
        get { bytes.extracting(ranges[index]) }
    }
}

/// A request that was skipped because it, or one of its arguments, was too long to hold. The connection goes
/// on.
package struct OversizedRequest: Hashable, Sendable {
    package enum Subject: Hashable, Sendable {
        /// The first argument that was too long; 0 is the command's name.
        case argument(index: Int)
        /// No argument, but all of them together.
        case request
    }

    package var subject: Subject
    /// The length of the subject.
    package var bytes: Int
    package var bytesMax: Int
    /// The first argument, cut after `commandBytesMax`; nil when it is the subject.
    package var command: Blob?
    /// The second argument: nil when it hadn't arrived before the subject did, or is longer than a key.
    package var key: Blob?

    package static let commandBytesMax = 64

    package init(subject: Subject, bytes: Int, bytesMax: Int, command: Blob?, key: Blob?) {
        self.subject = subject
        self.bytes = bytes
        self.bytesMax = bytesMax
        self.command = command
        self.key = key
    }
}
