import CUV
import Glibc
import MartletBase

/// An operation of the loop that the operating system refused.
package struct LoopError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Operation: String, Hashable, Sendable {
        case openLoop = "open an event loop"
        case listen = "listen on"
        case bind = "bind"
        case accept = "accept a connection on"
        case connect = "connect to"
        case read = "read from"
        case write = "write to"
        case receive = "receive datagrams on"
        case wake = "make a wake-up for other threads"
        case watchSignal = "watch a signal"
        case startThread = "start a thread"
    }

    /// The causes that somebody reacts to; the rest is known by its code alone.
    package enum Cause: Hashable, Sendable {
        case addressInUse
        case addressUnavailable
        case permissionDenied
        case refused
        case reset
        case timedOut
        case unreachable
        case tooManyOpenFiles
        case other
    }

    package let operation: Operation
    /// Where: the address that was to be bound, or the peer's.
    package let address: Address?
    /// The system's error number, negated, as libuv gives it.
    package let code: Int32

    package init(_ operation: Operation, _ address: Address? = nil, code: Int32) {
        self.operation = operation
        self.address = address
        self.code = code
    }

    package var cause: Cause {
        switch code {
        case UV_EADDRINUSE.rawValue: .addressInUse
        case UV_EADDRNOTAVAIL.rawValue: .addressUnavailable
        case UV_EACCES.rawValue, UV_EPERM.rawValue: .permissionDenied
        case UV_ECONNREFUSED.rawValue: .refused
        // A write after the peer's reset fails with EPIPE.
        case UV_ECONNRESET.rawValue, UV_EPIPE.rawValue: .reset
        case UV_ETIMEDOUT.rawValue: .timedOut
        case UV_EHOSTUNREACH.rawValue, UV_ENETUNREACH.rawValue, UV_ENETDOWN.rawValue: .unreachable
        case UV_EMFILE.rawValue, UV_ENFILE.rawValue: .tooManyOpenFiles
        default: .other
        }
    }

    /// The error's short name, such as `EADDRINUSE`.
    package var name: String { Self.text { uv_err_name_r(code, $0, $1) } }

    package var description: String {
        let place = address.map { " \($0)" } ?? ""
        return "cannot \(operation.rawValue)\(place): \(Self.text { uv_strerror_r(code, $0, $1) }) (\(name))"
    }

    /// libuv's `_r` calls fill a buffer of ours: the others leak at an unknown code.
    private static func text(
        _ fill: (UnsafeMutablePointer<CChar>, Int) -> UnsafeMutablePointer<CChar>?
    ) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            guard let start = buffer.baseAddress, let filled = fill(start, buffer.count) else { return "" }
            return String(cString: filled)
        }
    }
}

/// Throws when a libuv call returned an error.
func check(
    _ code: Int32, _ operation: LoopError.Operation, _ address: Address? = nil
) throws(LoopError) {
    if code < 0 { throw LoopError(operation, address, code: code) }
}
