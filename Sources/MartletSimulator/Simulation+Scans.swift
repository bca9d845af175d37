import MartletBase
import MartletNode
import MartletRing
import MartletVersions

/// A client that walks over all keys, page after page, each page at another node.
struct ScanWalk {
    /// The ticket of its pages; not an operation's number.
    let number: UInt64
    let wanted: Scan.Wanted
    let level: ConsistencyLevel
    let levelClass: Int
    let began: Instant
    /// By key: what the walk's level must show at least since it began.
    var floors: [HeldVersion]

    var position = Token.all.lowerBound
    var isListed: [Bool]
    var counted = 0

    // The page that is asked for.
    var process: Int
    var life: UInt32
    var reached: Instant?

    static let tickets: UInt64 = 1 << 63

    var described: String { "walk \(number ^ Self.tickets) (\(wanted) at \(level))" }
}

extension Simulation {
    /// A walk begins now and then.
    mutating func beginWalk() {
        guard phase == .faults || phase == .healing || phase == .calm else { return }
        schedule(.walk, after: walkers.within(.milliseconds(500)...(.seconds(8))))
        let levels = plan.workload.readLevels
        walk(
            walkers.chance(0.3) ? .count : .keys(about: 1 + walkers.below(40)),
            levels[walkers.below(levels.count)])
    }

    mutating func walk(_ wanted: Scan.Wanted, _ level: ConsistencyLevel) {
        let process = asked[walkers.below(asked.count)]
        guard process.isAlive, !owners.isEmpty else { return }
        walksBegun += 1
        let levelClass = levels.index(level, centre: centreOfProcess[process.index])
        let keys = 0..<plan.workload.keys
        walks.append(
            ScanWalk(
                number: ScanWalk.tickets | walksBegun, wanted: wanted, level: level, levelClass: levelClass,
                began: now, floors: keys.map { monotone.readFloor($0, levelClass) },
                isListed: keys.map { _ in false }, process: process.index, life: process.life))
        schedule(
            .page(process.index, life: process.life, walk: ScanWalk.tickets | walksBegun), after: .zero)
    }

    /// The request for a page reaches its node.
    mutating func askPage(_ process: SimulatedProcess, _ number: UInt64) throws(Violation) {
        guard let index = walks.firstIndex(where: { $0.number == number }) else { return }
        walks[index].reached = now
        let walk = walks[index]
        record("client asks \(process.name): \(walk.described) from \(walk.position)")
        let scan = Scan(walk.position...Token.all.upperBound, walk.wanted)
        let request = ClientRequest(
            keyspace: 0, key: .empty, operation: .scan(scan), level: walk.level,
            timeout: Self.requestTimeout)
        try turn(process, .client(ClientTicket(number), request))
    }

    mutating func pageAnswered(
        _ process: SimulatedProcess, _ number: UInt64, _ reply: ClientReply
    ) throws(Violation) {
        guard let index = walks.firstIndex(where: { $0.number == number }) else {
            throw Violation("Answered", "\(process.name) answers a page that nobody asked for")
        }
        let described = walks[index].described
        record("\(process.name) answers \(described): \(Self.text(reply))")
        guard let reached = walks[index].reached,
            now <= max(reached + Self.requestTimeout, process.resumedAt) + Answered.slack
        else {
            throw Violation("Answered", "a page of \(described) came after its deadline")
        }
        switch reply {
        case .scanned(let page): try pageCame(process, index, page)
        case .failed(let failure):
            let walk = walks.remove(at: index)
            let isExplained =
                phase != .calm && phase != .sweeping || !levels.isPossible(walk.levelClass)
                || plan.inFlightMax < 1_000
            guard isExplained else {
                throw Violation("Answered", "\(walk.described) failed in a healthy cluster: \(failure)")
            }
        case .read, .written, .defined, .acted:
            throw Violation("Answered", "\(described) got another's answer")
        }
    }

    private mutating func pageCame(
        _ process: SimulatedProcess, _ index: Int, _ page: KeyPage
    ) throws(Violation) {
        counters.pages += 1
        for key in page.keys {
            guard let number = WorkloadKeys.index(of: key), number < plan.workload.keys else {
                throw Violation("NoPhantom", "\(walks[index].described) lists \(key), which nobody wrote")
            }
            let token = Token(key: key)
            guard !walks[index].isListed[number], token >= walks[index].position,
                page.next.map({ token < $0 }) ?? true
            else {
                throw Violation(
                    "Scanned", key: number, "\(walks[index].described) lists k\(number) out of its place")
            }
            walks[index].isListed[number] = true
        }
        walks[index].counted += page.count
        guard let next = page.next else {
            let walk = walks.remove(at: index)
            if plan.durability == .batch { try scanned.walked(walk, certainties(of: walk)) }
            return
        }
        guard next > walks[index].position else {
            throw Violation("Scanned", "\(walks[index].described) doesn't get on")
        }
        // The next page, wherever a node is up, of the same data centre: its level means the same there.
        walks[index].position = next
        walks[index].reached = nil
        let centre = centreOfProcess[process.index]
        let choices = processes.filter { $0.isAlive && centreOfProcess[$0.index] == centre }
        guard !choices.isEmpty else {
            walks.remove(at: index)
            return
        }
        let other = choices[walkers.below(choices.count)]
        walks[index].process = other.index
        walks[index].life = other.life
        schedule(
            .page(other.index, life: other.life, walk: walks[index].number),
            after: walkers.within(.zero...(.milliseconds(200))))
    }

    private func certainties(of walk: ScanWalk) -> [Scanned.Certainty] {
        var byKey: [[Operation]] = Array(repeating: [], count: plan.workload.keys)
        for operation in operations.all where !operation.isRead { byKey[operation.key].append(operation) }
        return walk.floors.indices.map { key in
            let floor = walk.floors[key]
            return scanned.certainty(
                floor: floor, isTombstone: noPhantom.isDeletion(floor.stamp),
                isFlushed: flushed.mayHide(floor), operations: byKey[key])
        }
    }

    /// The process died: the pages that it was asked for come from nobody.
    mutating func abandonWalks(at process: SimulatedProcess) {
        walks.removeAll { $0.process == process.index && $0.life == process.life }
    }

    /// A page that should have come by now.
    func checkWalks() throws(Violation) {
        for walk in walks {
            let process = processes[walk.process]
            guard process.state == .running, process.life == walk.life, let reached = walk.reached
            else { continue }
            if now > max(reached + Self.requestTimeout, process.resumedAt) + .milliseconds(100) {
                throw Violation("Answered", "a page of \(walk.described) was never answered")
            }
        }
    }
}
