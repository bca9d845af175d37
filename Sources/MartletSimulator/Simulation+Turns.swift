import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// A process's turns: events into its node, effects out of it.
extension Simulation {
    /// One event, all that follows from it at once, and the end of the turn.
    mutating func turn(_ process: SimulatedProcess, _ event: consuming Event) throws(Violation) {
        process.events.append(event)
        try finishTurn(process)
    }

    /// Handles the events that wait, then writes what they wrote. A refused write is an event of the same
    /// turn.
    mutating func finishTurn(_ process: SimulatedProcess) throws(Violation) {
        repeat {
            try pump(process)
            if process.node != nil { writeBatch(process) }
        } while process.handled < process.events.count && process.node != nil
        process.events.removeAll(keepingCapacity: true)
        process.handled = 0
    }

    mutating func pump(_ process: SimulatedProcess) throws(Violation) {
        while process.handled < process.events.count, process.node != nil {
            guard process.handled < Bounded.eventsOfTurnMax else {
                throw Violation("Bounded", "a turn of \(process.name) has no end")
            }
            let event = process.events[process.handled]
            process.handled += 1
            counters.events += 1
            let (kind, digest) = Self.digest(of: event)
            trace.add(at: now, process: process.index, kind: kind, digest: digest)
            if recorder != nil { recordEvent(process, event) }
            process.node!.handle(event, now: process.clock.now(at: now), into: &process.effects)
            try carryOutEffects(process)
            // After every event of a small cluster, and a sample of a large one's.
            if processes.count <= Self.processesCheckedEach || counters.events % (8 * processes.count) == 0 {
                process.node?.checkInvariants()
            }
            if let digest = process.node?.ringDigest, agreed.hasChanged(process.index, digest) {
                try agreed.changed(process.index, process.name, digest, process.node?.ring.entries ?? [])
                ringTurns += 1
                try ringTurned(process)
            }
        }
    }

    private static let processesCheckedEach = 12

    private mutating func carryOutEffects(_ process: SimulatedProcess) throws(Violation) {
        var done = 0
        while done < process.effects.count {
            let effect = process.effects[done]
            done += 1
            try carryOut(effect, process)
        }
        process.effects.removeAll()
    }

    private mutating func carryOut(_ effect: Effect, _ process: SimulatedProcess) throws(Violation) {
        switch effect {
        case .reply(let ticket, let reply): try clientAnswered(process, ticket.number, reply)
        case .introduce(let peer, let id, let address): introduce(process, peer, id, address)
        case .dismiss(let peer): dismiss(process, peer)
        case .send(let peer, let message):
            switch message {
            case .merge(let request):
                try noteSent(request.record)
                try noteSent(request.keyspace, request.key, request.record)
            case .mergeMany(let request): for pair in request.records { try noteSent(pair.record) }
            case .hint(let request):
                try noteSent(request.record)
                try noteSent(request.keyspace, request.key, request.record)
            default: break
            }
            send(process, peer, message)
        case .respond(let link, let message): respond(process, link, message)
        case .accept(let link, let id): accept(process, link, id)
        case .refuse(let link, let farewell): refuse(process, link, farewell)
        case .stream(let address, let payload): stream(process, address, payload)
        case .datagram(let address, let bytes): sendDatagram(process, address, bytes)
        case .storage(let request): try carryOut(request, process)
        case .wake(let instant): wakeAsked(process, instant)
        case .report(let report): try reported(process, report)
        case .stopped(let reason): try stopped(process, reason)
        }
    }

    /// A value is on its way to a replica.
    private mutating func noteSent(_ record: Blob) throws(Violation) {
        guard let view = try? RegisterView(record.span), view.state == .present,
            let source = WorkloadValues.operation(
                of: record.span.extracting(view.valueOffset..<record.count)),
            let operation = operations[source]
        else { return }
        guard operation.state != .refused else {
            throw Violation(
                "Answered", key: operation.key, "\(operation.described) was refused, and then it was sent")
        }
        operations.update(source) { $0.wasSent = true }
    }

    /// What of an event goes into the trace's hash. The bytes of frames are hashed where they come in.
    private static func digest(of event: borrowing Event) -> (kind: UInt8, digest: UInt64) {
        switch event {
        case .start: (1, 0)
        case .client(let ticket, _): (2, ticket.number)
        case .hello(let link, let hello): (3, link.number &+ hello.folder.epoch)
        case .peer(let link, _, let time, _): (4, link.number ^ time.bits)
        case .datagram(_, let bytes): (5, XXH3.hash(bytes))
        case .storage(let completion): (6, digest(of: completion))
        case .timer: (7, 0)
        case .linkUp(let peer): (8, UInt64(peer.number))
        case .linkDown(let peer): (9, UInt64(peer.number))
        case .refusedByPeer(_, let farewell): (10, UInt64(farewell.reason.rawValue))
        case .streamFailed(let address): (11, address.ip.low)
        case .shutdown: (12, 0)
        }
    }

    private static func digest(of completion: StorageCompletion) -> UInt64 {
        switch completion {
        case .durable(let ticket): ticket.number << 3
        case .refused(let ticket, _): ticket.number << 3 | 1
        case .read(let ticket, let record): (ticket.number ^ Record.digest(record)) << 3 | 2
        case .readRefused(let ticket, _): ticket.number << 3 | 3
        case .scanned(let ticket, let page): (ticket.number ^ UInt64(page.records.count)) << 3 | 6
        case .digested(let ticket, let page): (ticket.number ^ UInt64(page.passed)) << 3 | 7
        case .stampsReserved(let ceiling): ceiling << 3 | 4
        case .failed: 5
        }
    }

    // MARK: Time

    private mutating func wakeAsked(_ process: SimulatedProcess, _ local: Instant) {
        process.wakeWanted = local
        guard local != .distantFuture else { return }
        let instant = max(now, process.clock.instant(ofMonotonic: local))
        // A wake that is scheduled sooner looks again when it comes: most deadlines are moved later all the
        // time.
        guard instant < process.wakeScheduled else { return }
        process.wakeScheduled = instant
        heap.push(.wake(process.index, life: process.life), at: instant)
    }

    mutating func wake(_ process: SimulatedProcess) throws(Violation) {
        if process.wakeScheduled <= now { process.wakeScheduled = .distantFuture }
        guard process.wakeWanted != .distantFuture else { return }
        if process.clock.monotonic(at: now) >= process.wakeWanted {
            process.wakeWanted = .distantFuture
            try turn(process, .timer)
        } else {
            wakeAsked(process, process.wakeWanted)
        }
    }

    // MARK: Storage

    private mutating func carryOut(_ request: StorageRequest, _ process: SimulatedProcess) throws(Violation) {
        let disk = process.disk
        switch request {
        case .merge(let ticket, let key, let record):
            if key.keyspace == Carts.keyspace, let cart = Carts.index(of: Blob(copying: key.key)) {
                try causal.met(record, key: cart, leaves: false)
            }
            if let index = WorkloadKeys.index(of: key.bytes) {
                try noteStored(process, index, record)
                self.record(key: index, "\(process.name) writes \(Self.text(record)) as \(ticket.number)")
            }
            disk.merge(ticket, key, record)
        case .putMeta(let ticket, let key, let value):
            noteMeta(key, value)
            disk.putMeta(ticket, key, value)
            noteFloors(process)
        case .read(let ticket, let key): read(process, ticket, key)
        case .scan(let ticket, let lower, let upper, let limit):
            writeBatch(process)
            work(process, ticket, .scan(from: lower, until: upper, limit))
        case .scanHints(let ticket, let lower, let upper, let limit):
            writeBatch(process)
            work(process, ticket, .scanHints(from: lower, until: upper, limit))
        case .digest(let ticket, let query):
            writeBatch(process)
            work(process, ticket, .digest(query))
        case .collect(let ticket, let keys, let bytesMax):
            writeBatch(process)
            work(process, ticket, .collect(keys, bytesMax: bytesMax))
        case .putHint(let ticket, let key, let value):
            if let write = try? HintedWrite(stored: value), let index = WorkloadKeys.index(of: write.key) {
                try noteStored(process, index, write.record)
                self.record(
                    key: index, "\(process.name) keeps \(Self.text(write.record)) as \(ticket.number)")
            }
            disk.putHint(ticket, key, value)
        case .deleteHints(let ticket, let keys):
            try hintsDeleted(process, keys)
            disk.deleteHints(ticket, keys)
        case .delete(let ticket, let keys):
            // What a disk that is behind a floor lets go of, it need not hold any more.
            if process.node?.isRebuilding == true { disk.letGo(keys) }
            disk.delete(ticket, keys)
        case .deleteRange(let ticket, let keyspace, let tokens):
            process.keepFormerVersions(isLoss: false)
            lastErasureAt = now
            process.erasedAt = now
            record(
                "\(process.name) erases \(hex(tokens.lowerBound)) to \(hex(tokens.upperBound)) of keyspace "
                    + "\(keyspace)")
            disk.deleteRange(ticket, keyspace, tokens)
        case .reserveStamps(let ceiling):
            disk.pendingCeiling = HybridTime(bits: ceiling)
            schedule(
                .stampsReserved(process.index, life: process.life, ceiling: ceiling),
                after: disks.within(disk.conditions.syncLatency))
        }
    }

    /// The node has written down something of its own; it may be that a purge floor has risen.
    private mutating func noteFloors(_ process: SimulatedProcess) {
        guard let raised = process.node?.floorsRaised, raised != process.floorsSeen
        else { return }
        process.floorsSeen = raised
        for cart in 0..<Carts.count {
            let slot = Token(key: Carts.key(cart)).slot
            if let floor = process.node?.purgeFloor(keyspace: Carts.keyspace, slot) {
                causal.purged(cart, through: floor)
            }
        }
        for key in 0..<plan.workload.keys {
            let slot = Token(key: WorkloadKeys.key(key)).slot
            guard let floor = process.node?.purgeFloor(keyspace: 0, slot), !owners.isEmpty else { continue }
            noResurrection.raised(
                key, to: floor, held: owners[key].all.map { processes[$0].disk.durableVersion(key) })
        }
    }

    /// A record is on its way to a disk.
    private mutating func noteStored(
        _ process: SimulatedProcess, _ key: Int, _ record: Blob
    ) throws(Violation) {
        let source = try noPhantom.met(record, key: key, operations: operations)
        noResurrection.met(record, key: key)
        // A disk that refuses the batch, at the end of this turn, takes nothing of it.
        if let source, process.disk.conditions.refusal == nil {
            operations.update(source) { $0.wasSent = true }
        }
    }

    /// Memory answers in the same turn; what is cold comes later, as it was when asked for or as it is then.
    private mutating func read(_ process: SimulatedProcess, _ ticket: ReadTicket, _ key: StorageKey) {
        let disk = process.disk
        writeBatch(process)
        let record = disk.read(key)
        guard disk.conditions.coldReads > 0, disks.chance(disk.conditions.coldReads) else {
            process.events.append(.storage(.read(ticket, record)))
            return
        }
        if disk.conditions.refusedReads > 0, disks.chance(disk.conditions.refusedReads) {
            process.events.append(.storage(.readRefused(ticket, .readQueueFull)))
            return
        }
        let cold = ColdRead(ticket: ticket, key: key, asAsked: record, isLate: disks.chance(0.5))
        schedule(
            .read(process.index, life: process.life, cold),
            after: disks.within(disk.conditions.coldReadLatency))
    }

    /// A worker does it, and now and then finds its queue full.
    private mutating func work(_ process: SimulatedProcess, _ ticket: ReadTicket, _ what: DiskWork.What) {
        let disk = process.disk
        if disk.conditions.refusedReads > 0, disks.chance(disk.conditions.refusedReads) {
            process.events.append(.storage(.readRefused(ticket, .readQueueFull)))
            return
        }
        var work = DiskWork(ticket: ticket, what: what)
        // Not drawn, so that the disks' other draws stay what they are.
        if XXH3.hash(UInt64(now.nanoseconds)) & 1 == 0 { work.asAsked = disk.carryOut(work) }
        schedule(
            .worked(process.index, life: process.life, work),
            after: disks.within(disk.conditions.coldReadLatency))
    }

    /// Hands the turn's writes to the engine, and begins a sync if none is under way.
    private mutating func writeBatch(_ process: SimulatedProcess) {
        let disk = process.disk
        switch disk.flush() {
        case .nothing: return
        case .accepted:
            switch disk.durability {
            case .batch: beginSync(process)
            case .periodic: process.events.append(.storage(.durable(through: disk.lastWritten)))
            }
        case .refused(let tickets, let refusal):
            for ticket in tickets { process.events.append(.storage(.refused(ticket, refusal))) }
        case .failed(let text): process.events.append(.storage(.failed(text)))
        }
    }

    mutating func beginSync(_ process: SimulatedProcess) {
        let disk = process.disk
        guard disk.beginSync() else { return }
        schedule(.synced(process.index, life: process.life), after: disks.within(disk.conditions.syncLatency))
    }

    mutating func synced(_ process: SimulatedProcess) throws(Violation) {
        let disk = process.disk
        switch disk.finishSync() {
        case .durable(let ticket):
            if disk.durability == .batch {
                beginSync(process)
                try turn(process, .storage(.durable(through: ticket)))
            }
        case .failed(let text):
            try turn(process, .storage(.failed(text)))
            guard process.node == nil else {
                throw Violation("Durable", "\(process.name) goes on though a sync has failed")
            }
        }
    }

    mutating func periodicSync(_ process: SimulatedProcess) {
        if process.state == .running { beginSync(process) }
        schedule(.periodicSync(process.index), after: .seconds(1))
    }

    mutating func stampsReserved(_ process: SimulatedProcess, _ ceiling: UInt64) throws(Violation) {
        let disk = process.disk
        if disk.conditions.refusal == .diskFull {
            // The shell tries again until there is room.
            schedule(
                .stampsReserved(process.index, life: process.life, ceiling: ceiling),
                after: .milliseconds(250))
            return
        }
        disk.landCeiling()
        try turn(process, .storage(.stampsReserved(ceiling: ceiling)))
    }

    // MARK: Reports

    private mutating func reported(_ process: SimulatedProcess, _ report: Report) throws(Violation) {
        switch report {
        case .ringFormed: try formed(process)
        case .rebuilding: noticed(process)
        case .rebuilt: rebuilt(process)
        case .exchangeBegan(let progress): exchangeBegan(process, progress)
        case .exchangeEnded(_, let progress, let outcome, _): try exchangeEnded(process, progress, outcome)
        default: break
        }
        record("\(process.name) reports \(report)")
    }
}
