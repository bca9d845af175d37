import MartletBase

/// When to ask for the topology again: one refresh at a time, soon after trouble, else at an interval with a
/// quarter of it drawn at random, so that many clients don't ask at once.
///
/// After trouble (a connection lost, a node that stops) the cluster itself needs a moment to see it, so the
/// refresh that follows at once is followed by others a second apart until a while after the last trouble.
package struct RefreshSchedule: Sendable {
    package let interval: Interval
    package static let pauseAfterTrouble = Interval.seconds(1)
    package static let troubleLasts = Interval.seconds(15)
    /// Refreshes are at least so far apart, whatever goes wrong.
    package static let pauseMin = Interval.milliseconds(100)

    /// When the next one is due; nil while one is under way.
    package private(set) var dueAt: Instant?
    private var endedAt: Instant?
    private var troubledUntil: Instant?

    package init(interval: Interval, now: Instant) {
        self.interval = interval
        dueAt = now
    }

    package var isUnderWay: Bool { dueAt == nil }

    package mutating func begin() {
        invariant(!isUnderWay, "two refreshes of the topology at once")
        dueAt = nil
    }

    /// A refresh has ended, well or badly.
    package mutating func end(now: Instant, isSuccess: Bool, _ random: inout Random) {
        endedAt = now
        let isTroubled = !isSuccess || troubledUntil.map { $0 > now } ?? false
        let pause = isTroubled ? min(Self.pauseAfterTrouble, interval) : interval
        dueAt = now + pause - Interval(nanoseconds: random.within(0...pause.nanoseconds / 4))
    }

    /// Something went wrong that a newer topology may explain.
    package mutating func notice(now: Instant) {
        troubledUntil = now + Self.troubleLasts
        guard let due = dueAt else { return }
        dueAt = min(due, max(now, (endedAt ?? now - Self.pauseMin) + Self.pauseMin))
    }
}
