import MartletBase
import MartletVersions

/// What of a register the checkers compare: (value stamp, expiry stamp), in lexicographic order, which is the
/// order of the register's join. A replica *shows no less* than a write when its version isn't below the
/// write's.
package struct HeldVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    let stamp: Stamp
    let expiryStamp: Stamp

    package static let none = HeldVersion(.zero)

    package init(_ stamp: Stamp, expiryStamp: Stamp? = nil) {
        self.stamp = stamp
        self.expiryStamp = expiryStamp ?? stamp
    }

    /// Nil when the bytes are no register.
    package init?(of record: Blob) {
        guard let view = try? RegisterView(record.span) else { return nil }
        stamp = view.stamp
        expiryStamp = view.expiryStamp
    }

    package static func < (a: HeldVersion, b: HeldVersion) -> Bool {
        a.stamp != b.stamp ? a.stamp < b.stamp : a.expiryStamp < b.expiryStamp
    }

    package var description: String {
        if self == .none { return "nothing" }
        return expiryStamp == stamp ? "\(stamp)" : "\(stamp), expiry \(expiryStamp)"
    }
}
