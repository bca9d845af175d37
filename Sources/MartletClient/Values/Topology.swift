import MartletBase
import MartletRESP
import MartletRing

/// Which node to ask for each slot, as one node told by CLUSTER SLOTS: an owner of the slot, so that a
/// request takes one hop.
///
/// It is a hint, never a rule: any node answers for any key, so an old topology costs a hop and nothing more.
/// Slots that nobody is named for are asked of any node.
package struct Topology: Hashable, Sendable {
    /// Sorted, each once.
    package let nodes: [Address]
    /// For each slot the index of its node; `noNode` without one.
    private let ordinals: [UInt16]

    package static let noNode = UInt16.max

    /// Reads `[[first, last, [endpoint, port, ...], replica...]...]`. A node without an endpoint is the one
    /// that was asked.
    package init(clusterSlots reply: RESPValue, asked: Address) throws(WireError) {
        guard let rows = reply.elements else { throw .invalid("CLUSTER SLOTS") }
        guard rows.count <= Limits.slots else {
            throw .tooLong(what: "CLUSTER SLOTS", count: rows.count, max: Limits.slots)
        }
        var ranges: [(ClosedRange<Int>, Address)] = []
        for row in rows {
            guard let fields = row.elements, fields.count >= 3, let first = Self.slot(fields[0]),
                let last = Self.slot(fields[1]), first <= last, let node = fields[2].elements
            else { throw .invalid("range of slots") }
            ranges.append((first...last, try Self.address(node, asked: asked)))
        }
        let nodes = Set(ranges.map(\.1)).sorted()
        guard !nodes.isEmpty else { throw .invalid("CLUSTER SLOTS without nodes") }
        guard nodes.count <= Limits.nodesMax else {
            throw .tooLong(what: "nodes", count: nodes.count, max: Limits.nodesMax)
        }
        var ordinals = [UInt16](repeating: Self.noNode, count: Limits.slots)
        for (range, address) in ranges {
            let ordinal = UInt16(nodes.firstIndex(of: address) ?? 0)
            for slot in range { ordinals[slot] = ordinal }
        }
        self.nodes = nodes
        self.ordinals = ordinals
    }

    private static func slot(_ value: RESPValue) -> Int? {
        value.integer.flatMap { (0..<Int64(Limits.slots)).contains($0) ? Int($0) : nil }
    }

    private static func address(_ node: [RESPValue], asked: Address) throws(WireError) -> Address {
        guard node.count >= 2, let port = node[1].integer.flatMap({ UInt16(exactly: $0) }), port > 0 else {
            throw .invalid("node's address")
        }
        if node[0].isNull { return Address(ip: asked.ip, port: port) }
        guard let text = node[0].text, let ip = text.isEmpty ? asked.ip : IPAddress(text) else {
            throw .invalid("node's address")
        }
        return Address(ip: ip, port: port)
    }

    /// The index in `nodes` of the one to ask; nil where none is named.
    package func ordinal(of slot: Slot) -> Int? {
        let ordinal = ordinals[Int(slot.index)]
        return ordinal == Self.noNode ? nil : Int(ordinal)
    }

    package func node(of slot: Slot) -> Address? { ordinal(of: slot).map { nodes[$0] } }

    /// The slots that a node is asked for.
    package func slots(of node: Address) -> SlotSet {
        var set = SlotSet()
        guard let index = nodes.firstIndex(of: node) else { return set }
        for slot in 0..<Limits.slots where ordinals[slot] == UInt16(index) { set.insert(Slot(slot)) }
        return set
    }
}

/// A set of slots: a bit each.
package struct SlotSet: Hashable, Sendable {
    private var words = [UInt64](repeating: 0, count: Limits.slots / 64)

    package init() {}

    package static var all: SlotSet {
        var set = SlotSet()
        for index in set.words.indices { set.words[index] = .max }
        return set
    }

    package var isEmpty: Bool { words.allSatisfy { $0 == 0 } }
    package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
    package func contains(_ slot: Slot) -> Bool { words[Int(slot.index) / 64] >> (slot.index % 64) & 1 == 1 }
    package mutating func insert(_ slot: Slot) { words[Int(slot.index) / 64] |= 1 << (slot.index % 64) }

    package mutating func subtract(_ other: SlotSet) {
        for index in words.indices { words[index] &= ~other.words[index] }
    }

    package func intersection(_ other: SlotSet) -> SlotSet {
        var out = self
        for index in words.indices { out.words[index] &= other.words[index] }
        return out
    }
}
