/// Makes one value of concurrent versions: what an application must do that keeps them.
///
/// Take one of these where it fits, or give your own: only you know what your values mean.
///
///     try await client.update("cart:42", resolving: .unionOfLines) { cart in … }
///     try await client.update("page:7", resolving: Resolver { versions in … }) { page in … }
public struct Resolver: Sendable {
    /// From two or more versions, the oldest first, to one value.
    public let resolve: @Sendable ([Bytes]) -> Bytes

    /// A rule of your own. Any order of the same versions should give the same value: then it makes no
    /// difference which client resolves them.
    public init(_ resolve: @escaping @Sendable ([Bytes]) -> Bytes) { self.resolve = resolve }

    /// The version that was written last, by the clocks of the nodes that took them: what a keyspace without
    /// siblings does by itself. The others are lost.
    public static let lastWriter = Resolver { $0.last ?? [] }

    /// The longest version; of several the one whose bytes come first.
    public static let longest = Resolver { versions in
        versions.sorted().max { $0.count < $1.count } ?? []
    }

    /// Values that are sets, an element a line: all the elements of all versions, sorted. What one client has
    /// taken out while another wrote the set comes back (the Dynamo paper, 4.4).
    public static let unionOfLines = unionOfSets(separator: UInt8(ascii: "\n"))

    /// The same with another separator.
    public static func unionOfSets(separator: UInt8) -> Resolver {
        Resolver { versions in
            var elements: Set<[UInt8]> = []
            for version in versions {
                for part in version.array.split(separator: separator) { elements.insert(Array(part)) }
            }
            let sorted = elements.map { Bytes($0) }.sorted()
            return Bytes(Array(sorted.map(\.array).joined(separator: [separator])))
        }
    }

    /// The one value of what was read: nil when there is none.
    func value(of versions: [Bytes]) -> Bytes? { versions.count > 1 ? resolve(versions) : versions.first }
}
