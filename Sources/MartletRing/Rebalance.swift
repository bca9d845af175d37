import MartletBase

/// Which tokens to move so that no node holds more than its part: what `martlet rebalance` does.
///
/// While tokens keep their order around the ring, preference lists stay as they are, and only the lengths of
/// ranges change. So a token that is moved within the gap between its two neighbours, by d slots, moves
/// exactly d copies: from the node that the longer range's list lacks to the one that the shorter one's lacks
/// (`Edge`). Loads are then a flow: from the nodes above the ceiling, over edges with such capacities, to
/// those below. The shortest paths are taken first (Edmonds, Karp: "Theoretical improvements in algorithmic
/// efficiency for network flow problems", 1972), because a copy moves once for each edge of its path.
///
/// The ceiling is 1.05 of what a node should hold (`RingBalance.targets`). Nodes below it give nothing away,
/// so what moves is what must, as long as paths of one edge are enough; in a ring of hundreds of nodes some
/// have two.
///
/// Moves are made one node after the other. In one *round* a token stays between the places that its
/// neighbours have before any of them move, so the order holds at every time between, and no token meets
/// another's. Where that isn't room enough another round follows. Where sliding doesn't help, one token goes
/// to another place altogether, which moves a part of one node's load; and where no token does, one node
/// takes all its tokens anew, as one that joins (`TokenChoice`).
///
/// Neighbours are those of the token's *scope*: nodes whose lists depend on each other's tokens alone. Of a
/// factor per data centre that is the data centre. Where there are as many zones as copies each zone holds
/// everything, whatever the others do, so it is one zone.
package struct Rebalance {
    /// How much more than its part a node may hold.
    package static let ceiling = 1.05
    /// Each step moves some slots along one path: in practice a few for each node that is too full.
    private static let stepsMax = 20_000
    /// Of each scope.
    private static let roundsMax = 32

    /// Nodes among whom so many copies are spread.
    private struct Scope {
        let copies: Int
        let ids: Set<NodeID>
    }

    /// One way of moving a boundary: slots pass from the node that loses them to the one that gains them.
    private struct Edge {
        let token: Int
        let isRight: Bool
        let loser: Int
        let gainer: Int
    }

    private let members: [RingEntry]
    private let targets: [Double]
    private var loads: [Int]
    /// Of each token, in their order around the ring: whose it is, where it was and where it is.
    private let owners: [Int]
    private let origins: [Int]
    private var places: [Int]
    /// The two ways of one token are neighbours here, the right one first.
    private let edges: [Edge]
    private let edgesOfLoser: [[Int]]
    /// Of each token the first one of its edges; -1 where nothing passes at its boundary.
    private let edgeOfToken: [Int]

    /// The moves, to be made in this order; a node may be in it more than once. None when all is even enough,
    /// or nothing helps.
    package static func choose(in ring: Ring, replication: ReplicationFactor) -> [RingMove] {
        var ring = ring.settled
        var moves: [RingMove] = []
        for scope in scopes(of: ring.entries, replication) where scope.ids.count > 1 {
            var best = attempt(in: ring, scope, replication, tokensAnew: [.one, .all])
            if best.excess > 0 {
                // Step by step it may come to where no step helps.
                let other = attempt(in: ring, scope, replication, tokensAnew: [.all, .one])
                if other.excess < best.excess { best = other }
            }
            ring = ring.fulfilling(.move(best.moves))
            moves += best.moves
        }
        return moves
    }

    /// How many of a node's tokens go elsewhere.
    private enum Part { case one, all }

    /// Rounds until all is even enough or nothing helps: what they come to, and what is above the ceiling
    /// then.
    private static func attempt(
        in ring: Ring, _ scope: Scope, _ replication: ReplicationFactor, tokensAnew parts: [Part]
    ) -> (moves: [RingMove], excess: Int) {
        var ring = ring
        var moves: [RingMove] = []
        for _ in 0..<roundsMax {
            var rebalance = Rebalance(ring, scope)
            rebalance.run()
            rebalance.giveWay(to: ring)
            var round = rebalance.moves
            if round.isEmpty, rebalance.excess > 0 {
                let move = parts.lazy.compactMap { rebalance.anew($0, in: ring, scope, replication) }.first
                round = move.map { [$0] } ?? []
            }
            if round.isEmpty { break }
            ring = ring.fulfilling(.move(round))
            moves += round
        }
        return (moves, Rebalance(ring, scope).excess)
    }

    private static func scopes(of members: [RingEntry], _ replication: ReplicationFactor) -> [Scope] {
        var scopes: [Scope] = []
        func add(_ copies: Int, _ members: [RingEntry]) {
            var numbers = ZoneNumbers()
            let zones = members.map { numbers.number($0.zone, $0.dataCenter) }
            guard numbers.count == copies else {
                return scopes.append(Scope(copies: copies, ids: Set(members.map(\.id))))
            }
            for zone in 0..<copies {
                let ids = zip(members, zones).filter { $0.1 == zone }.map(\.0.id)
                scopes.append(Scope(copies: 1, ids: Set(ids)))
            }
        }
        switch replication {
        case .count(let copies): add(copies, members)
        case .perDataCenter(let list):
            for each in list { add(each.count, members.filter { $0.dataCenter == each.name }) }
        }
        return scopes
    }

    private init(_ ring: Ring, _ scope: Scope) {
        members = ring.entries.filter { scope.ids.contains($0.id) }
        targets = RingBalance.targets(members, .count(scope.copies))
        let walk = RingWalk(members, .count(scope.copies)) { _ in true }
        owners = walk.tokens.map { Int($0.ordinal) }
        origins = walk.tokens.map { Int($0.slot) }
        places = origins
        let lists = walk.tokens.map { walk.owners(of: $0.slot) }
        var loads = [Int](repeating: 0, count: members.count)
        var edges: [Edge] = []
        let count = origins.count
        var edgeOfToken = [Int](repeating: -1, count: count)
        for token in 0..<count {
            let before = token == 0 ? origins[count - 1] - Limits.slots : origins[token - 1]
            let length = origins[token] - before
            for place in lists[token].indices { loads[lists[token][place]] += length }
            let (list, next) = (lists[token], lists[token + 1 == count ? 0 : token + 1])
            let leaving = list.array.filter { !next.contains($0) }
            let coming = next.array.filter { !list.contains($0) }
            guard leaving.count == 1, coming.count == 1 else { continue }
            edgeOfToken[token] = edges.count
            edges.append(Edge(token: token, isRight: true, loser: coming[0], gainer: leaving[0]))
            edges.append(Edge(token: token, isRight: false, loser: leaving[0], gainer: coming[0]))
        }
        self.loads = loads
        self.edges = edges
        self.edgeOfToken = edgeOfToken
        var edgesOfLoser = [[Int]](repeating: [], count: members.count)
        for (index, edge) in edges.enumerated() { edgesOfLoser[edge.loser].append(index) }
        self.edgesOfLoser = edgesOfLoser
    }

    private func most(_ node: Int) -> Int { Int(targets[node] * Self.ceiling) }

    /// How far the token may still be moved that way.
    private func capacity(_ edge: Edge) -> Int {
        let count = places.count
        let token = edge.token
        if edge.isRight {
            let (next, turn) = token + 1 == count ? (0, Limits.slots) : (token + 1, 0)
            return max(0, min(origins[next], places[next]) + turn - 1 - places[token])
        }
        let (before, turn) = token == 0 ? (count - 1, Limits.slots) : (token - 1, 0)
        return max(0, places[token] - (max(origins[before], places[before]) - turn + 1))
    }

    private mutating func slide(_ edge: Edge, by distance: Int) {
        let distance = min(distance, capacity(edge))
        places[edge.token] += edge.isRight ? distance : -distance
        loads[edge.loser] -= distance
        loads[edge.gainer] += distance
    }

    private mutating func run() {
        for _ in 0..<Self.stepsMax {
            // At first those below their part take it; only when they can't do the others come near theirs.
            guard let path = path(room: { Int(targets[$0]) }) ?? path(room: { most($0) }) else { return }
            for (edge, distance) in path { slide(edge, by: distance) }
        }
    }

    /// The shortest way from a node above the ceiling to one that holds less than `room`, with how much can
    /// be moved over it.
    private func path(room: (Int) -> Int) -> [(Edge, Int)]? {
        var cameBy = [Int](repeating: -1, count: members.count)
        var isMet = [Bool](repeating: false, count: members.count)
        var queue = members.indices.filter { loads[$0] > most($0) }
            .sorted { (loads[$1] - most($1), $0) < (loads[$0] - most($0), $1) }
        for node in queue { isMet[node] = true }
        var next = 0
        while next < queue.count {
            let node = queue[next]
            next += 1
            for index in edgesOfLoser[node] {
                let edge = edges[index]
                guard !isMet[edge.gainer], capacity(edge) > 0 else { continue }
                isMet[edge.gainer] = true
                cameBy[edge.gainer] = index
                if loads[edge.gainer] < room(edge.gainer) {
                    return path(to: edge.gainer, cameBy, room(edge.gainer) - loads[edge.gainer])
                }
                queue.append(edge.gainer)
            }
        }
        return nil
    }

    private func path(to end: Int, _ cameBy: [Int], _ room: Int) -> [(Edge, Int)] {
        var path: [Edge] = []
        var node = end
        while cameBy[node] >= 0 {
            let edge = edges[cameBy[node]]
            path.append(edge)
            node = edge.loser
        }
        let excess = loads[node] - most(node)
        let distance = path.reduce(min(room, excess)) { min($0, capacity($1)) }
        return path.reversed().map { ($0, distance) }
    }

    /// Tokens that have come to where one of another scope is go on to the next free slot, or else back.
    private mutating func giveWay(to ring: Ring) {
        let mine = Set(members.map(\.id))
        var isTaken = [Bool](repeating: false, count: Limits.slots)
        for entry in ring.entries where !mine.contains(entry.id) {
            for token in entry.tokens { isTaken[Int(token.index)] = true }
        }
        for token in places.indices where places[token] != origins[token] {
            let isRight = places[token] > origins[token]
            let (on, back) = isRight ? (0, 1) : (1, 0)
            func isBlocked() -> Bool { isTaken[(places[token] + Limits.slots) % Limits.slots] }
            while isBlocked(), capacity(edges[edgeOfToken[token] + on]) > 0 {
                slide(edges[edgeOfToken[token] + on], by: 1)
            }
            while isBlocked(), places[token] != origins[token] {
                slide(edges[edgeOfToken[token] + back], by: 1)
            }
        }
    }

    private var moves: [RingMove] {
        members.indices.compactMap { node in
            let mine = owners.indices.filter { owners[$0] == node }
            guard mine.contains(where: { places[$0] != origins[$0] }) else { return nil }
            let slots = mine.map { Slot((places[$0] + Limits.slots) % Limits.slots) }
            return RingMove(node: members[node].id, tokens: slots.sorted())
        }
    }

    // MARK: Other places

    /// By how many copies nodes are above the ceiling, all in all.
    private var excess: Int { members.indices.reduce(0) { $0 + max(0, loads[$1] - most($1)) } }

    /// The move that takes away most of the excess: of one token, or of all of them, of one of the fullest
    /// nodes or of the emptiest. Nil when none takes anything away.
    private func anew(
        _ part: Part, in ring: Ring, _ scope: Scope, _ replication: ReplicationFactor
    ) -> RingMove? {
        let byFill = members.indices.sorted {
            (Double(loads[$0]) / targets[$0], $0) < (Double(loads[$1]) / targets[$1], $1)
        }
        let ends =
            byFill.count <= 4
            ? byFill[...] : byFill[byFill.index(byFill.endIndex, offsetBy: -2)...] + byFill[..<2]
        var best: (left: Int, move: RingMove)?
        for node in ends.reversed() {
            let member = members[node]
            let keeps =
                part == .all ? [[]] : member.tokens.map { token in member.tokens.filter { $0 != token } }
            for kept in keeps {
                let tokens = TokenChoice.choose(
                    count: member.tokens.count - kept.count,
                    for: (member.id, member.zone, member.dataCenter), in: ring, replication: replication,
                    keeping: kept)
                let move = RingMove(node: member.id, tokens: (kept + tokens).sorted())
                let left = Rebalance(ring.fulfilling(.move([move])), scope).excess
                if left < best?.left ?? excess { best = (left, move) }
            }
        }
        return best?.move
    }
}
