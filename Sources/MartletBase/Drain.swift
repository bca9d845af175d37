extension ContiguousArray {
    /// Hands out the elements in order and empties the array, which keeps its room.
    ///
    /// Each is moved out of its place: a loop would copy it, and so count references up and down for each
    /// thing that it refers to.
    ///
    /// - Parameter vacant: what stands in the places meanwhile; best something that refers to nothing.
    @inlinable package mutating func drain(leaving vacant: Element, _ body: (consuming Element) -> Void) {
        for index in indices {
            var element = vacant
            swap(&element, &self[index])
            body(consume element)
        }
        removeAll(keepingCapacity: true)
    }
}
