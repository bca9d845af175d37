import MartletBase
import MartletVersions

/// What of a register the checkers compare: (value stamp, expiry stamp), in lexicographic order, which is the order of
/// the register's join. A replica *shows no less* than a write when its version isn't below the write's.
package struct Version: Hashable, Comparable, Sendable, CustomStringConvertible {
    let stamp: Stamp
    let expiryStamp: Stamp

    static let none = Version(.zero)

    init(_ stamp: Stamp, expiryStamp: Stamp? = nil) {
        self.stamp = stamp
        self.expiryStamp = expiryStamp ?? stamp
    }

    /// Nil when the bytes are no register.
    init?(of record: Blob) {
        guard let view = try? RegisterView(record.span) else { return nil }
        stamp = view.stamp
        expiryStamp = view.expiryStamp
    }

    package static func < (a: Version, b: Version) -> Bool {
        a.stamp != b.stamp ? a.stamp < b.stamp : a.expiryStamp < b.expiryStamp
    }

    package var description: String {
        if self == .none { return "nothing" }
        return expiryStamp == stamp ? "\(stamp)" : "\(stamp), expiry \(expiryStamp)"
    }
}
