import MartletBase

/// How old a record is, for purge floors.
extension Record {
    /// When the oldest part of the record was written, and the newest: of a register its value and its
    /// expiry. Nil for bytes that can't be dated.
    package static func age(_ bytes: RawSpan) -> (oldest: HybridTime, newest: HybridTime)? {
        guard let view = try? RegisterView(bytes) else { return nil }
        return (view.stamp.time, max(view.stamp.time, view.expiryStamp.time))
    }

    /// Whether a record may be merged over what is held (nil: nothing), when nothing at or below the floor
    /// may enter any more: an expiry that was set lately for an old value, where that value is held.
    ///
    /// Where it isn't, the value was replaced by something that is purged; merged, it would come back.
    package static func isKnown(_ bytes: RawSpan, over held: Blob?, floor: HybridTime) -> Bool {
        guard let view = try? RegisterView(bytes) else { return false }
        if view.stamp.time > floor { return true }
        guard let held, let known = try? RegisterView(held.span) else { return false }
        return known.stamp >= view.stamp
    }
}
