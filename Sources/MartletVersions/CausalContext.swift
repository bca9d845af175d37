import MartletBase

/// Which versions of a key somebody has seen: what a read gives to a client, and what the client's next put
/// replaces.
///
/// For each writer it knows *all* of the writer's versions of this key up to a time (`through`), and single
/// ones beyond. The exceptions are needed because a client that has put a version has seen just that one: not
/// what others put through the same node a moment before. A version vector alone (a maximum for each writer)
/// would claim these too, and the client's next put would silently replace what it has never seen. They go
/// away by themselves once the vector has caught up.
///
/// Encoding (canonical):
///
///     writers varint | for each, ascending: node 8 | boot varint | shard varint | through 8
///     | beyond varint | for each, ascending: time 8
package struct CausalContext: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        package let writer: Writer
        /// Zero when only single versions are known.
        package var through: HybridTime
        /// Above `through`, ascending.
        package var beyond: [HybridTime]

        package init(writer: Writer, through: HybridTime, beyond: [HybridTime] = []) {
            self.writer = writer
            self.through = through
            self.beyond = beyond
        }

        package func covers(_ time: HybridTime) -> Bool { time <= through || beyond.contains(time) }

        /// The latest version that it knows of.
        package var latest: HybridTime { beyond.last ?? through }

        mutating func join(through other: HybridTime, beyond more: [HybridTime]) {
            through = max(through, other)
            if beyond.isEmpty && more.isEmpty { return }
            var times = beyond + more
            times.sort()
            var kept: [HybridTime] = []
            for time in times where time > through && time != kept.last { kept.append(time) }
            beyond = kept
        }

        func write(to bytes: inout ByteWriter) {
            bytes.u64(writer.node)
            bytes.varint(UInt64(writer.boot))
            bytes.varint(UInt64(writer.shard))
            bytes.u64(through.bits)
            bytes.varint(UInt64(beyond.count))
            for time in beyond { bytes.u64(time.bits) }
        }

        init(from reader: inout ByteReader) throws(WireError) {
            let node = try reader.u64()
            let boot = try reader.varint()
            let shard = try reader.varint()
            guard boot <= UInt64(UInt32.max), shard <= UInt64(UInt16.max) else { throw .invalid("writer") }
            writer = Writer(node: node, boot: UInt32(boot), shard: UInt16(shard))
            through = HybridTime(bits: try reader.u64())
            beyond = []
            var last = through
            // Each takes eight bytes, so the count can't ask for more memory than came.
            let count = try reader.count(max: reader.remaining / 8, "times beyond")
            for _ in 0..<count {
                let time = HybridTime(bits: try reader.u64())
                guard time > last else { throw .invalid("time beyond") }
                beyond.append(time)
                last = time
            }
            guard last <= .latest, last > .zero else { throw .invalid("time of a version") }
        }
    }

    /// By writer, ascending.
    package private(set) var entries: [Entry]

    package init(_ entries: [Entry] = []) {
        self.entries = entries
        invariant(
            zip(entries, entries.dropFirst()).allSatisfy { $0.writer < $1.writer },
            "a causal context has each writer once, in order")
    }

    package static let empty = CausalContext()

    package var isEmpty: Bool { entries.isEmpty }
    /// No version that it knows of is later.
    package var latest: HybridTime { entries.reduce(.zero) { max($0, $1.latest) } }

    /// Whether this version was seen.
    package func covers(_ dot: Stamp) -> Bool {
        entries.first { $0.writer == dot.writer }?.covers(dot.time) ?? false
    }

    /// One more version was seen; what else its writer wrote was not.
    package mutating func insert(_ dot: Stamp) {
        join(CausalContext([Entry(writer: dot.writer, through: .zero, beyond: [dot.time])]))
    }

    package mutating func join(_ other: CausalContext) {
        for entry in other.entries {
            if let index = entries.firstIndex(where: { $0.writer >= entry.writer }) {
                if entries[index].writer == entry.writer {
                    entries[index].join(through: entry.through, beyond: entry.beyond)
                } else {
                    entries.insert(entry, at: index)
                }
            } else {
                entries.append(entry)
            }
        }
    }

    package func write(to bytes: inout ByteWriter) {
        bytes.varint(UInt64(entries.count))
        for entry in entries { entry.write(to: &bytes) }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let count = try reader.count(max: reader.remaining / 19, "writers")
        entries = []
        for _ in 0..<count {
            let entry = try Entry(from: &reader)
            if let last = entries.last, last.writer >= entry.writer { throw .invalid("writers") }
            entries.append(entry)
        }
    }
}
