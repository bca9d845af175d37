import MartletBase
import MartletGossip
import MartletNode
import MartletRing
import MartletVersions

/// What a scenario does with a cluster by hand: time goes on as it says, and faults come when it says.
extension Simulation {
    /// Schedules the starts, and all that a run begins with.
    package mutating func beginScenario() { begin() }

    /// Runs on for an interval.
    package mutating func run(for interval: Interval) throws(Violation) {
        let end = now + interval
        while let next = heap.soonest, next <= end, let (at, occurrence) = heap.pop() {
            now = at
            counters.occurrences += 1
            try happen(occurrence)
        }
        now = end
    }

    /// Runs until the condition holds, looking every so often; nil when it doesn't within the limit.
    package mutating func run(
        atMost limit: Interval, looking each: Interval = .milliseconds(20),
        until condition: (borrowing Simulation) -> Bool
    ) throws(Violation) -> Interval? {
        let began = now
        while !condition(self) {
            if now - began >= limit { return nil }
            try run(for: each)
        }
        return now - began
    }

    package var isFormed: Bool { present.allSatisfy(\.isFormed) }

    /// kill -9; nobody starts it again.
    package mutating func kill(_ index: Int) throws(Violation) {
        processes[index].isPoweredOff = false
        try ended(processes[index], .killed)
    }

    /// A client writes a key of the workload through a node.
    package mutating func put(_ key: Int, through index: Int, _ level: ConsistencyLevel) {
        ask(processes[index], key: key, .put, level: level)
    }

    /// An operator flushes the clients' keyspace through a node.
    package mutating func flush(through index: Int) throws(Violation) {
        try order(processes[index], .truncate([0]), level: .quorum)
    }

    /// Changes of keyspaces that were acknowledged.
    package var changes: Int { counters.changes }

    /// How many records of the workload's keys up to this one are on a node's disk, hidden or not.
    package borrowing func recordsStored(by index: Int, below count: Int) -> Int {
        (0..<count).count { processes[index].disk.read(WorkloadKeys.stored($0)) != nil }
    }

    /// The same of a value that expires.
    package mutating func put(
        _ key: Int, through index: Int, _ level: ConsistencyLevel, expiringAfter life: Interval
    ) {
        let expiry = processes[index].clock.now(at: now).wall + life
        ask(processes[index], key: key, .put, level: level, expiry: expiry.milliseconds)
    }

    package mutating func delete(_ key: Int, through index: Int, _ level: ConsistencyLevel) {
        ask(processes[index], key: key, .delete, level: level)
    }

    /// The checkers look at what it shows.
    package mutating func get(_ key: Int, through index: Int, _ level: ConsistencyLevel) {
        ask(processes[index], key: key, .get, level: level)
    }

    /// A client names the version of its last put, or delete, of the key again, as after a timeout.
    package mutating func putAgain(_ key: Int, through index: Int, _ level: ConsistencyLevel) {
        again(.put, key, through: index, level)
    }

    package mutating func deleteAgain(_ key: Int, through index: Int, _ level: ConsistencyLevel) {
        again(.delete, key, through: index, level)
    }

    private mutating func again(
        _ kind: Operation.Kind, _ key: Int, through index: Int, _ level: ConsistencyLevel
    ) {
        guard let last = operations.all.last(where: { $0.key == key && $0.kind == kind }) else { return }
        ask(processes[index], key: key, kind, level: level, source: last, version: last.written ?? last.named)
    }

    /// Sets an expiry of a value that was read earlier.
    package mutating func expire(
        _ key: Int, of record: Blob?, through index: Int, _ level: ConsistencyLevel
    ) {
        ask(processes[index], key: key, .expire, level: level, record: record)
    }

    /// What a node's disk has under a key.
    package borrowing func record(of key: Int, at index: Int) -> Blob? {
        processes[index].disk.read(WorkloadKeys.stored(key))
    }

    package mutating func slowScans(by latency: Interval) {
        for process in processes { process.disk.conditions.coldReadLatency = latency...latency }
    }

    package mutating func slowScans(of index: Int, by latency: Interval) {
        processes[index].disk.conditions.coldReadLatency = latency...latency
    }

    /// A copy of what a node's disk surely holds.
    package borrowing func copyDisk(of index: Int) -> SimulatedDisk { processes[index].disk.copy() }

    /// Kills a node and puts a copy of its folder back, made of files; nobody has to tell it. It starts again
    /// by itself, a few seconds later at most.
    package mutating func putBack(_ copy: SimulatedDisk, to index: Int) throws(Violation) {
        copy.isForeign = true
        try replace(processes[index], by: copy, .copy)
    }

    package borrowing func isRebuilding(_ index: Int) -> Bool { processes[index].node?.isRebuilding ?? false }

    /// What a right clock shows now.
    package var hybridTime: HybridTime { HybridTime(SimulatedClock.epoch + (now - .zero)) }

    /// How far a node has come with the purge of a key's slot.
    package borrowing func levels(of key: Int, at index: Int) -> PurgeMarks.Levels {
        processes[index].node?.purgeLevels(keyspace: 0, Token(key: WorkloadKeys.key(key)).slot) ?? .none
    }

    package borrowing func isProving(_ index: Int) -> Bool { processes[index].node?.isProving ?? false }

    package mutating func block(from sender: Int, to receiver: Int) { network.block(sender, receiver) }

    package mutating func block(between one: Int, and other: Int) {
        block(from: one, to: other)
        block(from: other, to: one)
    }

    /// What the network has kept back arrives.
    package mutating func unblock() {
        network.unblockAll()
        resendHeld()
    }

    /// The same on the way from one node to another.
    package mutating func unblock(from sender: Int, to receiver: Int) {
        network.unblock(sender, receiver)
        resendHeld()
    }

    /// By process: whether its disk has anything under a key.
    package borrowing func holders(of key: Int) -> [Bool] {
        processes.map { $0.disk.read(WorkloadKeys.stored(key)) != nil }
    }

    /// By process: the purge floor of a key's slot, in milliseconds of the simulation.
    package borrowing func floors(of key: Int) -> [Int64] {
        let slot = Token(key: WorkloadKeys.key(key)).slot
        return processes.map { process in
            let floor = process.node?.purgeFloor(keyspace: 0, slot) ?? .zero
            return max(0, floor.milliseconds - SimulatedClock.epoch.milliseconds)
        }
    }

    /// Whether everything written before now is at or below the floors that all nodes have.
    package borrowing func isPurged(_ key: Int, before instant: Instant) -> Bool {
        floors(of: key).allSatisfy { $0 > (instant - .zero).milliseconds }
    }

    /// Who keeps floors from rising, as one node sees it.
    package borrowing func purgeBlockers(seenBy index: Int) -> [String] {
        processes[index].node?.purgeStatus().first?.blockers.map { "\($0.name) \($0.obstacle.text)" } ?? []
    }

    /// Looks at every disk as at the end of a run.
    package mutating func checkDisks() throws(Violation) {
        for process in processes where process.isAlive { try checkDisk(process) }
    }

    /// The owners of a key, and the nodes that aren't, in their orders.
    package borrowing func owners(of key: Int) -> [Int] { owners[key].all }

    /// A machine that founded nothing is to join.
    package mutating func add(_ index: Int) { invite(processes[index]) }

    /// An operator gives a dead node up, or calls its join off.
    package mutating func remove(_ index: Int, through other: Int) throws(Violation) {
        try askRing(processes[other], .remove(processes[index].id))
    }

    /// An operator tells a node to leave, or to take other tokens.
    package mutating func leave(_ index: Int) throws(Violation) { try retire(processes[index]) }
    package mutating func move(_ index: Int, to tokens: [Slot]) throws(Violation) {
        try askRing(processes[index], .move(tokens: tokens, zone: nil))
    }

    /// An operator calls a node's change off.
    package mutating func abort(_ index: Int, through other: Int) throws(Violation) {
        try askRing(processes[other], .abort(processes[index].id))
    }

    /// An operator gives the clients' keyspace another number of copies.
    package mutating func alter(copies: Int, through index: Int) throws(Violation) {
        var options = KeyspaceOptions()
        options.replication = .count(copies)
        try order(processes[index], .alter("default", options), level: .quorum)
    }

    /// Whether a node's own ring has it as an owner of slots.
    package borrowing func isMember(_ index: Int) -> Bool { processes[index].node?.isMember ?? false }

    /// The change that a node has in hand, and how far it is; nil when it has none.
    package borrowing func handover(at index: Int) -> HandoverStatus? {
        processes[index].node?.handoverStatus()
    }

    /// Whether the nodes that are to be of the ring are, and none of them has a change in hand.
    package var isSettled: Bool {
        present.allSatisfy { $0.node?.isMember == true && $0.node?.hasChangeInHand == false }
    }

    /// The end of a random run: all is as new, and after a while every promise is looked at.
    package mutating func end() throws(Violation) {
        try enter(.healing)
        while phase != .ended { try run(for: .seconds(1)) }
    }

    package var acknowledged: Int { counters.acknowledged }

    /// How many keys of the workload up to this one a node's disk surely holds.
    package borrowing func keysHeld(by index: Int, below count: Int) -> Int {
        (0..<count).count { processes[index].disk.durableVersion($0) > .none }
    }

    /// Hints on all disks.
    package var hintCount: Int { processes.reduce(0) { $0 + $1.disk.hintCount } }

    package mutating func start(_ index: Int) throws(Violation) { try start(processes[index]) }
    package mutating func pause(_ index: Int, for interval: Interval) {
        pause(processes[index], for: interval)
    }
    package mutating func loseDatagrams(share: Double) { network.conditions.datagramLoss = share }

    /// What one node says of another; nil when it is down itself, or doesn't know the other.
    package borrowing func liveness(of other: Int, seenBy observer: Int) -> Liveness? {
        processes[observer].node?.liveness(of: processes[other].id)
    }

    /// Whether every other node that runs says so of this one.
    package borrowing func isHeld(_ liveness: Liveness, _ index: Int) -> Bool {
        processes.allSatisfy { observer in
            observer.index == index || observer.node == nil
                || self.liveness(of: index, seenBy: observer.index) == liveness
        }
    }

    /// Bytes that all nodes have sent, the headers of IP, UDP and TCP included.
    package var bytesSent: Int {
        counters.datagramBytes + 28 * counters.datagrams + counters.frameBytes + 40 * counters.frames
    }
}
