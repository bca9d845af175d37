/// What may follow an attempt that failed: pure, so that a table of cases can be read in its test.
///
/// The law: **an attempt that may have written is never followed by one that could write another version.**
/// So a further attempt is safe when the first one wasn't sent, when nothing came of it, when it only reads,
/// or when it carries the version of the first. What remains, a write whose connection was lost before its
/// version was known, is sent again only for a caller who said that twice is as good as once.
package struct RetryPolicy: Hashable, Sendable {
    /// What of the request matters.
    package struct Traits: Hashable, Sendable {
        package var isRead: Bool
        /// The request can carry a version (VSET, VDEL).
        package var takesVersion: Bool
        /// It carries one.
        package var hasVersion: Bool
        /// The caller takes a write that happens twice.
        package var mayHappenTwice: Bool

        package init(isRead: Bool, takesVersion: Bool, hasVersion: Bool, mayHappenTwice: Bool) {
            self.isRead = isRead
            self.takesVersion = takesVersion
            self.hasVersion = hasVersion
            self.mayHappenTwice = mayHappenTwice
        }
    }

    package enum Decision: Hashable, Sendable {
        /// The answer stands, whatever is tried.
        case fail
        /// Another attempt is safe, if time, number and budget allow.
        case retry
        /// Another attempt is safe under this version.
        case retryUnder(WriteVersion)
    }

    package static func decision(_ error: MartletError, _ traits: Traits) -> Decision {
        switch error {
        case .unavailable, .overloaded, .skew, .loading, .stopping, .noNode: return .retry
        case .timeout(let facts):
            if traits.isRead || traits.hasVersion { return .retry }
            if traits.takesVersion, let version = facts.version { return .retryUnder(version) }
            return traits.mayHappenTwice ? .retry : .fail
        case .connectionLost:
            return traits.isRead || traits.hasVersion || traits.mayHappenTwice ? .retry : .fail
        default: return .fail
        }
    }

    /// Whether the attempt may have written something.
    package static func isUncertain(_ error: MartletError, isRead: Bool) -> Bool {
        if isRead { return false }
        switch error {
        case .timeout, .connectionLost, .unexpectedAnswer: return true
        default: return false
        }
    }

    /// Whether the error speaks against the node that it came from.
    package static func blamesNode(_ error: MartletError) -> Bool {
        switch error {
        case .overloaded, .loading, .stopping, .skew, .connectionLost, .unexpectedAnswer: true
        default: false
        }
    }

    /// Whether another topology may explain the error.
    package static func hintsAtTopology(_ error: MartletError) -> Bool {
        switch error {
        case .loading, .stopping, .connectionLost, .noNode: true
        default: false
        }
    }

    /// Whether another node may well do better right now.
    package static func turnsElsewhereAtOnce(_ error: MartletError) -> Bool {
        if case .noNode = error { return true }
        return blamesNode(error)
    }
}
