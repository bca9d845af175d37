import MartletBase

/// Computes the preference lists of all ranges in one pass over the tokens, against the ring's direction.
///
/// Definition: walk the ring from the slot on and list the nodes as they first appear. Again and again take,
/// of those not yet taken, the first whose zone has the fewest taken so far, until N are. (`PlacementTests`
/// has it in these words.) So no zone is used twice while another has a node to give; and where there are
/// fewer zones than copies, the loss of a zone costs as few copies as it can. A factor per data centre does
/// this in each of them; the preference list is then ordered by round, and in a round by distance.
///
/// Computation: the picks of the first round are the nearest nodes of the N nearest zones, those of round r
/// the r-th nearest of each zone. Going backwards, a token that is passed makes its zone the nearest zone,
/// and its node the nearest in the zone: two lists moved to the front, N long, whatever the size of the ring.
/// A first turn around the ring fills the lists, a second one reads them off.
struct PreferenceWalk {
    /// A node as the walk last met it; a lower step is nearer to the present position.
    private struct Sighting {
        var ordinal: UInt16
        var step: Int32
    }

    /// Where one number of copies is spread over some zones: the whole cluster, or a data centre.
    private struct Scope {
        let copies: Int
        /// The nearest first; at most `copies`. A zone further away gives no node in the first round, and
        /// there is no second round while there are so many zones.
        var nearestZones: [Int] = []

        mutating func moveToFront(_ zone: Int) {
            if nearestZones.first == zone { return }
            if let at = nearestZones.firstIndex(of: zone) {
                nearestZones.remove(at: at)
            } else if nearestZones.count == copies {
                nearestZones.removeLast()
            }
            nearestZones.insert(zone, at: 0)
        }
    }

    private var scopes: [Scope]
    /// The scope of each zone; -1 for zones in data centres without copies.
    private var scopeOfZone: [Int] = []
    private var zoneOfMember: [Int] = []
    /// Each zone's nearest nodes, `copiesMax` entries a zone.
    private var nearest: [Sighting]
    private var nearestCount: [Int]
    private let copiesMax: Int
    private var step: Int32
    /// The picks of one range with their rounds, reused.
    private var picks: [(round: Int, step: Int32, ordinal: UInt16)] = []

    /// `tokenCount` is how many tokens one turn passes.
    init(members: [RingEntry], replication: ReplicationFactor, tokenCount: Int) {
        struct ZoneName: Hashable {
            let dataCenter: String
            let zone: String
        }
        var scopeOfCenter: [String: Int] = [:]
        switch replication {
        case .count(let n): scopes = [Scope(copies: n)]
        case .perDataCenter(let list):
            scopes = list.map { Scope(copies: $0.count) }
            for (i, each) in list.enumerated() { scopeOfCenter[each.name] = i }
        }
        copiesMax = scopes.map(\.copies).max() ?? 1
        var zones: [ZoneName: Int] = [:]
        for member in members {
            let name = ZoneName(dataCenter: member.dataCenter, zone: member.zone)
            let zone = zones[name] ?? zones.count
            if zone == scopeOfZone.count {
                zones[name] = zone
                let isEverywhere = scopeOfCenter.isEmpty
                scopeOfZone.append(isEverywhere ? 0 : scopeOfCenter[member.dataCenter] ?? -1)
            }
            zoneOfMember.append(zone)
        }
        nearest = Array(repeating: Sighting(ordinal: 0, step: 0), count: scopeOfZone.count * copiesMax)
        nearestCount = Array(repeating: 0, count: scopeOfZone.count)
        step = Int32(2 * tokenCount)
    }

    /// Passes a token of that member, going backwards.
    mutating func pass(_ ordinal: Int) {
        step -= 1
        let zone = zoneOfMember[ordinal]
        let scope = scopeOfZone[zone]
        if scope < 0 { return }
        let base = zone * copiesMax
        var count = nearestCount[zone]
        var i = 0
        while i < count, Int(nearest[base + i].ordinal) != ordinal { i += 1 }
        if i == count, count < scopes[scope].copies {
            count += 1
            nearestCount[zone] = count
        }
        i = min(i, count - 1)
        while i > 0 {
            nearest[base + i] = nearest[base + i - 1]
            i -= 1
        }
        nearest[base] = Sighting(ordinal: UInt16(ordinal), step: step)
        scopes[scope].moveToFront(zone)
    }

    /// The preference list of the range that ends at the token passed last.
    mutating func owners() -> Owners {
        picks.removeAll(keepingCapacity: true)
        for scope in scopes {
            var left = scope.copies
            var round = 0
            while left > 0 {
                let first = picks.count
                for zone in scope.nearestZones where round < nearestCount[zone] {
                    let sighting = nearest[zone * copiesMax + round]
                    picks.append((round, sighting.step, sighting.ordinal))
                }
                if picks.count == first { break }
                sortPicks(from: first)
                // Only the nearest zones of the last round give a node.
                if picks.count - first > left { picks.removeLast(picks.count - first - left) }
                left -= picks.count - first
                round += 1
            }
        }
        if scopes.count > 1 { sortPicks(from: 0) }
        var owners = Owners()
        for pick in picks { owners.append(Int(pick.ordinal)) }
        return owners
    }

    /// An insertion sort by round and distance: a few picks, nearly sorted.
    private mutating func sortPicks(from first: Int) {
        var i = first + 1
        while i < picks.count {
            let pick = picks[i]
            var k = i
            while k > first, (picks[k - 1].round, picks[k - 1].step) > (pick.round, pick.step) {
                picks[k] = picks[k - 1]
                k -= 1
            }
            picks[k] = pick
            i += 1
        }
    }
}
