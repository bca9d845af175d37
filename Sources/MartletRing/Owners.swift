import MartletBase

/// A preference list: the owners of a slot, the first choice first, as ordinals into `Placement.members`. A
/// plain value of 44 bytes that refers to nothing, so handing it out costs no allocation and no reference
/// count.
package struct Owners: Hashable, Sendable, CustomStringConvertible {
    @usableFromInline var ordinals = InlineArray<21, UInt16>(repeating: 0)
    @usableFromInline var length: UInt16 = 0

    @inlinable package init() {}

    /// At most `Limits.ownersMax`, distinct.
    package init(_ list: some Sequence<Int>) {
        for ordinal in list { append(ordinal) }
    }

    mutating func append(_ ordinal: Int) {
        invariant(length < Limits.ownersMax, "more than \(Limits.ownersMax) owners")
        invariant(!contains(ordinal), "node \(ordinal) is twice in a preference list")
        ordinals[Int(length)] = UInt16(ordinal)
        length += 1
    }

    @inlinable package var count: Int { Int(length) }
    @inlinable package var isEmpty: Bool { length == 0 }
    @inlinable package var indices: Range<Int> { 0..<Int(length) }

    /// The ordinal of the node in that place.
    @inlinable package subscript(_ place: Int) -> Int {
        invariant(place < Int(length), "place \(place) of \(length)")
        return Int(ordinals[place])
    }

    /// The place that the node has; nil when it is no owner.
    @inlinable package func firstIndex(of ordinal: Int) -> Int? {
        for place in 0..<Int(length) where Int(ordinals[place]) == ordinal { return place }
        return nil
    }

    @inlinable package func contains(_ ordinal: Int) -> Bool { firstIndex(of: ordinal) != nil }

    /// For tests and output; allocates.
    package var array: [Int] { indices.map { self[$0] } }

    package var description: String { array.description }

    @inlinable package static func == (a: Owners, b: Owners) -> Bool {
        if a.length != b.length { return false }
        for place in 0..<Int(a.length) where a.ordinals[place] != b.ordinals[place] { return false }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        for place in indices { hasher.combine(self[place]) }
    }
}
