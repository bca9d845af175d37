/// Why a command did not do what it was told: what is printed on stderr, and the exit status.
package struct Failure: Error, Hashable, Sendable {
    package enum Status: Int32, Sendable {
        /// Requests were answered with errors, or wrongly.
        case errors = 1
        case usage = 2
        case unreachable = 4
        case refused = 7
        case interrupted = 130
    }

    package let status: Status
    package let text: String

    package init(_ status: Status, _ text: String) {
        self.status = status
        self.text = text
    }

    package static func usage(_ text: String) -> Failure { Failure(.usage, text) }
    static func refused(_ text: String) -> Failure { Failure(.refused, text) }
    static func unreachable(_ text: String) -> Failure { Failure(.unreachable, text) }
    static let interrupted = Failure(.interrupted, "interrupted")
}
