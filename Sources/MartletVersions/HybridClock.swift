import MartletBase

/// Issues one writer's hybrid times: each above all it issued or observed, and never above a ceiling that was
/// made durable first.
///
/// The ceiling is a reservation: a node that restarts begins above the ceiling it finds on
/// disk, so a wall clock that was set back meanwhile can't make it repeat a stamp. `issue` answers nil at the
/// ceiling: the caller waits until a higher one is durable. `wantsReservation` asks for that early enough
/// that nobody waits in practice.
package struct HybridClock: Sendable {
    package let writer: Writer
    /// The greatest time issued or observed.
    package private(set) var last: HybridTime
    /// The greatest time that may be issued: durable.
    package private(set) var ceiling: HybridTime

    /// How far above the wall clock a reservation reaches. Longer: fewer writes of the stamp file; after a
    /// restart, stamps may start that far ahead of the wall clock.
    package static let reserveAhead = Interval.seconds(2)
    /// A new reservation is due when less than this is left.
    package static let reserveMargin = Interval.seconds(1)
    /// The same above a time that is ahead of the wall clock. There stamps rise by counting, 65,536 to a
    /// millisecond, so little is enough; and it must be little, or each of many quick restarts would carry
    /// the stamps two seconds on.
    package static let countAhead = Interval.milliseconds(100)
    package static let countMargin = Interval.milliseconds(50)

    /// - Parameter recovered: the ceiling found on disk; every stamp of earlier runs is at or below it.
    package init(writer: Writer, recovered: HybridTime) {
        self.writer = writer
        last = recovered
        ceiling = recovered
    }

    /// A time above all before it and at least the wall clock's; nil when that is above the ceiling.
    @inlinable package mutating func issue(_ wall: WallTime) -> Stamp? {
        issue(above: last, wall)
    }

    /// A time above `floor` too.
    @inlinable package mutating func issue(above floor: HybridTime, _ wall: WallTime) -> Stamp? {
        let time = max(HybridTime(wall), max(last, floor).next)
        // A stamp beyond the latest would be refused by every reader.
        guard time <= ceiling, time <= .latest else { return nil }
        advance(to: time)
        return Stamp(time: time, writer: writer)
    }

    /// Takes note of a time seen elsewhere, so that what is issued next is above it.
    @inlinable package mutating func observe(_ time: HybridTime) {
        if time > last { advance(to: time) }
    }

    @usableFromInline mutating func advance(to time: HybridTime) { last = time }

    /// The ceiling to make durable now, or nil when enough is left.
    ///
    /// - Parameter floor: what a stamp that waits must be above.
    package func wantsReservation(_ wall: WallTime, above floor: HybridTime = .zero) -> HybridTime? {
        let counted = max(last, floor)
        let least = max(
            HybridTime(wall).advanced(by: Self.reserveMargin), counted.advanced(by: Self.countMargin))
        guard ceiling < least else { return nil }
        return max(HybridTime(wall).advanced(by: Self.reserveAhead), counted.advanced(by: Self.countAhead))
    }

    /// A ceiling has become durable.
    package mutating func reserved(_ time: HybridTime) {
        if time > ceiling { ceiling = time }
    }
}
