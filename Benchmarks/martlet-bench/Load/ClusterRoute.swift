import MartletBase
import MartletRESP
import MartletRing

/// Who is the master of each slot, as CLUSTER SLOTS says: the way of a cluster client's request.
package struct ClusterRoute: Sendable {
    /// In the order of their first slots.
    package let nodes: [Address]
    private let nodeOfSlot: [UInt16]

    static func ask(_ targets: [Address]) throws(Failure) -> ClusterRoute {
        let reply = try ControlClient(targets[0]).call("CLUSTER", "SLOTS")
        if let line = reply.errorText { throw .refused("\(targets[0]) has no cluster face: \(line)") }
        return try ClusterRoute(reply, from: targets[0])
    }

    /// Rows of first slot, last slot, master; every slot must have one.
    package init(_ reply: RESPValue, from source: Address) throws(Failure) {
        var nodes: [Address] = []
        var nodeOfSlot = [UInt16](repeating: .max, count: Limits.slots)
        for row in reply.elements ?? [] {
            guard let fields = row.elements, fields.count >= 3, let first = fields[0].integer,
                let last = fields[1].integer, 0 <= first, first <= last, last < Limits.slots,
                let master = fields[2].elements, master.count >= 2, let port = master[1].integer,
                let host = master[0].text, let ip = host.isEmpty ? source.ip : IPAddress(host)
            else { throw .refused("\(source): CLUSTER SLOTS has a row that isn't understood") }
            let address = Address(ip: ip, port: UInt16(clamping: port))
            let index = nodes.firstIndex(of: address) ?? nodes.count
            if index == nodes.count { nodes.append(address) }
            for slot in Int(first)...Int(last) { nodeOfSlot[slot] = UInt16(index) }
        }
        if let slot = nodeOfSlot.firstIndex(of: .max) {
            throw .refused("\(source): CLUSTER SLOTS names no master of slot \(slot)")
        }
        self.nodes = nodes
        self.nodeOfSlot = nodeOfSlot
    }

    /// The index of the node to which requests for the key go.
    package func node(of key: [UInt8]) -> Int {
        Int(nodeOfSlot[Int(Slot(key: key.span.bytes).index)])
    }
}
