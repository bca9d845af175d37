import MartletBase
import MartletRing

/// Which node to scan next, so that every slot is scanned whole at one node, however the slots move
/// meanwhile.
///
/// A node's scan shows the slots that the node is asked for at that time. When it ends, only those slots
/// count as done that were the node's at the scan's beginning and still are at its end; the rest is scanned
/// again at whoever is asked for it then. So a key that is there throughout is shown at least once, and, as
/// with Redis's SCAN, perhaps more than once.
package struct ScanPlan: Sendable {
    package private(set) var left = SlotSet.all
    /// Scans of a node that may begin; each change of topology costs one or two.
    package private(set) var scansLeft: Int
    private var scanned: (node: Address, slots: SlotSet)?

    package init(scansMax: Int = 4 * Limits.nodesMax) { scansLeft = scansMax }

    package enum Step: Hashable, Sendable {
        case scan(Address)
        case done
        /// The topology changes faster than it can be scanned, or has slots that nobody is asked for.
        case stuck
    }

    package mutating func next(_ topology: Topology) -> Step {
        if left.isEmpty { return .done }
        guard scansLeft > 0 else { return .stuck }
        for node in topology.nodes {
            let slots = topology.slots(of: node).intersection(left)
            if slots.isEmpty { continue }
            scansLeft -= 1
            scanned = (node, slots)
            return .scan(node)
        }
        return .stuck
    }

    /// Whether a key of the scan under way is to be shown: those of slots that are done already aren't.
    package func shows(_ slot: Slot) -> Bool { left.contains(slot) }

    /// The scan of a node has come to its end.
    package mutating func finish(_ topology: Topology) {
        guard let (node, slots) = scanned else { return }
        left.subtract(slots.intersection(topology.slots(of: node)))
        scanned = nil
    }

    /// The scan of a node has failed: nothing of it counts.
    package mutating func abandon() { scanned = nil }
}
