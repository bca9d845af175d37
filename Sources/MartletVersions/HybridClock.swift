import MartletBase

/// Issues one writer's hybrid times: each above all it issued or observed, and never above a ceiling that was made
/// durable first.
///
/// The ceiling is the reservation of DESIGN 1: a node that restarts begins above the ceiling it finds on disk, so a
/// wall clock that was set back meanwhile can't make it repeat a stamp. `issue` answers nil at the ceiling: the caller
/// waits until a higher one is durable. `wantsReservation` asks for that early enough that nobody waits in practice.
package struct HybridClock: Sendable {
    package let writer: Writer
    /// The greatest time issued or observed.
    package private(set) var last: HybridTime
    /// The greatest time that may be issued: durable.
    package private(set) var ceiling: HybridTime

    /// How far above the present a reservation reaches. Longer: fewer writes of the stamp file; after a restart, stamps
    /// may start that far ahead of the wall clock.
    package static let reserveAhead = Interval.seconds(2)
    /// A new reservation is due when less than this is left.
    package static let reserveMargin = Interval.seconds(1)

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
        guard time <= ceiling else { return nil }
        advance(to: time)
        return Stamp(time: time, writer: writer)
    }

    /// Takes note of a time seen elsewhere, so that what is issued next is above it.
    @inlinable package mutating func observe(_ time: HybridTime) {
        if time > last { advance(to: time) }
    }

    @usableFromInline mutating func advance(to time: HybridTime) { last = time }

    /// The ceiling to make durable now, or nil when enough is left.
    package func wantsReservation(_ wall: WallTime) -> HybridTime? {
        let present = max(HybridTime(wall), last)
        guard ceiling < present.advanced(by: Self.reserveMargin) else { return nil }
        return present.advanced(by: Self.reserveAhead)
    }

    /// A ceiling has become durable.
    package mutating func reserved(_ time: HybridTime) {
        if time > ceiling { ceiling = time }
    }
}
