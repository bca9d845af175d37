import MartletBase
import MartletNode
import MartletRing
import MartletVersions

/// The clients: what they ask, and what the checkers make of the answers.
extension Simulation {
    static let requestTimeout = Interval.seconds(2)
    /// Half of `clock_skew_max`: two clocks that are both within it of the truth are within the bound of each
    /// other.
    static let clockGoodWithin = Interval.milliseconds(250)

    // MARK: Asking

    /// The next client asks something, somewhere; its node may be down, and then the client goes away.
    mutating func arrive() {
        guard phase == .forming || phase == .faults || phase == .healing || phase == .calm else { return }
        let gap = Interval.seconds(1).scaled(
            by: (0.1 + 1.8 * clients.fraction()) / plan.workload.operationsPerSecond)
        schedule(.arrival, after: gap)
        let process = asked[clients.below(asked.count)]
        guard process.isAlive else { return }
        ask(process, key: drawKey(), drawKind())
    }

    mutating func drawKey() -> Int {
        let workload = plan.workload
        return clients.chance(workload.hotShare)
            ? clients.below(workload.hotKeys)
            : workload.hotKeys + clients.below(workload.keys - workload.hotKeys)
    }

    private mutating func drawKind() -> Operation.Kind {
        switch clients.below(100) {
        case 0..<48: .get
        case 48..<50: .getLocal
        case 50..<92: .put
        default: .delete
        }
    }

    /// Makes an operation and sends it to the process.
    ///
    /// - Parameters:
    ///   - source: the operation that this one tries again, with the version that its timeout named.
    ///   - above: the context of an earlier read.
    mutating func ask(
        _ process: SimulatedProcess, key: Int, _ kind: Operation.Kind, level: ConsistencyLevel? = nil,
        source: Operation? = nil, version: Stamp? = nil, above: Stamp? = nil, record: Blob? = nil,
        expiry: Int64? = nil, after delay: Interval = .zero
    ) {
        let workload = plan.workload
        let isRead = kind == .get || kind == .getLocal
        let levels = isRead ? workload.readLevels : workload.writeLevels
        let level = level ?? levels[clients.below(levels.count)]
        let number = operations.nextNumber
        var timeout = Self.requestTimeout
        if workload.shortTimeouts > 0, clients.chance(workload.shortTimeouts) {
            timeout = clients.within(.milliseconds(2)...(.milliseconds(800)))
        }
        var operation = Operation(
            number: number, kind: kind, key: key, level: level,
            levelClass: self.levels.index(level, centre: centreOfProcess[process.index]),
            process: process.index,
            life: process.life, began: now + delay, timeout: timeout, source: source?.source ?? number)
        operation.retried = version
        operation.record = record
        operation.above = above
        if let expiry {
            operation.expiry = expiry
        } else if kind == .expire || kind == .put && source == nil && clients.chance(plan.workload.expiring) {
            operation.expiry =
                SimulatedClock.epoch.milliseconds + (now - .zero).milliseconds
                + clients.within(1...20_000)
        }
        if let source { operation.expiry = source.expiry }
        if let expiry = operation.expiry { noPhantom.asked(key, expiry: expiry) }
        operations.append(operation)
        counters.operations += 1
        schedule(.client(process.index, life: process.life, operation: number), after: delay)
    }

    /// The request reaches its node.
    mutating func ask(_ process: SimulatedProcess, _ number: UInt64) throws(Violation) {
        guard var operation = operations[number] else { return }
        operation.reached = now
        operation.purged = noResurrection.purged(operation.key)
        if operation.kind == .get {
            operation.floor = monotone.readFloor(operation.key, operation.levelClass)
            operation.truncationFloor = flushed.floor(operation.levelClass)
        }
        if !operation.isRead {
            operation.stampFloor = monotone.stampFloor(operation.key, operation.levelClass)
        }
        operations.update(number) { $0 = operation }
        record(
            key: operation.key,
            "client asks \(process.name): \(number) \(operation.kind.text) k\(operation.key) "
                + "\(operation.level)"
                + (operation.retried.map { ", again as \($0)" } ?? ""))
        let request = ClientRequest(
            keyspace: 0, key: WorkloadKeys.key(operation.key), operation: request(operation),
            level: operation.level, timeout: operation.timeout)
        try turn(process, .client(ClientTicket(number), request))
    }

    private func request(_ operation: Operation) -> ClientRequest.Operation {
        switch operation.kind {
        case .get: return .get
        case .getLocal: return .getLocal
        case .delete: return .put(Put(.tombstone, version: operation.retried))
        case .expire: return .put(Put(.expiry(of: operation.record ?? .empty, operation.expiry)))
        case .put:
            let isLarge =
                plan.workload.largeValues > 0
                && XXH3.hash(operation.source) % 1_000 < UInt64(1_000 * plan.workload.largeValues)
            let value = WorkloadValues.value(
                operation: operation.source, byteCount: isLarge ? 6_000 : 8 + Int(operation.source % 57))
            return .put(
                Put(
                    .value(value, expiry: operation.expiry), above: operation.above,
                    version: operation.retried))
        }
    }

    /// A client whose write timed out sends the same version again, to any node.
    mutating func retry(_ number: UInt64) {
        guard phase != .sweeping, phase != .ended, let operation = operations[number],
            let version = operation.retried
        else { return }
        let process = asked[clients.below(asked.count)]
        guard process.isAlive else { return }
        ask(process, key: operation.key, operation.kind, source: operation, version: version)
    }

    // MARK: Answers

    mutating func clientAnswered(
        _ process: SimulatedProcess, _ number: UInt64, _ reply: ClientReply
    ) throws(Violation) {
        if number >= ScanWalk.tickets { return try pageAnswered(process, number, reply) }
        if number >= Self.ringTickets {
            return try ringActAnswered(process, Int(number - Self.ringTickets), reply)
        }
        if number >= ChangeOrder.tickets { return try orderAnswered(process, number, reply) }
        if number >= Carts.tickets { return try cartAnswered(process, number, reply) }
        guard let operation = operations[number] else {
            throw Violation("Answered", "\(process.name) answers a request that nobody made")
        }
        trace.add(at: now, process: process.index, kind: 30, digest: number ^ Self.digest(of: reply))
        record(key: operation.key, "\(process.name) answers \(number): \(Self.text(reply))")
        try answered.answered(operation, at: now, resumedAt: process.resumedAt)
        if process.folderID != process.id, !reply.isFailure {
            throw Violation(
                "Rebuilt", key: operation.key,
                "\(process.name) serves with an empty folder in the place of its own")
        }
        switch reply {
        case .read(let record): try readAnswered(process, operation, record)
        case .written(let stamp): try writeAnswered(process, operation, stamp)
        case .scanned, .defined, .acted:
            throw Violation("Answered", "\(operation.described) got another's answer")
        case .failed(let failure): try failed(process, operation, failure)
        }
    }

    private mutating func readAnswered(
        _ process: SimulatedProcess, _ operation: Operation, _ bytes: Blob?
    ) throws(Violation) {
        counters.reads += 1
        operations.update(operation.number) { $0.state = .done }
        var version = HeldVersion.none
        if let bytes {
            _ = try noPhantom.met(bytes, key: operation.key, operations: operations)
            version = HeldVersion(of: bytes) ?? .none
        }
        if plan.durability == .batch {
            try noResurrection.read(operation, version, purged: operation.purged)
        }
        guard operation.kind == .get else { return }
        if plan.durability == .batch {
            try flushed.read(operation, version)
            if version == .none, noResurrection.mayHide(operation.key, operation.floor) {
                version = operation.floor
            }
            // What a flush that nobody has acknowledged yet may hide, may be shown or not.
            var (operation, shown) = (operation, version)
            if flushed.mayHide(operation.floor) {
                operation.floor = .none
                if flushed.mayHide(version) { shown = .none }
            }
            if !mayBeLost(operation) {
                let holders = holders(operation.key, shown, since: operation.began, seenBy: process) {
                    levels.isKept(operation.levelClass, by: $0)
                }
                try monotone.read(operation, shown, holders: holders)
            }
        }
        guard let bytes, phase != .sweeping, phase != .ended else { return }
        // Some read in order to write.
        switch clients.below(20) {
        case 0:
            let view = try? RegisterView(bytes.span)
            let isExpired = view?.expiry.map { $0 <= process.clock.now(at: now).wall.milliseconds } ?? false
            if view?.state == .present, !isExpired {
                ask(process, key: operation.key, .expire, record: bytes)
            }
        case 1: ask(process, key: operation.key, .put, above: version.stamp)
        default: break
        }
    }

    private mutating func writeAnswered(
        _ process: SimulatedProcess, _ operation: Operation, _ stamp: Stamp
    ) throws(Violation) {
        counters.acknowledged += 1
        try stamped.wrote(operation, stamp, by: process.index, process.id)
        operations.update(operation.number) {
            $0.state = .done
            $0.wasSent = true
            $0.written = operation.record.flatMap { HeldVersion(of: $0)?.stamp } ?? stamp
        }
        var version = HeldVersion(stamp)
        if let bytes = operation.record, let based = HeldVersion(of: bytes) {
            version = HeldVersion(based.stamp, expiryStamp: stamp)
        }
        guard plan.durability == .batch, !flushed.mayHide(version) else { return }
        guard !isWeak(operation) else {
            // Hints that it was counted with may have been on a disk that is lost.
            if operation.began > lastLossAt {
                let holders = holdersOrHints(operation.key, version, seenBy: process) {
                    levels.isMet(operation.levelClass, by: $0)
                }
                try durable.acknowledged(operation, version, holders: holders)
            }
            hinted.acknowledged(operation, version)
            return
        }
        let holders = holders(operation.key, version, since: operation.began, seenBy: process) {
            levels.isMet(operation.levelClass, by: $0)
        }
        try durable.acknowledged(operation, version, holders: holders)
        if !mayBeLost(operation) { try monotone.wrote(operation, version) }
    }

    private mutating func failed(
        _ process: SimulatedProcess, _ operation: Operation, _ failure: RequestFailure
    ) throws(Violation) {
        if case .timeout(_, _, _, _, let acked, _, let version, _) = failure {
            counters.timedOut += 1
            operations.update(operation.number) {
                $0.state = .timedOut
                $0.named = version
            }
            if let version, !operation.isRead {
                try namedAreHolders(process, operation, version, acked)
                if operation.kind != .expire, clients.chance(plan.workload.retries) {
                    operations.update(operation.number) { $0.retried = version }
                    schedule(
                        .retry(operation: operation.number),
                        after: clients.within(.milliseconds(10)...(.seconds(3))))
                }
            }
        } else {
            counters.refused += 1
            operations.update(operation.number) { $0.state = .refused }
            try answered.refused(operation)
        }
        let isHealthy = phase == .calm || phase == .sweeping
        let isHurried = operation.timeout < Self.requestTimeout
        // A version that is tried again when its slot has closed it can't be merged, nor stamped anew.
        let wall = SimulatedClock.epoch.milliseconds + (now - .zero).milliseconds
        let isClosed =
            operation.retried.map {
                wall - $0.time.milliseconds
                    >= (plan.purges.grace - .seconds(1)).milliseconds
            } ?? false
        let isRestamping = process.clock.wallError(at: now).magnitude > Self.clockGoodWithin
        try answered.failed(
            operation, failure,
            isExplained: !isHealthy || isHurried || isClosed || isRestamping
                || !levels.isPossible(operation.levelClass)
                || plan.inFlightMax < 1_000)
    }

    /// A timeout names replicas that acknowledged: each holds the version.
    private func namedAreHolders(
        _ process: SimulatedProcess, _ operation: Operation, _ stamp: Stamp, _ names: [String]
    ) throws(Violation) {
        guard plan.durability == .batch else { return }
        var version = HeldVersion(stamp)
        if let bytes = operation.record, let based = HeldVersion(of: bytes) {
            version = HeldVersion(based.stamp, expiryStamp: stamp)
        }
        if flushed.mayHide(version) { return }
        if isWeak(operation) {
            // Who stood in may have delivered its hint by now.
            let held = process.owners[operation.key].all.count {
                isHeldOrHinted(operation.key, version, by: $0)
            }
            // Two may have stood in for one owner.
            let owners = process.owners[operation.key].all.map { processes[$0].name }
            let standIns = names.filter { !owners.contains($0) }
            let needed = names.count - standIns.count + min(1, standIns.count)
            guard held >= needed || operation.began <= max(lastLossAt, lastErasureAt, process.turnedAt)
            else {
                throw Violation(
                    "Durable", key: operation.key,
                    "operation \(operation.number) timed out and names \(names) as having acknowledged "
                        + "\(version), which only \(held) owners hold durably, or hints for them")
            }
            return
        }
        for name in names {
            guard let holder = processes.first(where: { $0.name == name }),
                isHolder(holder, operation.key, version, since: operation.began)
            else {
                throw Violation(
                    "Durable", key: operation.key,
                    "operation \(operation.number) timed out and names \(name) as having "
                        + "acknowledged \(version), which "
                        + "it doesn't hold durably")
            }
        }
    }

    /// The owners whose disks hold no less than the version, whatever crashes.
    ///
    /// - Parameter began: who acknowledged something since then may have lost its disk.
    func holders(
        _ key: Int, _ version: HeldVersion, since began: Instant, seenBy process: SimulatedProcess,
        isEnough: (Holders) -> Bool
    ) -> Holders {
        counts(key, seenBy: process, isEnough: isEnough) {
            isHolder(processes[$0], key, version, since: began)
        }
    }

    /// Whether what the answer promises rests on one owner alone, which may have lost its disk since it was
    /// asked.
    private func mayBeLost(_ operation: Operation) -> Bool {
        operation.began <= lastLossAt && levels.isFragile(operation.levelClass)
    }

    func isHolder(
        _ process: SimulatedProcess, _ key: Int, _ version: HeldVersion, since began: Instant
    ) -> Bool {
        let held =
            began <= max(lastLossAt, lastErasureAt)
            ? process.everDurableVersion(key) : process.disk.durableVersion(key)
        // Who holds nothing of what is purged shows no less.
        return held >= version || noResurrection.isPurged(key, version)
    }

    /// The coordinator died: what it was asked is answered by nobody.
    mutating func orphan(_ process: SimulatedProcess) {
        firstPending = operations.firstPending(from: firstPending)
        var number = firstPending
        while let operation = operations[number] {
            if operation.state == .pending, operation.process == process.index, operation.life == process.life
            {
                counters.orphaned += 1
                operations.update(number) { $0.state = .orphaned }
            }
            number += 1
        }
    }

    private static func digest(of reply: ClientReply) -> UInt64 {
        switch reply {
        case .read(let record): Record.digest(record)
        case .written(let stamp): stamp.time.bits ^ stamp.writer.node
        case .scanned(let page): UInt64(page.count)
        case .defined(let definitions): UInt64(definitions.count)
        case .acted: 2
        case .failed: 1
        }
    }
}

extension ClientReply {
    var isFailure: Bool { if case .failed = self { true } else { false } }
}
